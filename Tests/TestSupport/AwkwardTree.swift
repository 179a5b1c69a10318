import CLinux
import FerrySystem
import Glibc

/// A tree with every awkward thing that real trees hold, as far as this user and this file system can. What they cannot is in `leftOut`;
/// nothing is left out in silence.
public final class AwkwardTree {
  /// Parts that can be chosen.
  public enum Part: String, CaseIterable, Sendable {
    /// Names of any bytes, of 255 bytes, that look like options, patterns or whiteouts.
    case names
    /// A thousand folders deep, and a path longer than any system call takes.
    case depth
    /// Modes 0000, setuid, setgid and sticky.
    case modes
    /// Owners without an account, ids above 65535.
    case owners
    /// Nanoseconds, before 1970, of folders and links.
    case times
    /// Hard links within and across folders, and to a symbolic link.
    case hardLinks
    /// Absolute, dangling, to a folder, in a loop, very long.
    case links
    /// Holes at the start, in the middle, at the end, and nothing else; 5 GB.
    case sparse
    /// Sizes around a page and around what is sent in blocks.
    case sizes
    /// Extended attributes of all name spaces, long ones, capabilities.
    case attributes
    /// POSIX ACLs, access and default.
    case accessLists
    /// Fifo, socket, device files.
    case special
    /// One folder with very many entries.
    case crowd
    /// What `rework` then changes.
    case edits
    /// Immutable and append-only. `release` has to undo these before the tree can be removed.
    case flags
  }

  /// Where it was built.
  public let root: String
  /// What this user or file system cannot hold, each with the reason.
  public private(set) var leftOut: [String] = []
  private let base: BareFolder

  /// Builds it at a path that does not exist yet, or in an empty folder. `crowd` is the number of entries of the crowded folder.
  public init(at root: String, _ parts: [Part] = Part.allCases.filter { $0 != .flags }, crowd: Int = 2000) throws {
    self.root = root
    if !Files.isFolder(root) { try Files.makeFolder(root, mode: 0o755) }
    base = try BareFolder(root)
    for part in parts {
      let folder = try base.folder(part.rawValue)
      switch part {
      case .names: try names(folder)
      case .depth: try depth(folder)
      case .modes: try modes(folder)
      case .owners: try owners(folder)
      case .times: try times(folder)
      case .hardLinks: try hardLinks(folder)
      case .links: try links(folder)
      case .sparse: try sparse(folder)
      case .sizes: try sizes(folder)
      case .attributes: try attributes(folder)
      case .accessLists: try accessLists(folder)
      case .special: try special(folder)
      case .crowd: for index in 0..<crowd { try folder.file("entry-\(index)", index % 7 == 0 ? "\(index)" : "") }
      case .edits: try edits(folder)
      case .flags: try flags(folder)
      }
    }
  }

  deinit { release() }

  /// Takes the flags away that keep it from being removed.
  public func release() {
    guard let folder = try? base.enter(Array("flags".utf8)) else { return }
    for name in (try? folder.names()) ?? [] { if let file = try? folder.open(name, O_RDONLY) { _ = clinux_set_flags(file.number, 0) } }
  }

  func note(_ what: String) { leftOut.append(what) }

  /// Notes what did not work.
  func attempt(_ what: String, _ works: Bool) {
    let code = errno
    if !works { leftOut.append("\(what): \(String(cString: strerror(code)))") }
  }

  func attempt(_ what: String, _ body: () throws -> Void) {
    do { try body() } catch { leftOut.append("\(what): \(FerryError.wrap(error).message)") }
  }

  /// Bytes that look like nothing, the same for the same seed.
  public static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
    return [UInt8](unsafeUninitializedCapacity: count + 8) { buffer, written in
      let bytes = UnsafeMutableRawBufferPointer(buffer)
      for offset in stride(from: 0, to: count, by: 8) {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        bytes.storeBytes(of: state, toByteOffset: offset, as: UInt64.self)
      }
      written = count
    }
  }

  private func edits(_ folder: BareFolder) throws { try Rework.prepare(folder) }

  /// Changes what the part `edits` holds as running services change their trees: each kind of change once, in place.
  public func rework() throws {
    var rework = Rework(folder: try base.enter(Array("edits".utf8)))
    try rework.run()
    leftOut += rework.leftOut
  }

  private func flags(_ folder: BareFolder) throws {
    for (name, flag) in [("immutable", CLINUX_IMMUTABLE), ("append-only", CLINUX_APPEND_ONLY)] {
      let file = try folder.file(name, name)
      let failed = clinux_set_flags(file.number, UInt32(flag))
      if failed < 0 { leftOut.append("the flag \(name): \(String(cString: strerror(-failed)))") }
    }
  }
}
