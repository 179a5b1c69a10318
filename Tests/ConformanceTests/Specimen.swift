import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// A provider as the suite sees it: how to make its state, change it, and look at it. A new provider adds one here.
enum Specimen: String, CaseIterable, Sendable, CustomTestStringConvertible {
  case exampleFile = "example-file"
  case rsync
  case restic
  case rsyncDaemon = "rsync, transport daemon"
  case podmanVolume = "podman-volume"
  case dockerVolume = "docker-volume"
  case podmanLayer = "podman-layer"
  case dockerLayer = "docker-layer"

  var testDescription: String { rawValue }

  /// A migration of a fresh state.
  func harness() throws -> Subject {
    if let contained { return try contained.subject(self) }
    let folder = try TemporaryFolder()
    try Files.makeFolder(folder("a"))
    try Files.makeFolder(folder("b"))
    let (from, to) = (folder("a/state"), folder("b/state"))
    let harness: Harness
    switch self {
    case .exampleFile:
      harness = try Harness(
        product: "example", provider: "example-file", folder: folder, from: ["file": .string(from)], to: ["file": .string(to)])
    case .restic:
      harness = try Harness(
        product: "restic", provider: "restic", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)],
        keys: ["repository": .string(folder("repository")), "replace": true], secrets: ["password": "a word"])
    case .rsync, .rsyncDaemon:
      harness = try Harness(
        product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(from)], to: ["path": .string(to)],
        keys: ["transport": self == .rsync ? "channel" : "daemon", "replace": true])
    default: throw FerryError(.internal, "\(self) is made elsewhere")
    }
    let subject = Subject(specimen: self, harness: harness, from: from, to: to)
    try make(from)
    return subject
  }

  /// Whether it knows the second digest as well.
  var knowsSHA256: Bool { self != .exampleFile }

  func make(_ path: String) throws {
    switch self {
    case .exampleFile: try write(path, String(repeating: "content ", count: 500_000))
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
    default:
      try write("\(path)/folder/new \(number)", "new")
      try write("\(path)/large", "changed \(number)")
      unlink("\(path)/folder/small")
    }
  }

  /// Changes no content, but metadata.
  func touch(_ path: String) { chmod(self == .exampleFile ? path : "\(path)/large", 0o640) }

  /// Something that was there before.
  func occupy(_ path: String) throws {
    try contained?.make(path)
    if self != .exampleFile { try Files.makeFolder(path) }
    try write(self == .exampleFile ? path : "\(path)/precious", "precious")
  }

  private func write(_ path: String, _ text: String) throws {
    try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(Array(text.utf8))
  }
}

/// One migration under test.
final class Subject: Sendable {
  let specimen: Specimen
  let harness: Harness
  let from: String
  let to: String

  init(specimen: Specimen, harness: Harness, from: String, to: String) {
    (self.specimen, self.harness, self.from, self.to) = (specimen, harness, from, to)
    neighbours = Set(Files.names(in: Files.parent(of: to)) + [String(to.split(separator: "/").last ?? "")])
  }

  private let neighbours: Set<String>

  func change(_ number: Int) throws { try specimen.change(from, number) }

  /// What is at a path, by independent means; empty if there is nothing.
  func look(_ path: String) throws -> [String] {
    guard Files.exists(path) else { return [] }
    // An engine keeps a folder for what is not filled yet.
    if specimen.contained != nil, Files.names(in: path).isEmpty { return [] }
    if Files.isFolder(path) { return try Oracle.describe(path).map(specimen.contained?.isLayer == true ? withoutMounts : { $0 }) }
    var status = stat()
    lstat(path, &status)
    return ["\(String(status.st_mode, radix: 8)) \(try Command(["sha256sum", path]).run().output.prefix(64))"]
  }

  /// A line of the oracle's without what the kernel notes about the mounts that a layer has seen.
  private func withoutMounts(_ line: String) -> String {
    let parts = line.split(separator: " ('trusted.overlay.")
    return parts.prefix(1).joined() + parts.dropFirst().map { $0.drop { $0 != ")" }.dropFirst() }.joined()
  }

  /// The names beside the target that were not there before.
  var residue: [String] { Files.names(in: Files.parent(of: to)).filter { !neighbours.contains($0) } }
}
