/// The calls of the plugin ABI that do something, by the names of their members in `ferry_provider`; the last three in `ferry_deferred`.
public enum ProviderCall: String, Sendable, Codable, CaseIterable {
  case check, prepare, transfer, receive, freeze, thaw, digest, activate, deactivate, discard, release, retire
  case deposit, snapshots, recall
}
