import Ferry
import FerrySystem
import Glibc

/// A folder or a file as the state of any provider that takes its path.
public final class FileSubject: ConformanceSubject {
  /// What the path is of.
  public enum Kind: String, Sendable, CaseIterable { case folder, file }

  /// Both ends of the item.
  public let ends: ItemEnds
  /// Whether the provider knows the second digest.
  public let knowsSHA256: Bool
  private let kind: Kind
  private let from: String
  private let to: String
  private let neighbours: Set<String>
  private let disk = DiskOfCheck()

  /// A fresh state below `folder`, which is the caller's to remove. `key` is what the item's `from` and `to` call the path.
  public init(
    _ kind: Kind, key: String, folder: String, executable: String, plugin: PluginFile, provider: String, keys: [String: JSONValue],
    secrets: [String: [UInt8]] = [:], knowsSHA256: Bool = true
  ) throws {
    self.kind = kind
    self.knowsSHA256 = knowsSHA256
    (from, to) = ("\(folder)/a/state", "\(folder)/b/state")
    neighbours = ["state"]
    for name in ["a", "b"] { try Files.makeFolder("\(folder)/\(name)") }
    ends = ItemEnds(
      executable: executable, plugin: plugin, provider: provider, home: folder, from: [key: .string(from)], to: [key: .string(to)],
      keys: keys, told: ["allow-empty": true, "run-mode": "copy"], secrets: secrets)
    try make()
  }

  private func make() throws {
    let content = String(repeating: "content ", count: 500_000)
    guard kind == .folder else { return try write(from, content) }
    try Files.makeFolder("\(from)/folder", mode: 0o755)
    try write("\(from)/large", content)
    try write("\(from)/folder/small", "small")
    guard symlink("large", "\(from)/link") == 0 else { throw FerryError(errno: errno, "cannot make a link") }
  }

  /// Content, and names in a folder.
  public func change(_ number: Int) throws {
    guard kind == .folder else { return try write(from, "changed \(number)") }
    try write("\(from)/folder/new \(number)", "new")
    try write("\(from)/large", "changed \(number)")
    try Files.remove("\(from)/folder/small")
  }

  /// A mode.
  public func touch() throws { chmod(kind == .file ? from : "\(from)/large", 0o640) }

  /// No content, or nothing in the folder.
  public func empty() throws {
    guard kind == .folder else { return try write(from, "") }
    for name in Files.names(in: from) { try Files.remove("\(from)/\(name)") }
  }

  /// Something precious.
  public func occupy() throws {
    if kind == .folder { try Files.makeFolder(to) }
    try write(kind == .file ? to : "\(to)/precious", "precious")
  }

  /// By `find` and `sha256sum`.
  public func look(_ side: Side) throws -> [String] {
    let path = side == .source ? from : to
    guard Files.exists(path) else { return [] }
    let script =
      #"find "$1" -printf '%P %y %m %l\n' | sort; cd "$1" 2>/dev/null && set -- . || cd /; find "$1" -type f -exec sha256sum {} + | sort -k 2"#
    let outcome = try Command(["sh", "-c", script, "look", path]).run()
    guard outcome.succeeded else { throw FerryError(.io, "cannot look at \(path): \(outcome.errors)") }
    // A file's own name is no part of it.
    return outcome.output.split(separator: "\n").map { $0.split(separator: path).joined() }
  }

  /// Other names beside the target.
  public func residue() -> [String] { Files.names(in: Files.parent(of: to)).filter { !neighbours.contains($0) } }

  /// A quarter of what the state has.
  public func takeRoom() throws -> String? { try disk.take(on: Files.parent(of: to), kilobytes: 1024) }
  /// More than it needs.
  public func makeRoom() throws { try disk.grow() }
  /// Its disk goes.
  public func end() { disk.end() }

  private func write(_ path: String, _ text: String) throws {
    try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644).write(Array(text.utf8))
  }
}
