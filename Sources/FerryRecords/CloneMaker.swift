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

  /// Appends the clone.
  func append(_ tags: UnsafeRawBufferPointer, mod: Int64, now: Int64, to builder: inout PackedBuilder) {
    var added = false
    func add(_ builder: inout PackedBuilder) {
      added = true
      builder.raw(head)
      builder.dateTime(HDateTime(nanoseconds: mod))
      builder.raw(tail)
    }
    var cursor = PackedCursor(tags)
    while let tag = cursor.tag() {
      if !added, Self.isBehindClone(tag.name) { add(&builder) }
      builder.name(tag.name)
      if tag.name.count == 3, tag.name[0] == 0x6d, tag.name[1] == 0x6f, tag.name[2] == 0x64 {
        builder.dateTime(HDateTime(nanoseconds: now))
        continue
      }
      tag.value.rewritingRefs(to: &builder) { id, builder in
        if prefix.isEmpty || CloneForm.isAbsolute(id) { builder.ref(id) } else { builder.ref(prefix, id) }
      }
    }
    if !added { add(&builder) }
  }

  private static let clone = Array("clone".utf8)

  /// Most names are told by their first letter.
  private static func isBehindClone(_ name: UnsafeRawBufferPointer) -> Bool {
    guard let first = name.first, first >= 0x63 else { return false }
    return first > 0x63 || clone.withUnsafeBytes { name.follows($0) }
  }
}
