import FerrySystem
import Glibc

/// What a host says: lines of its log service and of its stdout and stderr, limited, with secrets blotted out.
final class HostLog: Sendable {
  private struct State {
    var limiter = LogLimiter()
    var last: [String] = []
  }
  /// What an error shows of the end of the log.
  private static let kept = 5
  private static let keptLength = 400

  private let output: Descriptor
  private let onLog: @Sendable (LogLevel, String) -> Void
  private let secrets: [String]
  private let state = Lock(State())
  private let done = Signal()

  init(_ settings: HostSettings, _ output: Descriptor) {
    self.output = output
    onLog = settings.onLog
    // By lines, as the log is. What is very short would blot out half of the text and say what it is.
    secrets = settings.secrets.values.flatMap { String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init) }
      .filter { $0.utf8.count > 3 }.sorted { $0.utf8.count > $1.utf8.count }
  }

  /// Reads stdout and stderr on a thread of its own.
  func start() {
    Threads.detach { [self] in
      var line: [UInt8] = []
      while let bytes = try? output.read(upTo: 65536), !bytes.isEmpty {
        for byte in bytes {
          if byte == 10 || byte == 13 {
            say(line)
            line.removeAll(keepingCapacity: true)
          } else if line.count < 2 * LogLimiter.lineLength {
            line.append(byte)
          }
        }
      }
      say(line)
      pass(state.withLock { $0.limiter.finish() })
      done.raise()
    }
  }

  /// Waits until what was said is read; not for ever, since a process that got away may hold the pipe.
  func finish() {
    if done.wait(atMost: .seconds(2)) { done.raise() }
  }

  func take(_ line: HostLogLine) {
    var line = line
    line.text = redact(line.text)
    pass(state.withLock { $0.limiter.admit(line) })
  }

  /// The end of what it wrote to stdout and stderr.
  var lastLines: String { state.withLock { $0.last.joined(separator: " / ") } }

  /// A text without the item's secrets.
  func redact(_ text: String) -> String {
    var text = text
    for secret in secrets where text.contains(secret) {
      text = text.split(separator: secret, omittingEmptySubsequences: false).joined(separator: "•••")
    }
    return text
  }

  private func say(_ bytes: [UInt8]) {
    if bytes.isEmpty { return }
    let text = redact(String(decoding: bytes, as: UTF8.self))
    let lines = state.withLock { state in
      state.last = (state.last + [String(text.prefix(Self.keptLength))]).suffix(Self.kept)
      return state.limiter.admit(HostLogLine(level: .info, text: text))
    }
    pass(lines)
  }

  private func pass(_ lines: [HostLogLine]) { for line in lines { onLog(line.level, line.text) } }
}
