import Ferry
import Glibc
import Synchronization

/// The standard streams. A reader that goes away ends the output, never the run.
enum Console {
  private static let writing = Mutex(())

  /// A line for people on stdout.
  static func line(_ text: String) { write(text + "\n", to: 1) }
  /// A line for people on stderr.
  static func complain(_ text: String) { write(text + "\n", to: 2) }
  /// A JSON object, one line on stdout.
  static func line(_ value: some Encodable) throws { write(String(decoding: try JSONValue.encode(value), as: UTF8.self) + "\n", to: 1) }

  /// Writes all of the text at once, so that lines of several threads do not mix.
  static func write(_ text: String, to number: Int32) {
    writing.withLock { _ in
      var rest = Array(text.utf8)[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.write(number, $0.baseAddress, $0.count) }
        if count < 0 && errno == EINTR { continue }
        if count < 0 && errno == EAGAIN {
          var ready = pollfd(fd: number, events: Int16(POLLOUT), revents: 0)
          poll(&ready, 1, -1)
          continue
        }
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
      }
    }
  }

  /// Whether stdout is a terminal that can rewrite a line.
  static var canRewrite: Bool { isatty(1) == 1 && environment("TERM") != "dumb" && environment("TERM") != nil }

  /// Columns of the terminal; 80 if it does not say.
  static var width: Int {
    var size = winsize()
    return ioctl(1, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
  }

  private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
