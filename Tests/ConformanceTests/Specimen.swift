import Ferry
import FerryConformance
import FerryRecords
import FerrySystem
import Glibc
import Haystack
import PluginHarness
import TestSupport
import Testing

/// A provider as the suite sees it: how to make its state, change it, and look at it. A new provider adds one here.
enum Specimen: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case exampleFile = "example-file"
  case tree
  case archive = "tar, by descriptor"
  case rsync
  case restic
  case recordClone = "record-clone"
  case rsyncDaemon = "rsync, transport daemon"
  case podmanVolume = "podman-volume"
  case dockerVolume = "docker-volume"
  case podmanLayer = "podman-layer"
  case dockerLayer = "docker-layer"
  case redisKeys = "redis-keys"

  var testDescription: String { rawValue }

  /// A migration of a fresh state.
  func subject() throws -> any ConformanceSubject {
    if let contained { return try contained.subject(self) }
    if self == .redisKeys { return try RedisSubject() }
    let folder = try TemporaryFolder()
    try Files.makeFolder(folder("a"))
    try Files.makeFolder(folder("b"))
    let (from, to) = (folder("a/state"), folder("b/state"))
    let harness: Harness
    switch self {
    case .exampleFile:
      harness = try Harness(
        product: "example", provider: "example-file", folder: folder, from: ["file": .string(from)], to: ["file": .string(to)],
        keys: ["allow-empty": true])
    case .tree:
      harness = try Harness(
        product: "tree", provider: "tree", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)],
        keys: ["replace": true, "allow-empty": true]
      )
    case .archive:
      harness = try Harness(
        product: "\(Products.repository)/Plugins/Archive/archive.yaml", provider: "tar", folder: folder, from: ["path": .string(from)],
        to: ["path": .string(to)], keys: ["replace": true, "allow-empty": true])
    case .restic:
      harness = try Harness(
        product: "restic", provider: "restic", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)],
        keys: ["repository": .string(folder("repository")), "replace": true, "allow-empty": true], secrets: ["password": "a word"])
    case .recordClone:
      harness = try Harness(
        product: "record-clone", provider: "record-clone", folder: folder, from: ["store": .string("sqlite:\(from)")],
        to: ["store": .string("sqlite:\(to)"), "project": "client"],
        keys: ["filter": "site or point", "allow-removals": true, "allow-empty": true])
    case .rsync, .rsyncDaemon:
      harness = try Harness(
        product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)],
        keys: ["transport": self == .rsync ? "channel" : "daemon", "replace": true, "allow-empty": true])
    default: throw FerryError(.internal, "\(self) is made elsewhere")
    }
    let subject = Subject(specimen: self, harness: harness, from: from, to: to)
    try make(from)
    return subject
  }

  /// Whether it knows the second digest as well.
  var knowsSHA256: Bool { self != .exampleFile }

  /// Whether `move` makes sense.
  var retires: Bool { self != .recordClone }

  /// What is at the destination once `from` has come to where `to` was: in most cases it has taken its place.
  func together(_ from: [String], _ to: [String]) -> [String] { self == .recordClone ? (from + to).sorted() : from }

  func make(_ path: String) throws {
    switch self {
    case .exampleFile: try write(path, String(repeating: "content ", count: 500_000))
    case .recordClone:
      let store = try RecordStore(creating: path, project: "server")
      try store.commit((0..<500).map { .add(["id": .ref(HRef("p\($0)")), "point": .marker, "siteRef": .ref(HRef("s"))]) })
      try store.commit([.add(["id": .ref(HRef("s")), "site": .marker, "dis": .string("x")])])
    default:
      try Files.makeFolder("\(path)/folder")
      try write("\(path)/large", String(repeating: "content ", count: 500_000))
      try write("\(path)/folder/small", "small")
      symlink("large", "\(path)/link")
    }
  }

  /// Changes content; each number differently.
  func change(_ path: String, _ number: Int) throws {
    switch self {
    case .exampleFile: try write(path, "changed \(number)")
    case .recordClone:
      let store = try RecordStore(path: path)
      try store.commit([
        .add(["id": .ref(HRef("new\(number)")), "point": .marker]), .remove(id: "p\(number)"),
        .update(id: "s", ["dis": .string("changed \(number)")]), .update(id: "p100", ["point": .remove]),
      ])
    default:
      try write("\(path)/folder/new \(number)", "new")
      try write("\(path)/large", "changed \(number)")
      unlink("\(path)/folder/small")
    }
  }

  /// Changes no content, but metadata.
  func touch(_ path: String) throws {
    if self == .recordClone {
      try RecordStore(path: path).commit([.update(id: "p200", [:])])
      return
    }
    chmod(self == .exampleFile ? path : "\(path)/large", 0o640)
  }

  /// Leaves nothing in it.
  func empty(_ path: String) throws {
    switch self {
    case .exampleFile: try write(path, "")
    case .recordClone:
      let store = try RecordStore(path: path)
      var ids: [String] = []
      try store.forEach(Filter("site or point")) { packed in
        ids.append((packed.tree.id?.id ?? "").split(separator: "p:\(store.project):r:", omittingEmptySubsequences: false).joined())
        return true
      }
      try store.commit(ids.map { .remove(id: $0) })
    default: for name in Files.names(in: path) { try Files.remove("\(path)/\(name)") }
    }
  }

  /// Something that was there before.
  func occupy(_ path: String) throws {
    if self == .recordClone {
      try RecordStore(creating: path, project: "client").commit([.add(["id": .ref(HRef("precious")), "site": .marker])])
      return
    }
    try contained?.make(path)
    if self != .exampleFile { try Files.makeFolder(path) }
    try write(self == .exampleFile ? path : "\(path)/precious", "precious")
  }

  private func write(_ path: String, _ text: String) throws {
    try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(Array(text.utf8))
  }
}

/// One migration under test.
final class Subject: ConformanceSubject {
  let specimen: Specimen
  let harness: Harness
  let from: String
  let to: String

  init(specimen: Specimen, harness: Harness, from: String, to: String) {
    (self.specimen, self.harness, self.from, self.to) = (specimen, harness, from, to)
    neighbours = Set(Files.names(in: Files.parent(of: to)) + [String(to.split(separator: "/").last ?? "")])
  }

  private let neighbours: Set<String>
  private let disk = DiskOfCheck()

  var ends: ItemEnds { harness }
  var knowsSHA256: Bool { specimen.knowsSHA256 }
  var retires: Bool { specimen.retires }

  func change(_ number: Int) throws { try specimen.change(from, number) }
  func touch() throws { try specimen.touch(from) }
  func empty() throws { try specimen.empty(from) }
  func occupy() throws { try specimen.occupy(to) }
  func together(_ from: [String], _ to: [String]) -> [String] { specimen.together(from, to) }
  func look(_ side: Side) throws -> [String] { try look(side == .source ? from : to) }

  /// What is at a path, by independent means; empty if there is nothing.
  private func look(_ path: String) throws -> [String] {
    guard Files.exists(path) else { return [] }
    // An engine keeps a folder for what is not filled yet.
    if specimen.contained != nil, Files.names(in: path).isEmpty { return [] }
    if Files.isFolder(path) { return try Oracle.describe(path).map(specimen.contained?.isLayer == true ? withoutMounts : { $0 }) }
    if specimen == .recordClone { return try records(path) }
    var status = stat()
    lstat(path, &status)
    return ["\(String(status.st_mode, radix: 8)) \(try Command(["sha256sum", path]).run().output.prefix(64))"]
  }

  /// The records of a store that are cloned, as both ends would have them.
  private func records(_ path: String) throws -> [String] {
    var lines: [String] = []
    let store = try RecordStore(path: path)
    try store.forEach(Filter("site or point")) { packed in
      var record = packed.tree
      record["mod"] = record["cloneMod"] ?? record["mod"]
      for name in ["clone", "cloneMod", "cloneSetRef"] { record[name] = nil }
      let text = ZincWriter.text(.dict(record))
      lines.append(text.split(separator: "p:\(store.project):r:", omittingEmptySubsequences: false).joined())
      return true
    }
    return lines.sorted()
  }

  /// A line of the oracle's without what the kernel notes about the mounts that a layer has seen.
  private func withoutMounts(_ line: String) -> String {
    let parts = line.split(separator: " ('trusted.overlay.")
    return parts.prefix(1).joined() + parts.dropFirst().map { $0.drop { $0 != ")" }.dropFirst() }.joined()
  }

  /// The names beside the target that were not there before.
  func residue() -> [String] { Files.names(in: Files.parent(of: to)).filter { !neighbours.contains($0) } }

  /// Other checks are at work on an engine's disk.
  func takeRoom() throws -> String? {
    if specimen.contained != nil { return "the engine is not this check's alone; EngineTests has a full disk" }
    guard specimen == .recordClone else { return try disk.take(on: Files.parent(of: to), kilobytes: 1024) }
    let more = (0..<20000).map {
      RecordStore.Edit.add(["id": .ref(HRef("more\($0)")), "point": .marker, "dis": .string("more of them \($0)")])
    }
    try RecordStore(path: from).commit(more)
    return try disk.take(on: Files.parent(of: to), kilobytes: 1536)
  }
  func makeRoom() throws { try disk.grow() }
  func end() { disk.end() }
}
