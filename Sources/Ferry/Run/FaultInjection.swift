import FerrySystem
import Glibc

/// Kills a chosen process at a chosen point of the journal, so that tests can prove what a crash leaves behind at each of them. A point is a
/// moment just after a commit; they are numbered from 1 within one session.
///
/// `FERRY_FAULT=list:FILE` writes the points' names; `FERRY_FAULT=TARGET@N` kills TARGET (`controller`, `source-agent`, `destination-agent`,
/// `source-host`, `destination-host`, `watchdog`) with SIGKILL at point N; `stop-TARGET@N` sends SIGSTOP instead.
struct FaultInjection: Sendable {
  /// The environment variable that asks for it.
  static let variable = "FERRY_FAULT"

  private enum Order: Sendable {
    case list(String)
    case strike(target: String, signal: Int32, point: Int)
  }
  private let order: Order?
  private let count = Lock(0)
  /// Finds the processes of a target.
  let victims: @Sendable (String) -> [ProcessIdentity]

  init(victims: @escaping @Sendable (String) -> [ProcessIdentity]) {
    self.victims = victims
    let text = Environment.all[Self.variable] ?? ""
    if text.hasPrefix("list:") {
      order = .list(String(text.dropFirst(5)))
    } else if let at = text.firstIndex(of: "@"), let point = Int(text[text.index(after: at)...]) {
      let target = text[..<at]
      let stops = target.hasPrefix("stop-")
      order = .strike(target: String(stops ? target.dropFirst(5) : target), signal: stops ? SIGSTOP : SIGKILL, point: point)
    } else {
      order = nil
    }
  }

  /// A point was reached.
  func reached(_ name: String) {
    guard let order else { return }
    let number = count.withLock { count in
      count += 1
      return count
    }
    switch order {
    case .list(let path):
      if let file = try? Descriptor.open(path, O_WRONLY | O_CREAT | O_APPEND) { try? file.write(Array("\(name)\n".utf8)) }
    case .strike(let target, let signal, let point):
      guard number == point else { return }
      if target == "controller" {
        kill(getpid(), signal)
        return
      }
      for victim in victims(target) where victim.isAlive { kill(victim.pid, signal) }
    }
  }
}
