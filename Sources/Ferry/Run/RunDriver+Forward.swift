import FerrySystem
import Glibc

/// The way forward, phase by phase. Where a session enters is read from the nodes' records alone.
extension RunDriver {
  /// Takes the run to its end and answers its receipt.
  func forward() throws -> Receipt {
    switch entry.options.half {
    case .transfer: return try transferHalf()
    case .receive: return try receiveHalf()
    case nil: break
    }
    let source = try source.record()
    let destination = try destination.record()
    let decided = [.sealed, .retired].contains(source.state) || [.activating, .starting, .active].contains(destination.state)
    if !decided {
      if source.state == .quiesced { try self.step(Step(.quiesce, act: "thaw", side: .source)) { try self.source.send(.thaw) } }
      try upToTheSeal()
    }
    try takeOver()
    return try conclude()
  }

  private func upToTheSeal() throws {
    try phase(.check) { try check() }
    try phase(.prepare) { try prepare() }
    let predicted = try phase(.copy) { try copy() }
    let keepAlive = KeepAlive(every: manifest.cutover.watchdog / 5) { [self] in _ = try? source.send(.touch) }
    defer { keepAlive.end() }
    try phase(.quiesce) { try step(Step(.quiesce, side: .source)) { try source.send(.quiesce) } }
    try phase(.final) { try final() }
    let verified = try phase(.verify) { try verify() }
    if manifest.mode != .copy {
      try throwIfOverBudget(predicted)
      try phase(.seal) {
        try step(Step(.seal, side: .source)) { try source.send(.seal, VerifiedRequest(verified: verified)) }
      }
    }
  }

  /// The destination takes over: real names, services, the switch, and the source's copy goes.
  func takeOver() throws {
    let roots = try destination.record().verified
    if try destination.record().state != .active {
      try phase(.activate) {
        if try destination.record().state != .starting {
          try step(Step(.activate, side: .destination)) { try destination.send(.activate) }
          try runStartHooks()
        }
        try step(Step(.activate, act: "start", side: .destination)) { try destination.send(.start) }
      }
    }
    let reached = try journal.steps(id).contains { $0.step.act == "switch" && $0.succeeded }
    if !reached {
      try step(Step(.activate, act: "switch")) {
        try runHooks(.switch, .before)
        try runHooks(.switch, .after)
        return hookContext.withLock { $0 }
      }
    }
    guard manifest.mode == .move else { return }
    try phase(.retire) {
      if try source.record().state == .sealed { try proveUnchanged(roots) }
      try step(Step(.retire, side: .source)) { try source.send(.retire) }
    }
  }

  /// For what must be done to the received state before a service sees it. Nothing is held meanwhile: a hook may need a unit of its own.
  private func runStartHooks() throws {
    guard hooks.contains(where: { $0.point == .start }) else { return }
    try step(Step(.activate, act: "let-go", side: .destination)) { try destination.send(.letGo) }
    try runHooks(.start, .before)
    try runHooks(.start, .after)
  }

  /// Before the only other copy goes: the sealed source, read again in full, is what was received.
  private func proveUnchanged(_ roots: [String: String]) throws {
    let offers = try source.record().offers
    let steps = manifest.state.map { Step(.retire, act: "prove", side: .source, item: $0.name) }
    _ = try column(steps) { [self] step in
      let item = step.item ?? ""
      let request = CallRequest(item: item, call: .digest, full: true, arguments: digestArguments(offer: offers[item] ?? [:], target: nil))
      let root = try source.call(request).result["root"] ?? .null
      guard root.string == roots[item] else {
        throw FerryError(
          .conflict,
          "'\(item)' at the source is no longer what was received: its root is \(root.text), proven was \(roots[item] ?? "none")",
          hint: "nothing was removed; the destination serves; look at the source's state before `ferry resume \(id)`")
      }
      return ["root": root]
    }
  }

  func conclude() throws -> Receipt {
    try step(Step(manifest.mode == .move ? .retire : .activate, act: "release")) {
      // What was replaced is the way back, and the lock on the target keeps others from it.
      if manifest.rollbackFor == nil { try destination.send(.release) }
      if entry.sides.contains(.source) { try source.send(.release) }
      return [:]
    }
    return try makeReceipt()
  }

  // MARK: Phases

  /// One phase: a person may hold it, hooks stand before and after its act, and those of `failed/` hear of a failure.
  @discardableResult func phase<Value>(_ phase: Phase, _ act: () throws -> Value) throws -> Value {
    try holdBefore(phase)
    try throwIfCancelled()
    current.withLock { $0 = phase }
    events.emit(.phaseBegan) { $0.phase = phase }
    do {
      try runHooks(Hook.Point(phase), .before)
      let value = try act()
      try runHooks(Hook.Point(phase), .after)
      events.emit(.phaseEnded) { $0.phase = phase }
      return value
    } catch {
      let failure = FerryError.wrap(error)
      events.emit(.error) {
        $0.phase = phase
        $0.text = failure.description
      }
      runFailedHooks(Hook.Point(phase), failure)
      throw failure
    }
  }

  private func holdBefore(_ phase: Phase) throws {
    guard (manifest.cutover.holdBefore + entry.options.holdBefore).contains(phase) else { return }
    requests.clear(.proceed)
    events.emit(.waiting) {
      $0.phase = phase
      $0.text = "ferry proceed \(id)"
    }
    while !requests.isPosted(.proceed) {
      try throwIfCancelled()
      usleep(100_000)
    }
    requests.clear(.proceed)
  }

  func check() throws {
    let report = try Preflight(manifest: manifest, options: entry.options, pins: configuration.pins()).run(
      entry.sides.map { try node($0) }
    ) {
      [self] cells, act in
      try column(cells, act)
    }
    for notice in report.notices {
      events.emit(.notice) { $0.text = notice.hint.isEmpty ? notice.text : "\(notice.text) (\(notice.hint))" }
    }
    try report.throwIfFailed()
  }

  private func prepare() throws {
    let sides: [Side] = [.destination, .source]
    var offers: [String: JSONValue] = [:]
    for side in sides {
      let known = offers
      let steps = manifest.state.map { Step(.prepare, side: side, item: $0.name) }
      let results = try column(steps) { [self] step in
        let item = step.item ?? ""
        var arguments: JSONValue = ["manifest": manifest.identity]
        if side == .source { arguments["offer"] = known[item] ?? [:] }
        return try node(side).call(CallRequest(item: item, call: .prepare, arguments: arguments)).result
      }
      if side == .destination { for (item, offer) in zip(manifest.state, results) { offers[item.name] = offer } }
    }
  }

  private func final() throws { _ = try pass(nextPass(), final: true) }

  /// Digests of both ends, compared. A copy's source serves again as soon as its own are fixed.
  private func verify() throws -> [String: String] {
    let method = manifest.verify
    let offers = try destination.record().offers
    func digests(_ sides: [Side]) throws -> [JSONValue] {
      let steps = sides.flatMap { side in manifest.state.map { Step(.verify, side: side, item: $0.name) } }
      return try column(steps) { [self] step in
        let item = step.item ?? ""
        let side = step.side ?? .source
        let arguments = digestArguments(offer: offers[item] ?? [:], target: side == .destination ? "staged" : nil)
        return try node(side).call(
          CallRequest(item: item, call: .digest, full: method == .full, arguments: arguments, keepListing: side == .destination)
        ).result
      }
    }
    var found: [JSONValue]
    if manifest.mode == .copy && !manifest.services.isEmpty {
      found = try digests([.source])
      try thawCopied()
      found += try digests([.destination])
    } else {
      found = try digests(Side.allCases)
      if manifest.mode == .copy { try thawCopied() }
    }
    var roots: [String: String] = [:]
    for (index, item) in manifest.state.enumerated() {
      let (left, right) = (found[index], found[index + manifest.state.count])
      guard let root = left["root"]?.string, root == right["root"]?.string else {
        throw VerificationFailure.error(item: item.name, source: left, destination: right)
      }
      if left["entries"]?.int == 0 && !item.allowEmpty {
        throw FerryError(
          .precondition, "'\(item.name)' is empty at the source", hint: "if that is right, say `allow-empty: true`; nothing was changed")
      }
      roots[item.name] = root
    }
    try step(Step(.verify, act: "proven", side: .destination)) { try destination.send(.proven, VerifiedRequest(verified: roots)) }
    return roots
  }

  private func thawCopied() throws { try step(Step(.verify, act: "thaw", side: .source)) { try source.send(.thaw) } }

  func digestArguments(offer: JSONValue, target: String?) -> JSONValue {
    var arguments: JSONValue = ["algorithm": .string(manifest.digestAlgorithm.rawValue), "offer": offer]
    if let target { arguments["target"] = .string(target) }
    arguments["depth"] = .string(manifest.verify.rawValue)
    return arguments
  }
}

extension StepEntry {
  var succeeded: Bool { if case .done = outcome { true } else { false } }
}

extension FerryError {
  /// `code` of the error that tells of two ends that should be equal and are not.
  static let notEqual = "not-equal"
  /// `code` of the error that tells of a target that belongs to another run.
  static let targetLocked = "target-locked"
}

/// Two ends that should be equal and are not.
enum VerificationFailure {
  static func error(item: String, source: JSONValue, destination: JSONValue) -> FerryError {
    func describe(_ value: JSONValue) -> String { "\(value["root"]?.string ?? "no root") over \(value["entries"]?.int ?? 0) entries" }
    return FerryError(
      .peer, "the ends are not equal: '\(item)' is \(describe(source)) at the source and \(describe(destination)) at the destination",
      hint: "the source goes on serving; `ferry logs` shows what the provider said", code: FerryError.notEqual)
  }
}

/// Gives word to a node now and then, until told to end.
final class KeepAlive: Sendable {
  private let over = Signal()

  init(every interval: Duration, _ act: @escaping @Sendable () -> Void) {
    let over = over
    Threads.detach { while !over.wait(atMost: interval) { act() } }
  }

  func end() { over.raise() }
}
