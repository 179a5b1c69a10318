import Glibc

/// A process that cannot be mistaken for a later one of the same number: number, start time and the boot that it belongs to.
public struct ProcessIdentity: Sendable, Codable, Hashable {
  /// Its number.
  public var pid: Int32
  /// Clock ticks between boot and its start.
  public var started: UInt64
  /// The kernel's id of this boot.
  public var boot: String

  /// This process.
  public static var current: ProcessIdentity { ProcessIdentity(pid: getpid()) ?? ProcessIdentity(pid: getpid(), started: 0, boot: "") }

  /// A process as it was recorded.
  public init(pid: Int32, started: UInt64, boot: String) {
    self.pid = pid
    self.started = started
    self.boot = boot
  }

  /// The process of that number, or nil if there is none.
  public init?(pid: Int32) {
    guard let started = ProcessIdentity.startTime(of: pid) else { return nil }
    self.init(pid: pid, started: started, boot: ProcessIdentity.currentBoot)
  }

  /// Whether this very process still runs (a zombie does not).
  public var isAlive: Bool { boot == ProcessIdentity.currentBoot && ProcessIdentity.startTime(of: pid) == started }

  /// Kills it and its process group, if it is still this very process.
  public func kill() {
    guard isAlive, pid > 1 else { return }
    if getpgid(pid) == pid { _ = Glibc.kill(-pid, SIGKILL) }
    _ = Glibc.kill(pid, SIGKILL)
  }

  /// The kernel's id of this boot.
  public static let currentBoot: String =
    (try? Files.read("/proc/sys/kernel/random/boot_id")).map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } } ?? ""

  private static func startTime(of pid: Int32) -> UInt64? {
    guard let bytes = try? Files.read("/proc/\(pid)/stat") else { return nil }
    // The command's name stands in brackets and may hold anything; what follows the last bracket is regular.
    let fields = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
    guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
    return UInt64(fields[19])
  }
}
