import FerrySystem
import Glibc

extension SSHSession {
  /// Of the session that leads to this process; nil: there is none, or it cannot be seen.
  static var current: SSHSession? {
    if let own = Environment.all["SSH_CONNECTION"] { return SSHSession(own) }
    // sudo leaves the variable out; root may read it off the processes above.
    var process = getppid()
    for _ in 0..<4 where process > 1 {
      if let bytes = try? Files.read("/proc/\(process)/environ") {
        let variables = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        if let text = variables.first(where: { $0.hasPrefix("SSH_CONNECTION=") }) { return SSHSession(String(text.dropFirst(15))) }
      }
      guard let above = parent(of: process) else { return nil }
      process = above
    }
    return nil
  }

  /// `client-address client-port server-address server-port`.
  init?(_ text: String) {
    let words = text.split(separator: " ").map(String.init)
    guard words.count == 4 else { return nil }
    (client, server) = (words[0], words[2])
  }

  private static func parent(of process: Int32) -> Int32? {
    guard let text = (try? Files.read("/proc/\(process)/stat")).map({ String(decoding: $0, as: UTF8.self) }),
      let end = text.lastIndex(of: ")")
    else { return nil }
    return text[text.index(after: end)...].split(separator: " ").dropFirst().first.flatMap { Int32($0) }
  }
}
