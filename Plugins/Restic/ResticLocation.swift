import FerryPluginKit

/// Where the repository is, as the manifest says it.
enum ResticLocation: Sendable, Hashable {
  /// Anything that restic reaches by itself, from both ends.
  case url(String)
  /// A folder at the destination that the source reaches through Ferry's channel alone.
  case channel(String)

  init(_ text: String) throws {
    if text.hasPrefix("channel:") {
      let path = String(text.dropFirst(8))
      guard path.hasPrefix("/"), path.utf8.count > 1, Files.absolute(path) == path else {
        throw FerryError(.invalid, "'repository: \(text)' names no folder", hint: "write channel: and an absolute path, without . and ..")
      }
      self = .channel(path)
      return
    }
    guard !Self.holdsPassword(text) else {
      throw FerryError(
        .invalid, "'repository' holds a password", hint: "name it under `secrets` as RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD")
    }
    self = .url(text)
  }

  /// `rest:https://user:word@host/`: a colon before the at sign, in the part that names the host.
  static func holdsPassword(_ text: String) -> Bool {
    guard let scheme = text.split(separator: "/", omittingEmptySubsequences: false).dropFirst(2).first, text.contains("://") else {
      return false
    }
    guard let at = scheme.lastIndex(of: "@") else { return false }
    return scheme[..<at].contains(":")
  }

  /// Whether the source needs the channel for it.
  var isChannel: Bool { if case .channel = self { true } else { false } }

  /// Whether it is a folder of this machine, which needs no cache.
  var isFolder: Bool { folder != nil }

  /// That folder.
  var folder: String? {
    guard case .url(let text) = self else { return nil }
    return text.hasPrefix("/") ? text : text.hasPrefix("local:") ? String(text.dropFirst(6)) : nil
  }
}
