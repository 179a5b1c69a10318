import FerrySystem
import Glibc

/// A folder of a test's own, mode 0700, gone with its last reference or, if a global holds it, with the process.
public final class TemporaryFolder: Sendable {
  /// Absolute, without links.
  public let path: String

  /// Makes one.
  public init() throws {
    var template = Array("/tmp/ferry-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw FerryError(errno: errno, "cannot make a temporary folder") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    Self.kept.withLock { [path] in _ = $0.insert(path) }
  }

  deinit {
    Self.remove(path)
    Self.kept.withLock { _ = $0.remove(path) }
  }

  private static let kept: Lock<Set<String>> = {
    atexit { TemporaryFolder.kept.withLock { paths in for path in paths { remove(path) } } }
    return Lock([])
  }()

  /// Paths too long and names that are no text are left to `rm`.
  private static func remove(_ path: String) {
    do { try Files.remove(path) } catch { _ = try? Command(["rm", "-rf", "--one-file-system", path]).run() }
  }

  /// The path of a name inside.
  public func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file inside, with the folders above it, and returns its path.
  @discardableResult public func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws -> String {
    try Files.makeFolder(Files.parent(of: self(name)))
    let file = try Descriptor.open(self(name), O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    try file.write(Array(text.utf8))
    return self(name)
  }

  /// The text of a file inside.
  public func read(_ name: String) throws -> String { String(decoding: try Files.read(self(name)), as: UTF8.self) }
}
