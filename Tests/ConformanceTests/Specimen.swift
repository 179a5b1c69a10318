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

  var testDescription: String { rawValue }

  /// A migration of a fresh state.
  func harness() throws -> Subject {
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
    }
    let subject = Subject(specimen: self, harness: harness, from: from, to: to)
    try make(from)
    return subject
  }

  /// Whether it knows the second digest as well.
  var knowsSHA256: Bool { self != .exampleFile }

  private func make(_ path: String) throws {
    switch self {
    case .exampleFile: try write(path, String(repeating: "content ", count: 500_000))
    case .rsync, .rsyncDaemon, .restic:
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
    case .rsync, .rsyncDaemon, .restic:
      try write("\(path)/folder/new \(number)", "new")
      try write("\(path)/large", "changed \(number)")
      unlink("\(path)/folder/small")
    }
  }

  /// Changes no content, but metadata.
  func touch(_ path: String) { chmod(self == .exampleFile ? path : "\(path)/large", 0o640) }

  /// Something that was there before.
  func occupy(_ path: String) throws {
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
  }

  func change(_ number: Int) throws { try specimen.change(from, number) }

  /// What is at a path, by independent means; empty if there is nothing.
  func look(_ path: String) throws -> [String] {
    guard Files.exists(path) else { return [] }
    if Files.isFolder(path) { return try Oracle.describe(path) }
    var status = stat()
    lstat(path, &status)
    return ["\(String(status.st_mode, radix: 8)) \(try Command(["sha256sum", path]).run().output.prefix(64))"]
  }

  /// The names beside the target.
  var residue: [String] { Files.names(in: Files.parent(of: to)) }
}
