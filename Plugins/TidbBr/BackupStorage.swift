import FerryPluginKit

/// Where backups lie. The URI of the manifest with a folder of the run's own; keys are never part of it.
enum BackupStorage {
  /// The folder of one attempt.
  static func folder(_ uri: String, run: String, item: String, attempt: Int) -> String {
    let parts = uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var path = String(parts[0])
    while path.hasSuffix("/") { path.removeLast() }
    return "\(path)/\(run)-\(item)-\(attempt)" + (parts.count > 1 ? "?\(parts[1])" : "")
  }

  /// Without its query: for messages.
  static func place(_ uri: String) -> String { String(uri.prefix { $0 != "?" }) }

  /// With the keys, as SQL wants them.
  static func withKeys(_ uri: String, _ secrets: Secrets) -> String {
    guard uri.hasPrefix("s3://"), let access = secrets["s3-access-key"], let secret = secrets["s3-secret-key"] else { return uri }
    return "\(uri)\(uri.contains("?") ? "&" : "?")access-key=\(access.percentEncoded)&secret-access-key=\(secret.percentEncoded)"
  }

  /// As programs want them.
  static func environment(_ uri: String, _ secrets: Secrets) -> [String: String?] {
    guard uri.hasPrefix("s3://"), let access = secrets["s3-access-key"], let secret = secrets["s3-secret-key"] else { return [:] }
    return ["AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret]
  }

  /// What is wrong with it, or nil.
  static func complaint(_ uri: String) -> String? {
    ["access-key=", "secret-access-key=", "credentials-file=", "account-key=", "session-token="].first { uri.contains($0) }
      .map { "the storage's address holds '\($0)': a key belongs under secrets" }
  }
}
