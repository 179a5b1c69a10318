import CLinux
import FerrySystem
import Glibc

/// Brings a quiesced source back when the controller has been silent for too long; never one that is sealed. A process of its own, so that it
/// outlives the agent, the controller and the terminal.
enum Watchdog {
  private struct Deadline: Codable {
    var until: Double
    var boot: String
  }

  /// The controller has given word: the deadline moves.
  static func touch(folder: String, for duration: Duration) throws {
    let deadline = Deadline(until: steadyClock() + duration.inSeconds, boot: ProcessIdentity.currentBoot)
    try Files.replace("\(folder)/deadline", with: JSONValue.encode(deadline))
  }

  /// Whether the deadline is still ahead. After a reboot it has passed: nobody has watched since.
  static func isInTime(folder: String) -> Bool { remaining(folder: folder) > 0 }

  /// Starts the watchdog of a session, under systemd where it runs the machine (an ssh session's end must not end it), else as a detached process.
  static func arm(_ session: NodeSession) throws {
    let home = session.surroundings.store.home
    let arguments =
      [session.surroundings.executable, "watchdog", "--home", home, "--run", session.record.run]
      + session.surroundings.pluginFolders.flatMap { ["--plugins", $0] }
    if Files.exists("/run/systemd/private"), let systemd = try? Programs.find("systemd-run") {
      let unit = "ferry-watchdog-\(session.record.run)-\(session.epoch ?? 0)"
      let outcome = try? Command([systemd, "--quiet", "--collect", "--unit=\(unit)"] + arguments, timeout: .seconds(10)).run()
      if outcome?.succeeded == true { return }
    }
    let null = try Descriptor.open("/dev/null", O_RDWR)
    // Reaped by nobody: it must outlive us. Being its parent matters only until we end, and a zombie until then is harmless.
    let watchdog = try ChildProcess.spawn(arguments, descriptors: [0: null.number, 1: null.number, 2: null.number])
    try Files.replace("\(session.folder)/watchdog", with: JSONValue.encode(ProcessIdentity(pid: watchdog.pid)))
    Threads.detach { watchdog.wait() }
  }

  /// The source serves again, or is sealed: nothing is left to watch. One that systemd runs sees it by itself within seconds.
  static func dismiss(folder: String) {
    guard let bytes = try? Files.read("\(folder)/watchdog"), let watchdog = try? JSONValue.decode(ProcessIdentity.self, from: bytes),
      watchdog != .current
    else { return }
    watchdog.kill()
  }

  /// What `ferry watchdog` does: waits for the deadline, and thaws if the source is quiesced then.
  static func run(_ surroundings: NodeSession.Surroundings, run: String) throws {
    let store = surroundings.store
    let folder = store.folder(run, .source)
    while let record = try store.record(run, .source), record.state == .quiesced {
      let left = remaining(folder: folder)
      if left > 0 {
        usleep(UInt32(min(left, 5) * 1_000_000) + 1000)
        continue
      }
      // Whoever holds the record's lock may hang: past the deadline the session's time is over.
      try SessionProcesses(folder: folder).killAll()
      guard let latest = try store.record(run, .source), latest.state == .quiesced, !isInTime(folder: folder) else { continue }
      let session = NodeSession(surroundings, record: latest, epoch: nil)
      defer { session.end() }
      do {
        try session.thaw(note: "brought back by the watchdog at \(Timestamp.text(wallClock())): the controller gave no word in time")
        return
      } catch {
        // A service that does not start now may start later; nobody else is there to try.
        usleep(5_000_000)
      }
    }
  }

  /// Seconds until the deadline; 0 or less once it has passed.
  static func remaining(folder: String) -> Double {
    guard let bytes = try? Files.read("\(folder)/deadline"), let deadline = try? JSONValue.decode(Deadline.self, from: bytes),
      deadline.boot == ProcessIdentity.currentBoot
    else { return 0 }
    return deadline.until - steadyClock()
  }

  /// When the source comes back by itself, in seconds since 1970; nil if the node has booted since, so that nobody watches.
  static func deadline(folder: String) -> Double? {
    guard let bytes = try? Files.read("\(folder)/deadline"), let deadline = try? JSONValue.decode(Deadline.self, from: bytes),
      deadline.boot == ProcessIdentity.currentBoot
    else { return nil }
    return wallClock() + deadline.until - steadyClock()
  }

  /// Seconds since boot, asleep or not: a wall clock that is set must neither thaw early nor late.
  private static func steadyClock() -> Double {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
  }
}
