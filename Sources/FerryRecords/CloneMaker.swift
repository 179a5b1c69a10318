import Haystack

/// Makes clones of one set out of records that came over the wire. What is the same in all of them is made once.
struct CloneMaker {
  /// What local ids begin with; empty where they name no project.
  let prefix: [UInt8]
  /// The tags that a clone adds stand next to each other in the order of names: this up to the moment in `cloneMod`, and this behind it.
  private let head: [UInt8]
  private let tail: [UInt8]

  init(project: String, cloneSet: String) {
    prefix = project.isEmpty ? [] : Array("p:\(project):r:".utf8)
    var builder = PackedBuilder()
    builder.name("clone".utf8)
    builder.marker()
    builder.name("cloneMod".utf8)
    head = builder.bytes
    builder.clear()
    builder.name("cloneSetRef".utf8)
    builder.ref(cloneSet.utf8)
    tail = builder.bytes
  }

  /// Appends the clone, and its tags' names as a shape has them.
  func append(_ tags: UnsafeRawBufferPointer, mod: Int64, now: Int64, to builder: inout PackedBuilder, _ names: inout [UInt8]) {
    var added = false
    func add(_ builder: inout PackedBuilder, _ names: inout [UInt8]) {
      added = true
      names.append(contentsOf: Self.names)
      builder.raw(head)
      builder.moment(mod)
      builder.raw(tail)
    }
    var copier = PackedCopier(tags)
    while let tag = copier.next() {
      if !added, Self.isBehindClone(tag.name) {
        copier.catchUp(&builder)
        add(&builder, &names)
      }
      names.append(contentsOf: tag.name)
      names.append(0x20)
      if tag.name.count == 3, tag.name[0] == 0x6d, tag.name[1] == 0x6f, tag.name[2] == 0x64 {
        copier.passOver(&builder)
        builder.name(tag.name)
        builder.moment(now)
      } else if !prefix.isEmpty {
        copier.rewriteRefs(tag, to: &builder) { CloneForm.absolute($0, prefix, to: &$1) }
      }
    }
    copier.catchUp(&builder)
    if !added { add(&builder, &names) }
  }

  private static let names = Array("clone cloneMod cloneSetRef ".utf8)

  private static let clone = Array("clone".utf8)

  /// Most names are told by their first letter.
  private static func isBehindClone(_ name: UnsafeRawBufferPointer) -> Bool {
    guard let first = name.first, first >= 0x63 else { return false }
    return first > 0x63 || clone.withUnsafeBytes { name.follows($0) }
  }
}
