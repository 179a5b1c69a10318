import CLinux
import FerrySystem
import Glibc

extension AwkwardTree {
  func sizes(_ folder: BareFolder) throws {
    for size in [0, 1, 4095, 4096, 4097, 65535, 65537, 1 << 20, (1 << 20) + 1] {
      try folder.file(Array("\(size)".utf8), Self.noise(size, seed: UInt64(size)))
    }
    // More than what is sent as one piece; sent in blocks when it changes.
    try folder.file(Array("large".utf8), Self.noise(17 << 20, seed: 17))
    try folder.file(Array("zeros".utf8), Array(repeating: 0, count: 100_000))
  }

  func sparse(_ folder: BareFolder) throws {
    func file(_ name: String, size: Int, _ data: [(offset: Int, bytes: [UInt8])]) {
      attempt("the sparse file '\(name)'") {
        let file = try folder.file(name)
        guard ftruncate(file.number, size) == 0 else { throw FerryError(errno: errno, "ftruncate") }
        for (offset, bytes) in data {
          guard pwrite(file.number, bytes, bytes.count, offset) == bytes.count else { throw FerryError(errno: errno, "pwrite") }
        }
      }
    }
    let (megabyte, data) = (1 << 20, Self.noise(10_000, seed: 3))
    file("hole at the start", size: megabyte + 10_000, [(megabyte, data)])
    file("hole in the middle", size: 2 * megabyte, [(0, data), (2 * megabyte - 10_000, data)])
    file("hole at the end", size: megabyte, [(0, data)])
    file("hole and nothing else", size: megabyte, [])
    file("one byte more than a hole", size: megabyte + 1, [(megabyte, [7])])
    file("many holes", size: 4 * megabyte, (0..<16).map { ($0 * 262_144 + 8192, Array(data.prefix(4096))) })
    file("5 GB", size: 5_000_000_000, [(0, [1]), (4_500_000_000, data), (4_999_999_999, [2])])
    // Blocks that are allocated, not written: nothing says that they have to stay so, but they read as zeros.
    attempt("blocks allocated in advance") {
      let file = try folder.file("allocated")
      let failed = clinux_allocate(file.number, 0, Int64(megabyte))
      guard failed >= 0 else { throw FerryError(errno: -failed, "fallocate") }
    }
  }

  func special(_ folder: BareFolder) throws {
    attempt("a fifo", folder.call("fifo") { mkfifoat($0, $1, 0o640) })
    attempt("a socket", Self.bindSocket(folder, "socket"))
    let devices: [(String, mode_t, dev_t)] = [
      ("null", S_IFCHR | 0o666, Self.device(1, 3)), ("block", S_IFBLK | 0o660, Self.device(7, 99)),
      ("large numbers", S_IFCHR | 0o600, Self.device(511, 70000)),
      ("whiteout", S_IFCHR, 0),
    ]
    for (name, mode, device) in devices {
      // Anybody may make a whiteout, but nobody counts on it.
      guard geteuid() == 0 else {
        note("the device file '\(name)': only root makes these")
        continue
      }
      attempt("the device file '\(name)'", folder.call(name) { mknodat($0, $1, mode, device) })
    }
  }

  private static func device(_ major: dev_t, _ minor: dev_t) -> dev_t { (major << 8) | (minor & 0xff) | ((minor & ~0xff) << 12) }

  /// Binds a socket, which stays when its descriptor is closed.
  static func bindSocket(_ folder: BareFolder, _ name: String) -> Bool {
    let number = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    guard number >= 0 else { return false }
    defer { close(number) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: folder.short(Array(name.utf8))) }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(number, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    } == 0
  }
}
