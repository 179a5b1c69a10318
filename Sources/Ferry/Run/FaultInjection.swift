import FerrySystem
import Glibc

/// Strikes at a chosen point of the journal, so that tests can prove what a loss leaves behind at each of them. A point is a moment just after
/// a commit; they are numbered from 1 within one session.
///
/// An order is `list:FILE`, which writes the points' names; `TARGET@POINT`, which kills TARGET (`controller`, `source-agent`, `destination-agent`,
/// `source-host`, `destination-host`, `watchdog`) with SIGKILL at that point; `stop-TARGET@POINT`, which sends SIGSTOP instead; or
/// `hold:FILE@POINT`, which makes FILE and waits until it is gone. POINT is a number, or a name: the first point that is called so.
/// The command takes one from `FERRY_FAULT`; a program that embeds Ferry is not struck by its environment.
struct FaultInjection: Sendable {
  /// The environment variable that the command takes its order from: nodes do not inherit it.
  static let variable = "FERRY_FAULT"

  private enum Act: Sendable {
    case strike(target: String, signal: Int32)
    case hold(String)
  }
  private enum Order: Sendable {
    case list(String)
    case once(Act, point: String)
  }
  private let order: Order?
  private let count = Lock(0)
  private let isDone = Lock(false)
  /// Finds the processes of a target.
  let victims: @Sendable (String) -> [ProcessIdentity]

  init(_ order: String?, victims: @escaping @Sendable (String) -> [ProcessIdentity]) {
    self.victims = victims
    let text = order ?? ""
    if text.hasPrefix("list:") {
      self.order = .list(String(text.dropFirst(5)))
    } else if let at = text.firstIndex(of: "@") {
      self.order = .once(Self.act(String(text[..<at])), point: String(text[text.index(after: at)...]))
    } else {
      self.order = nil
    }
  }

  private static func act(_ text: String) -> Act {
    if text.hasPrefix("hold:") { return .hold(String(text.dropFirst(5))) }
    return text.hasPrefix("stop-") ? .strike(target: String(text.dropFirst(5)), signal: SIGSTOP) : .strike(target: text, signal: SIGKILL)
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
    case .once(let act, let point):
      let isDue = isDone.withLock { isDone in
        guard !isDone, point == name || point == String(number) else { return false }
        isDone = true
        return true
      }
      if isDue { perform(act) }
    }
  }

  private func perform(_ act: Act) {
    switch act {
    case .strike(target: "controller", let signal): kill(getpid(), signal)
    case .strike(let target, let signal): for victim in victims(target) where victim.isAlive { kill(victim.pid, signal) }
    case .hold(let path):
      try? Files.replace(path, with: [])
      while Files.exists(path) { usleep(5000) }
    }
  }
}
