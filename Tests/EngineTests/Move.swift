import Ferry
import FerrySystem
import PluginHarness
import TestSupport

/// A migration from one engine to another, without the core.
struct Move {
  let folder: TemporaryFolder
  let harness: Harness

  /// `kind` of state: "volume" or "layer".
  init(
    _ what: String, _ from: (engine: any EngineUnderTest, keys: JSONValue), _ to: (engine: any EngineUnderTest, keys: JSONValue),
    keys: [String: JSONValue] = [:]
  ) throws {
    folder = try TemporaryFolder()
    harness = try Harness(
      product: what == "volume" ? "podman-volume" : "docker-layer", provider: "\(from.engine.kind)-\(what)", folder: folder,
      from: Move.end(from), to: Move.end(to), keys: keys)
  }

  private static func end(_ end: (engine: any EngineUnderTest, keys: JSONValue)) -> JSONValue {
    var keys = end.keys
    if keys["engine"] == nil { keys["engine"] = .string(end.engine.address) }
    return keys
  }

  /// What `check` says of one end; only errors unless told. As in a run, the source is asked after the destination.
  func notices(_ side: Side, _ severity: String = "error") throws -> [String] {
    var arguments: JSONValue = [:]
    if side == .source { arguments["abilities"] = try harness.call(.destination, .check)["abilities"] }
    return try harness.call(side, .check, arguments)["notices"]?.array?.filter { $0["severity"]?.string == severity }.compactMap {
      $0["text"]?.string
    } ?? []
  }

  /// All of it, with a proof; answers the root.
  @discardableResult func run(between: () throws -> Void = {}) throws -> String {
    let digests = try harness.moveUntilVerified(change: between)
    guard digests.source == digests.destination else {
      throw FerryError(.internal, "the ends differ: \(digests.source.text) \(digests.destination.text)")
    }
    try harness.call(.destination, .activate)
    return digests.source["root"]?.string ?? ""
  }

  func release() throws { for side in Side.allCases { try harness.call(side, .release) } }

  func giveUp() throws {
    harness.killBoth()
    for call in [ProviderCall.deactivate, .discard] { try harness.call(.destination, call) }
    try harness.call(.source, .discard)
  }
}

/// Two engines of each kind, with a storage of their own each, that the tests share.
enum Pair {
  static let docker = Result { (from: try TestEngine(.docker), to: try TestEngine(.docker)) }
  static let podman = Result { (from: try TestEngine(.podman), to: try TestEngine(.podman)) }
  static func of(_ kind: TestEngine.Kind) throws -> (from: TestEngine, to: TestEngine) {
    try kind == .docker ? docker.get() : podman.get()
  }
}
