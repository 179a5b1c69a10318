import FerryEngine
import FerryTreeKit
import Glibc

/// How a process gets at files of an engine.
public enum EngineReach: Sendable {
  /// As they are, with a map of ids where the engine is rootless.
  case direct(IDMap?)
  /// By the engine's archive calls.
  case throughEngine
}

extension EngineProvider {
  /// How to get at a folder of the engine's; nil is one of which it says nothing.
  public func reach(_ folder: String?) throws -> EngineReach {
    guard let folder, try engine().shares(folder) else { return .throughEngine }
    return .direct(try owners())
  }

  /// What the ids on a rootless engine's disk stand for in its containers; nil if this process sees them as containers do.
  private func owners() throws -> IDMap? {
    let engine = try engine()
    guard engine.info.isRootless, let peer = engine.peer else { return nil }
    if peer.isInOtherUserNamespace { return try IDMap(process: peer.process) }
    // A user's systemd holds the socket, outside of the namespace; or this process is inside.
    let own = try IDMap(process: getpid())
    let seesAll = own.users.count == 1 && own.users[0].inside == own.users[0].outside
    return seesAll ? try IDMap(user: "\(peer.user)") : nil
  }
}
