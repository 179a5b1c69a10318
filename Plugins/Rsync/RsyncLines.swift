import FerryPluginKit

/// Reads what rsync says while it runs.
final class RsyncLines: Sendable {
  struct State {
    var bytes: Int64 = 0
    var entries: Int64 = 0
    var total: Int64 = 0
    var statistics: [String: Int64] = [:]
    var vanished: Int64 = 0
    var unread: [String] = []
    /// Errors that are no mere failure to read at the source.
    var others = 0
    var errors: [String] = []
  }
  private let state = Lock(State())

  /// What was said so far.
  var now: State { state.withLock { $0 } }

  /// A line of the standard output: progress, then statistics.
  func output(_ line: String) {
    if let colon = line.firstIndex(of: ":"), line.first?.isLetter == true {
      let digits = line[line.index(after: colon)...].drop { $0 == " " }.prefix { $0.isNumber || $0 == "," || $0 == "." }
      state.withLock { $0.statistics[String(line[..<colon])] = Int64(digits.filter(\.isNumber)) }
      return
    }
    let words = line.split(separator: " ")
    guard words.count >= 2, words[1].hasSuffix("%"), let bytes = Int64(words[0].filter { $0 != "," }) else { return }
    state.withLock { state in
      state.bytes = bytes
      // "to-chk=169/396", or "ir-chk=" while the list still grows.
      guard let mark = line.range(of: "-chk=") else { return }
      let counts = line[mark.upperBound...].split { !$0.isNumber }.prefix(2).compactMap { Int64($0) }
      guard counts.count == 2 else { return }
      state.entries = counts[1] - counts[0]
      state.total = counts[1]
    }
  }

  /// A line of the standard error.
  func error(_ line: String) {
    state.withLock { state in
      state.errors.append(line)
      if state.errors.count > 40 { state.errors.remove(at: 20) }
      if line.hasPrefix("file has vanished: ") {
        state.vanished += 1
      } else if line.hasPrefix("rsync error:") || line.hasPrefix("rsync warning:") {
        return
      } else if let name = Self.unread(line) {
        if state.unread.count < 1000 { state.unread.append(name) }
      } else if line.hasPrefix("rsync: ") {
        state.others += 1
      }
    }
  }

  /// The name in `rsync: [sender] send_files failed to open "/x": Permission denied (13)` and its like.
  private static func unread(_ line: String) -> String? {
    guard line.hasPrefix("rsync: "), !line.contains("[receiver]"), !line.contains("[generator]") else { return nil }
    guard
      ["failed to open ", "opendir ", "readlink_stat(", "get_xattr", "rsync_xal_get", "sys_acl_get_file("].contains(where: line.contains)
    else { return nil }
    guard let first = line.firstIndex(of: "\""), let last = line.lastIndex(of: "\""), first < last else { return nil }
    return String(line[line.index(after: first)..<last])
  }
}

extension String {
  /// Where a text first occurs.
  fileprivate func range(of text: String) -> Range<String.Index>? {
    var start = startIndex
    while start < endIndex {
      if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
      formIndex(after: &start)
    }
    return nil
  }
}
