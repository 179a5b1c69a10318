import FerrySystem
import Glibc

/// Ferry's own files as they are installed, and their digest: what `deploy: true` brings to another host.
struct InstalledTree: Sendable, Codable {
  struct File: Sendable, Codable {
    /// In the tree.
    var path: String
    /// On this machine.
    var source: String
    var sha256: String
  }

  var files: [File]
  /// The oldest glibc that it runs with.
  var glibc: GlibcVersion

  /// As `sha256sum -c` reads it.
  var listing: String { files.map { "\($0.sha256)  \($0.path)\n" }.joined() }
  /// What the tree is called in caches.
  var digest: String { SHA256.hex(Array(listing.utf8)) }

  /// The tree that an executable belongs to. Read once, and known again by its files' stamps.
  static func of(_ executable: String) throws -> InstalledTree {
    let root = Files.parent(of: Files.parent(of: executable))
    guard executable == "\(root)/bin/ferry", Files.isFolder("\(root)/lib/ferry/plugins"), Files.isFolder("\(root)/lib/ferry/swift") else {
      throw FerryError(
        .precondition, "this ferry cannot be deployed: \(executable) does not lie in an installed tree",
        hint:
          "`Scripts/stage DIR` or `make install` lays one out; run its bin/ferry, or install ferry on the other host and leave `deploy` out"
      )
    }
    let own =
      ["bin/ferry"] + (Files.exists("\(root)/lib/ferry/ferry.lock") ? ["lib/ferry/ferry.lock"] : [])
      + ["plugins", "swift", "system"].flatMap { folder in
        Files.names(in: "\(root)/lib/ferry/\(folder)").filter { !$0.hasSuffix(".new") }.map { "lib/ferry/\(folder)/\($0)" }
      }
    let stamps = try own.map { "\($0) \(try stamp("\(root)/\($0)"))\n" }.joined()
    let kept = Engine.Configuration.cache.map { "\($0)/trees/\(SHA256.hex(Array("\(root)\n\(stamps)".utf8)))" }
    if let kept, let bytes = try? Files.read(kept), let tree = try? JSONValue.decode(InstalledTree.self, from: bytes) { return tree }
    let tree = try read(
      own.map { ($0, "\(root)/\($0)") } + (own.contains { $0.hasPrefix("lib/ferry/system/") } ? [] : borrowed(own.map { "\(root)/\($0)" })))
    if let kept, let bytes = try? JSONValue.encode(tree) {
      try? Files.makeFolder(Files.parent(of: kept))
      try? Files.replace(kept, with: bytes)
    }
    return tree
  }

  private static func read(_ files: [(path: String, source: String)]) throws -> InstalledTree {
    let read = try Threads.map(files, limit: 2) { file in
      let bytes = try Files.read(file.source, limit: 1 << 30)
      return (file: File(path: file.path, source: file.source, sha256: SHA256.hex(bytes)), glibc: GlibcVersion(neededBy: bytes))
    }
    return InstalledTree(files: read.map(\.file).sorted { $0.path < $1.path }, glibc: read.map(\.glibc).max() ?? GlibcVersion())
  }

  /// A tree without `lib/ferry/system` uses this machine's libraries; the other host may lack them. glibc and the C++ runtime are its own.
  private static func borrowed(_ objects: [String]) throws -> [(String, String)] {
    let outcome = try Command(["ldd"] + objects.filter { !$0.hasSuffix(".lock") }, timeout: .seconds(60)).run()
    let glibcs = ["libc.", "libm.", "libdl.", "libpthread.", "librt.", "libutil.", "libresolv.", "libgcc_s.", "libstdc++.", "ld-linux"]
    var found: [String: String] = [:]
    for line in outcome.output.split(separator: "\n") {
      let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
      guard words.count >= 3, words[1] == "=>", words[2].hasPrefix("/"), !words[2].contains("/lib/ferry/") else { continue }
      if !glibcs.contains(where: { words[0].hasPrefix($0) }) { found["lib/ferry/system/\(words[0])"] = words[2] }
    }
    return found.map { ($0.key, $0.value) }
  }

  private static func stamp(_ path: String) throws -> String {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot read \(path)") }
    return "\(status.st_ino) \(status.st_size) \(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
  }
}

/// A version of glibc, such as 2.36.
struct GlibcVersion: Sendable, Codable, Comparable, CustomStringConvertible {
  var major = 0
  var minor = 0

  init() {}

  /// From a text such as `2.36`.
  init?(_ text: some StringProtocol) {
    let numbers = text.split(separator: ".").map { Int($0) }
    guard numbers.count >= 2, let major = numbers[0], let minor = numbers[1] else { return nil }
    self.major = major
    self.minor = minor
  }

  /// The newest `GLIBC_2.N` among an object's symbol versions: the oldest glibc that it runs with.
  init(neededBy object: [UInt8]) {
    let prefix = Array("GLIBC_".utf8)
    object.withUnsafeBytes { all in
      guard var place = all.baseAddress else { return }
      let end = place + all.count
      while let hit = memchr(place, Int32(prefix[0]), end - place) {
        place = UnsafeRawPointer(hit) + 1
        guard end - place > prefix.count + 8, memcmp(hit, prefix, prefix.count) == 0 else { continue }
        let digits = UnsafeRawBufferPointer(start: UnsafeRawPointer(hit) + prefix.count, count: 8).prefix {
          $0 == 46 || (48...57).contains($0)
        }
        if let version = GlibcVersion(String(decoding: digits, as: UTF8.self)) { self = max(self, version) }
      }
    }
  }

  var description: String { "\(major).\(minor)" }
  static func < (one: Self, other: Self) -> Bool { (one.major, one.minor) < (other.major, other.minor) }
}
