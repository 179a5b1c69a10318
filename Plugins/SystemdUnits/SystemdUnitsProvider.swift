import FerryPluginKit
import FerryTree
import Glibc

/// Carries which units are enabled and running. Their files travel with what holds them, or are there already.
final class SystemdUnitsProvider: StateProvider {
  static let id = "systemd-units"
  static let summary = "carries which systemd services and timers are enabled and running"
  static let schema = SystemdUnitsConfig.schema

  /// One unit, as it was at the source before anything was stopped.
  struct Unit: Codable, Equatable {
    var name: String
    var enabled: Bool
    var active: Bool
  }

  /// Keys of the durable memory.
  private enum Key {
    static let units = "units"
    static let before = "before"
  }

  private let context: ProviderContext
  private let config: SystemdUnitsConfig
  private let manager: UnitManager

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    let endpoint = config.endpoint
    guard endpoint.manager == .user || endpoint.user == nil else {
      throw FerryError(.invalid, "`user` names whose systemd is meant, and `manager: system` is nobody's", hint: "write `manager: user`")
    }
    manager = UnitManager(context: context, isUser: endpoint.manager == .user, user: endpoint.user)
  }

  func check() throws -> CheckReport {
    var report = CheckReport()
    do {
      report.versions["systemd"] = try manager.answer()
      if context.side == .source { report.entries = Int64(try found().count) }
    } catch {
      let failure = FerryError.wrap(error)
      report.notices.append(.init(.error, failure.message, hint: failure.hint))
    }
    return report
  }

  func prepare() throws -> Offer { Offer(.inPlace) }

  /// What runs now is what counts: soon the run itself stops some of it.
  func prepare(for offer: Offer) throws {
    let units = try found()
    guard !units.isEmpty else {
      throw FerryError(
        .precondition, "no unit fits \(config.units.joined(separator: ", "))", hint: "`systemctl list-unit-files` lists them")
    }
    try context.kv.put(Key.units, units)
  }

  private func found() throws -> [Unit] {
    try manager.find(config.units, without: config.exclude ?? [SystemdUnitsConfig.neverCarried]).map { name in
      let state = try manager.state(name)
      return Unit(name: name, enabled: state.isEnabled, active: state.isActive)
    }
  }

  private func units() throws -> [Unit] {
    guard let units: [Unit] = try context.kv.get(Key.units) else {
      throw FerryError(.precondition, "this run knows of no units here", hint: "run it anew")
    }
    return units
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let units = try units()
    let bytes = try JSONValue.encode(units) + [10]
    try Descriptor(dup(try pass.channel)).write(bytes)
    return PassReport(bytes: Int64(bytes.count), entries: Int64(units.count), changed: Int64(units.count))
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let stream = Descriptor(dup(try pass.channel))
    var bytes: [UInt8] = []
    while bytes.last != 10 {
      let more = try stream.read(upTo: 65536)
      guard !more.isEmpty, bytes.count < 8 << 20 else { throw FerryError(.peer, "the source's list of units has no end") }
      bytes += more
    }
    let units = try JSONValue.decode([Unit].self, from: bytes)
    // Names come from another host and become arguments.
    if let odd = units.first(where: { $0.name.hasPrefix("-") || $0.name.contains("/") || $0.name.isEmpty }) {
      throw FerryError(.peer, "the source names a unit '\(odd.name.prefix(60))'")
    }
    if let missing = try units.first(where: { try ($0.enabled || $0.active) && !manager.state($0.name).exists }), pass.isFinal {
      throw FerryError(
        .precondition, "there is no unit \(missing.name) at the destination", hint: "install it, or name it under `exclude`")
    }
    try context.kv.put(Key.units, units)
    return PassReport(bytes: Int64(bytes.count), entries: Int64(units.count))
  }

  /// Of each unit: its name, and whether it is enabled. Whether it runs at a given moment is for its timer or its own end to say.
  func digest(_ request: DigestRequest) throws -> DigestReport {
    var units = try units()
    if context.side == .destination, request.target == .active {
      units = try units.map { unit in
        let state = try manager.state(unit.name)
        // Held by the run: it is enabled when that lets go of it.
        return state.isMasked ? unit : Unit(name: unit.name, enabled: state.isEnabled, active: state.isActive)
      }
    }
    let hash = ContentDigest(request.algorithm == .sha256 ? .sha256 : .xxh3)
    let lines = units.sorted { $0.name < $1.name }.map { "\(hash.hex(of: Array("\($0.name) \($0.enabled)".utf8)))\t\($0.name)\n" }.joined()
    if let listing = request.listing { try Files.replace(listing, with: Array(lines.utf8)) }
    return DigestReport(root: hash.hex(of: Array(lines.utf8)), entries: Int64(units.count), bytes: 0)
  }

  /// What was there before is noted before it is changed, so that `deactivate` finds it whatever happens.
  func activate() throws {
    let units = try units()
    if try context.kv.get(Key.before, as: [Unit].self) == nil {
      try context.kv.put(
        Key.before,
        units.map { unit in
          let state = try manager.state(unit.name)
          return Unit(name: unit.name, enabled: state.isEnabled, active: state.isActive)
        })
    }
    try bring(to: units)
  }

  func deactivate() throws {
    guard let before: [Unit] = try context.kv.get(Key.before) else { return }
    for unit in before {
      let state = try manager.state(unit.name)
      if state.isMasked || !state.exists { continue }
      if state.isEnabled != unit.enabled { try manager.tell(unit.enabled ? "enable" : "disable", unit.name) }
      if state.isActive != unit.active { try manager.tell(unit.active ? "start" : "stop", unit.name) }
    }
    try context.kv.remove(Key.before)
  }

  func discard() throws { if context.side == .destination { try deactivate() } }

  /// By now nothing is held any more: what was masked while the run's own services were down gets its share.
  func release() throws {
    guard context.side == .destination, try context.kv.get(Key.before, as: [Unit].self) != nil else { return }
    try bring(to: units())
    try context.kv.remove(Key.before)
  }

  /// Not in service at the source any more: a move's source starts none of them again.
  func retire() throws {
    for unit in try units() where unit.enabled {
      let state = try manager.state(unit.name)
      if state.exists, state.isEnabled { try manager.tell("disable", unit.name) }
    }
  }

  private func bring(to units: [Unit]) throws {
    for unit in units {
      let state = try manager.state(unit.name)
      if state.isMasked { continue }
      if unit.enabled != state.isEnabled, state.exists { try manager.tell(unit.enabled ? "enable" : "disable", unit.name) }
      if unit.active, !state.isActive { try manager.tell("start", unit.name) }
    }
  }
}
