import FerryTreeKit
import Glibc

/// Patterns of what stays behind. One without a slash fits a name at any depth; one with a slash in front or inside fits a path from the
/// root; one that ends in a slash fits folders alone. `*`, `?` and `[…]` stay within a name, `**` does not.
struct TreePatterns: Sendable {
  private struct Pattern: Sendable {
    let text: [CChar]
    let isAnchored: Bool
    let isForFolders: Bool
    let crosses: Bool
  }
  private let patterns: [Pattern]

  init(_ patterns: [String]) {
    self.patterns = patterns.map { pattern in
      let body = pattern.hasSuffix("/") ? pattern.dropLast() : pattern[...]
      let plain = body.hasPrefix("/") ? body.dropFirst() : body
      return Pattern(
        text: Array(String(plain).utf8CString), isAnchored: body.utf8.contains(0x2f), isForFolders: pattern.hasSuffix("/"),
        crosses: plain.contains("**"))
    }
  }

  /// nil if nothing stays behind.
  var selection: TreeSelection? {
    patterns.isEmpty ? nil : TreeSelection { path, kind in !fits(path, kind) }
  }

  /// Whether an entry stays behind. What lies in a folder that does is never asked for.
  func fits(_ path: [UInt8], _ kind: EntryKind) -> Bool {
    let whole = path.map { CChar(bitPattern: $0) } + [0]
    let start = path.lastIndex(of: 0x2f).map { $0 + 1 } ?? 0
    return patterns.contains { pattern in
      guard kind == .folder || !pattern.isForFolders else { return false }
      return whole.withUnsafeBufferPointer { buffer in
        guard let text = buffer.baseAddress else { return false }
        return fnmatch(pattern.text, pattern.isAnchored ? text : text + start, pattern.crosses ? 0 : FNM_PATHNAME) == 0
      }
    }
  }
}
