import Haystack

/// A record as a mirror keeps it, and what keeping it asks for, made in one walk; the next record takes its place.
struct MirrorForm {
  /// Its tags: with a `mod` if there is one to give, and with references that name their project.
  private(set) var tags = PackedBuilder()
  /// Their names, as a shape has them.
  private(set) var names: [UInt8] = []
  /// When it changed, by its own word, or as it was stamped.
  private(set) var mod: Int64?
  private let prefix: [UInt8]
  private let isPersistent: Bool

  /// `isPersistent`: only persistent tags are kept.
  init(project: String, isPersistent: Bool) {
    prefix = project.isEmpty ? [] : Array("p:\(project):r:".utf8)
    self.isPersistent = isPersistent
  }

  /// Takes in a record. One that has no `mod` gets `stamp`, if that is given.
  mutating func take(_ record: PackedDict, stamp: Int64?) {
    tags.clear()
    names.removeAll(keepingCapacity: true)
    mod = nil
    let prefix = prefix
    record.bytes.withUnsafeBytes {
      var copier = PackedCopier($0)
      var isStamped = false
      while let tag = copier.next() {
        if isPersistent, CloneForm.isTransient(tag.name) {
          copier.passOver(&tags)
          continue
        }
        if !isStamped, let order = Self.order(tag.name) {
          isStamped = true
          mod = order == 0 ? tag.value.nanoseconds : nil
          if order > 0, let stamp {
            copier.catchUp(&tags)
            append(stamp)
          }
        }
        names.append(contentsOf: tag.name)
        names.append(0x20)
        if !prefix.isEmpty { copier.rewriteRefs(tag, to: &tags) { CloneForm.absolute($0, prefix, to: &$1) } }
      }
      copier.catchUp(&tags)
      if !isStamped, let stamp { append(stamp) }
    }
    if mod == nil { mod = stamp }
  }

  /// Where a name stands beside `mod`; nil: before it. Most are told by their first letter.
  private static func order(_ name: UnsafeRawBufferPointer) -> Int? {
    guard let first = name.first, first >= 0x6d else { return nil }
    if first > 0x6d { return 1 }
    if name.elementsEqual("mod".utf8) { return 0 }
    return "mod".utf8.lexicographicallyPrecedes(name) ? 1 : nil
  }

  private mutating func append(_ stamp: Int64) {
    tags.raw(Self.name)
    tags.moment(stamp)
    names.append(contentsOf: Self.shape)
  }
  private static let name: [UInt8] = [3] + "mod".utf8
  private static let shape = Array("mod ".utf8)
}
