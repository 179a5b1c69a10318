import FerryPluginKit
import FerryTree

/// Moves keys of a Redis server, by name and pattern.
final class RedisKeysProvider: StateProvider {
  static let id = "redis-keys"
  static let summary = "moves keys of a Redis server by name and pattern, with the time when they expire"
  static let schema = RedisKeysConfig.schema

  /// What the destination offers: who it is, so that a source that is the same can tell.
  private struct Terms: Codable {
    var server: String
    var database: Int
    var version: String
    var renames: Bool
  }

  private let context: ProviderContext
  private let config: RedisKeysConfig
  private let kept: KeyList
  private var server: RedisServer?
  /// What the last pass of this process has sent, as hashes.
  private var sent: [[UInt8]: String] = [:]

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    kept = KeyList(kv: context.kv)
  }

  private func connect() throws -> RedisServer {
    if let server { return server }
    let made = RedisServer(redis: try RedisConnection(config.endpoint, password: try password()))
    server = made
    return made
  }

  /// Each end has its own, or both have the same, or none.
  private func password() throws -> [UInt8]? {
    for name in [context.side == .source ? "from-password" : "to-password", "password"] {
      do { return try context.secret(name) } catch let error as FerryError where error.class == .notFound { continue }
    }
    return nil
  }

  private func stage() throws -> RedisStage { RedisStage(try connect(), context) }

  func check() throws -> CheckReport {
    var report = CheckReport()
    do {
      let server = try connect()
      report.versions["redis"] = try server.version()
      guard context.side == .source else { return report }
      let names = try server.names(config.keys)
      report.entries = Int64(names.count)
      if names.isEmpty, config.allowEmpty != true {
        report.notices.append(
          .init(.error, "Redis has no key that `keys` names", hint: "if there may be none, say `allow-empty: true`"))
      }
    } catch {
      let failure = FerryError.wrap(error)
      report.notices.append(.init(.error, failure.message, hint: failure.hint))
    }
    return report
  }

  func prepare() throws -> Offer {
    let server = try connect()
    let terms = Terms(
      server: try server.info("server", "run_id"), database: config.endpoint.database ?? 0, version: try server.version(),
      renames: config.endpoint.renames?.isEmpty == false)
    return Offer(.private, try JSONValue(encoding: terms).object ?? [:])
  }

  func prepare(for offer: Offer) throws {
    let terms = try offer.decode(Terms.self)
    let server = try connect()
    guard try terms.renames || terms.server != server.info("server", "run_id") || terms.database != config.endpoint.database ?? 0 else {
      throw FerryError(
        .precondition, "both ends are the same database of the same Redis", hint: "give the keys other names by `to.renames`")
    }
    let (own, theirs) = (try server.version(), terms.version)
    guard Self.major(theirs) >= Self.major(own) else {
      throw FerryError(
        .precondition, "Redis \(theirs) at the destination cannot read what Redis \(own) dumps", hint: "install one that is not older")
    }
  }

  private static func major(_ version: String) -> Int { version.split(separator: ".").first.flatMap { Int($0) } ?? 0 }

  func transfer(_ pass: Pass) throws -> PassReport {
    let server = try connect()
    var report = PassReport(bytes: 0, entries: 0, changed: 0, vanished: pass.isFinal ? nil : 0)
    var sender = RedisSender(try pass.channel, context)
    var fresh: [[UInt8]: String] = [:]
    var keys: [RedisKey] = []
    for name in try server.names(config.keys) {
      try context.checkCancellation()
      guard let value = try server.redis.call([Array("DUMP".utf8), name]).bytes, case let expiry = try server.expiry(name), expiry != -2
      else {
        report.vanished = report.vanished.map { $0 + 1 }
        continue
      }
      let key = RedisKey(name, expiry: expiry)
      keys.append(key)
      let hash = ContentDigest(.xxh3).hex(of: value + Array("\(expiry)".utf8))
      let isKnown = sent[name] == hash
      fresh[name] = hash
      try sender.send(key, isKnown ? nil : value)
      report.entries += 1
      report.changed = (report.changed ?? 0) + (isKnown ? 0 : 1)
      report.bytes += isKnown ? 0 : Int64(value.count)
      context.progress(bytes: report.bytes, entries: report.entries)
    }
    // What expires soon may be gone between the two digests.
    let horizon = try server.now() + 600_000
    if pass.isFinal { try kept.put(keys, horizon: horizon) }
    try sender.end(count: keys.count, horizon: horizon)
    sent = fresh
    return report
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let (server, stage) = (try connect(), try stage())
    var receiver = RedisReceiver(try pass.channel, context)
    var report = PassReport(bytes: 0, entries: 0)
    var keys: [RedisKey] = []
    var names: Set<[UInt8]> = []
    while true {
      try context.checkCancellation()
      switch try receiver.next() {
      case .key(let key, let value):
        let real = config.realName(key.name)
        guard names.insert(real).inserted else {
          throw FerryError(.invalid, "two keys would have one name at the destination", hint: "look at `to.renames`")
        }
        if config.replace != true, try server.redis.call([Array("EXISTS".utf8), real]).integer == 1 {
          throw FerryError(
            .conflict, "the key '\(KeyList.shown(real))' exists at the destination",
            hint: "say `replace: true` to replace it; it is kept until the run has succeeded")
        }
        if let value {
          try server.redis.call(
            [Array("RESTORE".utf8), stage.received(key.name), Array("\(max(0, key.expiry))".utf8), value]
              + ["REPLACE"].map { Array($0.utf8) } + (key.expiry > 0 ? [Array("ABSTTL".utf8)] : []))
          report.bytes += Int64(value.count)
        }
        keys.append(key)
        report.entries += 1
        context.progress(bytes: report.bytes, entries: report.entries)
      case .end(let count, let horizon):
        guard count == keys.count else { throw FerryError(.peer, "the source sent \(keys.count) keys and says \(count)") }
        if pass.isFinal {
          let wanted = Set(keys.map(\.name))
          try server.remove(try stage.names().subtracting(wanted).map(stage.received))
          try kept.put(keys, horizon: horizon)
        }
        try receiver.acknowledge(count: count, horizon: horizon)
        return report
      }
    }
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let (server, stage) = (try connect(), try stage())
    let hash = ContentDigest(request.algorithm == .sha256 ? .sha256 : .xxh3)
    let isSource = context.side == .source
    let horizon = try kept.horizon()
    // The source says what there is now, the destination whether it has what was sent. Once the run is cleaned up nobody knows what that was.
    let names: [[UInt8]]
    if isSource {
      names = try server.names(config.keys)
    } else if request.target == .active, try !kept.isThere() {
      names = try server.names(config.keys.map { String(decoding: config.realName(Array($0.utf8)), as: UTF8.self) }).map(config.sourceName)
    } else {
      names = try kept.keys().map(\.name)
    }
    var lines = ""
    var report = DigestReport(root: "", entries: 0, bytes: 0)
    for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      try context.checkCancellation()
      let place = isSource ? name : request.target == .active ? config.realName(name) : stage.received(name)
      let expiry = try server.expiry(place)
      if RedisKey(name, expiry: expiry).expires(before: horizon) { continue }
      guard let content = try server.content(place) else { continue }
      lines += "\(hash.hex(of: Array("\(expiry) ".utf8) + content))\t\(KeyList.shown(name))\n"
      report.entries += 1
      report.bytes += Int64(content.count)
    }
    if let listing = request.listing { try Files.replace(listing, with: Array(lines.utf8)) }
    report.root = hash.hex(of: Array(lines.utf8))
    return report
  }

  func activate() throws {
    let stage = try stage()
    for key in try kept.keys() { try stage.activate(key.name, as: config.realName(key.name)) }
  }

  func deactivate() throws { try stage().deactivate() }

  func discard() throws {
    guard context.side == .destination else { return }
    try stage().deactivate()
    try stage().clear()
  }

  func release() throws { if context.side == .destination { try stage().clear() } }

  func retire() throws { try connect().remove(kept.keys().map(\.name)) }
}
