import Haystack

/// References between projects. `p:server:r:X`, and `X` alone where the server is no project, become `p:client:r:X`; what points into other
/// projects stays. On the wire, and for digests, references into the cloned project are relative: `X`.
struct Relativizer {
  /// What is taken away; the longest of them that fits.
  private let prefixes: [[UInt8]]

  /// For records of these projects.
  init(projects: [String]) {
    prefixes = projects.filter { !$0.isEmpty }.map { Array("p:\($0):r:".utf8) }
  }

  /// Whether all ids stay as they are.
  var isIdle: Bool { prefixes.isEmpty }

  /// The relative form of an id.
  func relative(_ id: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    for prefix in prefixes where id.count > prefix.count {
      let fits = prefix.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: id[..<prefix.count]).equals($0) }
      if fits { return UnsafeRawBufferPointer(rebasing: id[prefix.count...]) }
    }
    return id
  }

  func relative(_ id: String) -> String { Array(id.utf8).withUnsafeBytes { relative($0).string } }
}

/// What of a record is cloned, and how its references look there.
enum CloneForm {
  /// Tags that live in memory only: what connectors and control loops set all the time.
  static let transient: Set<String> = [
    "connState", "connStatus", "connErr", "curVal", "curStatus", "curErr", "curSource", "writeVal", "writeLevel", "writeStatus", "writeErr",
    "nextTime", "nextVal", "hisStatus", "hisErr", "hisId", "hisSize", "hisStart", "hisStartVal", "hisEnd", "hisEndVal",
  ]
  /// A clone's own.
  static let own: Set<String> = ["clone", "cloneSetRef", "cloneMod"]
  private static let memory = NameSet(transient)
  private static let dropped = NameSet(transient.union(own))
  private static let never = NameSet(["clone", "cloneSet", "ext", "projMeta", "trash", "uiMeta"])

  /// Whether a tag lives in memory only.
  static func isTransient(_ name: UnsafeRawBufferPointer) -> Bool { memory.contains(name) }

  /// Whether a record is one that is never cloned: clones, what is in the trash, and a project's own innards.
  static func isNever(_ tags: UnsafeRawBufferPointer) -> Bool {
    var cursor = PackedCursor(tags)
    while let tag = cursor.tag() { if never.contains(tag.name) { return true } }
    return false
  }

  /// A record's persistent tags with relative references, as they go over the wire. `asDigest` leaves out `mod`, which a clone has of its own.
  static func appendRelative(
    _ tags: UnsafeRawBufferPointer, _ relativizer: Relativizer, asDigest: Bool = false, to builder: inout PackedBuilder
  ) {
    var copier = PackedCopier(tags)
    while let tag = copier.next() {
      if dropped.contains(tag.name) || (asDigest && tag.name.count == 3 && tag.name.elementsEqual("mod".utf8)) {
        copier.passOver(&builder)
      } else if !relativizer.isIdle {
        copier.rewriteRefs(tag, to: &builder) { $1.ref(relativizer.relative($0)) }
      }
    }
    copier.catchUp(&builder)
  }

  /// The same record with all references naming their projects.
  static func appendAbsolute(_ tags: UnsafeRawBufferPointer, project: String, to builder: inout PackedBuilder) {
    let prefix = Array("p:\(project):r:".utf8)
    var copier = PackedCopier(tags)
    while let tag = copier.next() { copier.rewriteRefs(tag, to: &builder) { absolute($0, prefix, to: &$1) } }
    copier.catchUp(&builder)
  }

  /// A reference that names its project; `prefix` is what one without gets.
  static func absolute(_ id: UnsafeRawBufferPointer, _ prefix: [UInt8], to builder: inout PackedBuilder) {
    if prefix.isEmpty || isAbsolute(id) { builder.ref(id) } else { builder.ref(prefix, id) }
  }

  /// Whether an id names its project.
  static func isAbsolute(_ id: String) -> Bool { id.hasPrefix("p:") }

  /// Whether an id names its project.
  static func isAbsolute(_ id: UnsafeRawBufferPointer) -> Bool { id.count > 2 && id[0] == 0x70 && id[1] == 0x3a }
}
