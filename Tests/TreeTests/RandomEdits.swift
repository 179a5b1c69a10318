import CLinux
import FerrySystem
import Glibc
import TestSupport

/// Numbers that are the same for the same seed, so that a run that fails can be had again.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64
  init(_ seed: UInt64) { state = seed &+ 0x9e37_79b9_7f4a_7c15 }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

/// Edits a tree at random in every way that a service can: what an edit needs may be gone by then, and then it does nothing.
final class RandomEdits {
  private let root: String
  private var generator: SeededGenerator
  private var folders: [String] = [""]
  private var files: [String] = []
  private var serial = 0
  private(set) var done = 0

  init(_ root: String, seed: UInt64) {
    self.root = root
    generator = SeededGenerator(seed)
  }

  /// So many edits.
  func run(_ count: Int) throws {
    for index in 0..<count {
      // What it knows of the tree may be a little old: so are services' ideas.
      if index % 40 == 0 { try look() }
      edit()
    }
  }

  private func look() throws {
    (folders, files) = ([""], [])
    var waiting = [("", try BareFolder(root))]
    while let (path, folder) = waiting.popLast() {
      for name in try folder.names() {
        guard let text = String(validating: name, as: UTF8.self) else { continue }
        let whole = path.isEmpty ? text : "\(path)/\(text)"
        if try folder.status(name).st_mode & S_IFMT == S_IFDIR {
          folders.append(whole)
          waiting.append((whole, try folder.enter(name)))
        } else {
          files.append(whole)
        }
      }
    }
  }

  private func pick(_ list: [String]) -> String { "\(root)/\(list.randomElement(using: &generator) ?? "none")" }
  private func number(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &generator) }
  private func fresh() -> String {
    serial += 1
    let names = ["n\(serial)", "n\(serial % 30)", " n\(serial % 20)\n", "-n\(serial)", "é\(serial % 9)"]
    return "\(pick(folders))/\(names[number(names.count)])"
  }
  private func content() -> [UInt8] {
    AwkwardTree.noise([0, 1, 100, 4096, 5000, 70_000][number(6)], seed: UInt64(serial) &+ generator.next() % 1000)
  }

  private func open(_ path: String, _ flags: Int32, _ body: (Descriptor) -> Void) {
    guard let file = try? Descriptor.open(path, flags | O_NOFOLLOW | O_NONBLOCK, mode: 0o644) else { return }
    body(file)
  }

  private func edit() {
    done += 1
    let isCrowded = files.count > 500
    switch number(26) {
    case 0, 1, 2: if !isCrowded { open(fresh(), O_WRONLY | O_CREAT) { try? $0.write(content()) } }
    case 3: if folders.count < 120 { mkdir(fresh(), 0o755) }
    case 4: open(pick(files), O_WRONLY | O_TRUNC) { try? $0.write(content()) }
    case 5: open(pick(files), O_WRONLY | O_APPEND) { try? $0.write(content()) }
    case 6: open(pick(files), O_WRONLY) { pwrite($0.number, [UInt8(number(256))], 1, number(5000)) }
    case 7: truncate(pick(files), number(9000))
    case 8: mapped(pick(files))
    case 9: rename(pick(files), fresh())
    case 10: rename(pick(files), pick(files))
    case 11: rename(pick(folders), fresh())
    case 12: rename(pick(folders), pick(folders))
    case 13: if !isCrowded { link(pick(files), fresh()) }
    case 14: unlink(pick(files))
    case 15: if folders.count > 20 || isCrowded { try? Files.remove(below(pick(folders))) }
    case 16: chmod(pick(files + folders.dropFirst()), [0o700, 0o740, 0o755, 0o4711, 0o1777][number(5)])
    case 17: lchown(pick(files), UInt32(number(3000)), UInt32(number(70_000)))
    case 18: attribute(pick(files + folders.dropFirst()), set: true)
    case 19: attribute(pick(files), set: false)
    case 20: touch(pick(files + folders))
    case 21: if !isCrowded { symlink("target \(number(1000))", fresh()) }
    case 22: replaceKind(pick(files))
    case 23: _ = clinux_rename(AT_FDCWD, pick(files + folders.dropFirst()), AT_FDCWD, pick(files + folders.dropFirst()), 2 /* exchange */)
    case 24: open(pick(files), O_RDWR) { _ = clinux_punch_hole($0.number, 0, 4096) }
    default: remake(pick(folders))
    }
  }

  /// A path that is not the root itself.
  private func below(_ path: String) -> String { path == "\(root)/" ? "\(root)/none" : path }

  /// Written through a map whose file was closed before.
  private func mapped(_ path: String) {
    open(path, O_RDWR) { file in
      var status = stat()
      guard fstat(file.number, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size > 0 else { return }
      guard let page = mmap(nil, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file.number, 0), page != MAP_FAILED else { return }
      file.close()
      page.storeBytes(of: UInt8(number(256)), as: UInt8.self)
      munmap(page, 1)
    }
  }

  private func attribute(_ path: String, set: Bool) {
    let name = "user.n\(number(3))"
    if set {
      _ = [UInt8(number(256))].withUnsafeBytes { clinux_setxattr(path, name, $0.baseAddress, 1) }
    } else {
      _ = clinux_removexattr(path, name, 0)
    }
  }

  private func touch(_ path: String) {
    let times = [timespec(tv_sec: 1, tv_nsec: 1), timespec(tv_sec: number(2_000_000_000), tv_nsec: number(1_000_000_000))]
    utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW)
  }

  private func replaceKind(_ path: String) {
    guard unlink(path) == 0, mkdir(path, 0o750) == 0 else { return }
    open("\(path)/inside", O_WRONLY | O_CREAT) { try? $0.write(content()) }
  }

  /// A folder goes with all that is in it, and one of its name comes back with something else.
  private func remake(_ path: String) {
    let path = below(path)
    guard Files.isFolder(path), (try? Files.remove(path)) != nil, mkdir(path, 0o755) == 0 else { return }
    open("\(path)/new", O_WRONLY | O_CREAT) { try? $0.write(content()) }
  }
}

/// All that counts of a tree, by path.
struct TreeSnapshot {
  struct Entry: Equatable {
    var mode: UInt32
    var owner: [UInt32]
    var time: [Int]
    var content: [UInt8]
    var attributes: [[UInt8]: [UInt8]]
    var isFolder: Bool { mode & S_IFMT == S_IFDIR }
  }
  var entries: [[UInt8]: Entry] = [:]
  /// Which file it is, for those with several names.
  var shared: [[UInt8]: UInt64] = [:]

  init(_ root: String) throws {
    let top = try BareFolder(root)
    try add(top, [], [])
    var waiting = [([UInt8](), top)]
    while let (path, folder) = waiting.popLast() {
      for name in try folder.names() {
        let whole = path.isEmpty ? name : path + [0x2f] + name
        if try add(folder, name, whole) { waiting.append((whole, try folder.enter(name))) }
      }
    }
  }

  @discardableResult private mutating func add(_ folder: BareFolder, _ name: [UInt8], _ path: [UInt8]) throws -> Bool {
    let status = try folder.status(name)
    var entry = Entry(
      mode: status.st_mode, owner: [status.st_uid, status.st_gid], time: [status.st_mtim.tv_sec, status.st_mtim.tv_nsec], content: [],
      attributes: try folder.attributes(name))
    switch status.st_mode & S_IFMT {
    case S_IFREG: entry.content = try folder.open(name, O_RDONLY).read(upTo: 1 << 20)
    case S_IFLNK: entry.content = try folder.target(name)
    default: break
    }
    entries[path] = entry
    if status.st_nlink > 1, !entry.isFolder { shared[path] = UInt64(status.st_ino) }
    return entry.isFolder
  }

  /// Paths whose entry is another one than it was.
  func changed(since before: TreeSnapshot) -> [[UInt8]] {
    Set(entries.keys).union(before.entries.keys).filter { entries[$0] != before.entries[$0] }
  }
}
