import FerrySystem

/// Runs whose halves are apart in time. Each is a run of its own with one node, in the same phases and by the same rules.
extension RunDriver {
  /// The source's half: the state goes into the provider's store while the service is held, its proof beside it. Then the source goes on.
  func transferHalf() throws -> Receipt {
    if try source.record().state == .quiesced { try step(Step(.quiesce, act: "thaw", side: .source)) { try source.send(.thaw) } }
    try phase(.check) { try check() }
    try phase(.prepare) {
      var arguments = digestArguments(offer: [:], target: nil)
      arguments["deferred"] = true
      _ = try cells(.prepare, .source) { [self, arguments] item in
        let offer = try source.call(CallRequest(item: item, call: .prepare, arguments: arguments)).result
        guard offer["target"]?.string != nil else { throw FerryError(.internal, "'\(item)' made no offer for a deferred run") }
        return offer
      }
    }
    // Without services nothing is stopped, so nothing is gained by a pass before the final one.
    let predicted = try phase(.copy) { manifest.services.isEmpty ? 0 : try copy() }
    let keepAlive = KeepAlive(every: manifest.cutover.watchdog / 5) { [self] in _ = try? source.send(.touch) }
    defer { keepAlive.end() }
    try phase(.quiesce) { try step(Step(.quiesce, side: .source)) { try source.send(.quiesce) } }
    let announced = try phase(.final) {
      let moved = try pass(nextPass(), final: true)
      try throwIfOverBudget(predicted)
      return moved.map(\.deposit)
    }
    try phase(.verify) { try deposit(announced) }
    try step(Step(.verify, act: "release", side: .source)) { try source.send(.release) }
    return try makeReceipt()
  }

  /// The digest of what was stored, kept with it. The source serves again as soon as its digest is fixed. What was announced to a provider
  /// before it stored, and is so afterwards, it may have kept already.
  private func deposit(_ announced: [Deposit?]) throws {
    let offers = try source.record().offers
    let digests = try cells(.verify, .source) { [self] item in try sourceDigest(item, manifest.verify) }
    try step(Step(.verify, act: "thaw", side: .source)) { try source.send(.thaw) }
    var deposits: [String: Deposit] = [:]
    for (index, item) in manifest.state.enumerated() {
      var made = makeDeposit(item.name, digests[index], offer: offers[item.name])
      guard !made.root.isEmpty, made.entries > 0 || item.allowEmpty else {
        throw FerryError(
          .precondition, "'\(item.name)' is empty at the source", hint: "if that is right, say `allow-empty: true`; nothing was kept")
      }
      if let earlier = announced[index], earlier.says(made) { made = earlier }
      deposits[item.name] = made
    }
    let made = deposits
    _ = try cells(.verify, .source, act: "deposit") { [self] item in
      guard let deposit = made[item] else { return [:] }
      return try source.call(CallRequest(item: item, call: .deposit, arguments: ["deposit": try JSONValue(encoding: deposit)])).result
    }
  }

  private func sourceDigest(_ item: String, _ depth: Manifest.VerifyMethod) throws -> JSONValue {
    var arguments = try digestArguments(offer: source.record().offers[item] ?? [:], target: nil)
    arguments["depth"] = .string(depth.rawValue)
    return try source.call(CallRequest(item: item, call: .digest, full: depth == .full, arguments: arguments)).result
  }

  private func makeDeposit(_ item: String, _ digest: JSONValue, offer: JSONValue?) -> Deposit {
    Deposit(
      name: manifest.name, run: id, item: item, time: wallClock(), manifest: manifest.digest, algorithm: manifest.digestAlgorithm,
      root: digest["root"]?.string ?? "", entries: digest["entries"]?.int ?? 0, bytes: digest["bytes"]?.int ?? 0, offer: offer ?? [:])
  }

  /// The destination's half: what is stored is fetched beside what is there, proven to be what was stored, and only then given its name.
  func receiveHalf() throws -> Receipt {
    if [.inactive, .renounced].contains(try destination.record().state) {
      try phase(.check) {
        try check()
        try recall()
      }
      try phase(.prepare) {
        _ = try cells(.prepare, .destination) { [self] item in
          let found = try recalled(item)
          let arguments: JSONValue = ["deferred": true, "snapshot": .string(found.snapshot), "offer": found.deposit.offer]
          return try destination.call(CallRequest(item: item, call: .prepare, arguments: arguments)).result
        }
      }
      try phase(.final) {
        let number = try nextPass()
        _ = try column(manifest.state.map { Step(.final, side: .destination, item: $0.name, pass: number) }) { [self] step in
          let item = step.item ?? ""
          let arguments: JSONValue = ["deferred": true, "snapshot": .string(try recalled(item).snapshot)]
          let reply = try destination.call(
            CallRequest(item: item, call: .receive, pass: number, first: true, final: true, arguments: arguments))
          return try JSONValue(
            encoding: Moved(bytes: reply.result["bytes"]?.int ?? 0, entries: reply.result["entries"]?.int ?? 0, seconds: reply.seconds))
        }
      }
      try phase(.verify) { try proveRecalled() }
    }
    try takeOver()
    return try conclude()
  }

  /// Finds what was asked for. All items must come from one run: there is one cut.
  private func recall() throws {
    let wanted = entry.options.snapshot ?? "latest"
    let identity = manifest.identity
    _ = try cells(.check, .destination, act: "recall") { [self] item in
      let name = entry.options.snapshots?[item] ?? wanted
      let reply = try destination.call(
        CallRequest(item: item, call: .recall, arguments: ["snapshot": .string(name), "manifest": identity]))
      return reply.result
    }
    let found = try manifest.state.map { try recalled($0.name) }
    if let first = found.first, let other = found.first(where: { $0.deposit.run != first.deposit.run }) {
      throw FerryError(
        .precondition,
        "what is stored comes from two runs: '\(first.deposit.item)' from \(first.deposit.run), '\(other.deposit.item)' from \(other.deposit.run)",
        hint: "name one of them: `--snapshot \(first.deposit.run)`; nothing was changed")
    }
    if let foreign = found.first(where: { $0.deposit.name != manifest.name }) {
      throw FerryError(
        .precondition, "the snapshot is of '\(foreign.deposit.name)', and the manifest of '\(manifest.name)'",
        hint: "`ferry snapshots` lists what is there; nothing was changed")
    }
  }

  private struct Recalled: Decodable {
    var snapshot: String
    var deposit: Deposit
  }

  private func recalled(_ item: String) throws -> Recalled {
    guard let found = try journal.steps(id).last(where: { $0.step.act == "recall" && $0.step.item == item && $0.succeeded }) else {
      throw FerryError(.internal, "'\(item)' was not recalled")
    }
    return try found.result.decode()
  }

  private func proveRecalled() throws {
    let offers = try destination.record().offers
    let digests = try cells(.verify, .destination) { [self] item in
      var arguments = digestArguments(offer: offers[item] ?? [:], target: "staged")
      arguments["algorithm"] = .string(try recalled(item).deposit.algorithm.rawValue)
      return try destination.call(CallRequest(item: item, call: .digest, full: true, arguments: arguments, keepListing: true)).result
    }
    var roots: [String: String] = [:]
    for (item, digest) in zip(manifest.state, digests) {
      let stored = try recalled(item.name).deposit
      guard digest["root"]?.string == stored.root else {
        throw VerificationFailure.error(
          item: item.name, source: ["root": .string(stored.root), "entries": .int(stored.entries)], destination: digest)
      }
      roots[item.name] = stored.root
    }
    try step(Step(.verify, act: "proven", side: .destination)) { try destination.send(.proven, VerifiedRequest(verified: roots)) }
  }

  /// One pass of one item into its store.
  func store(_ item: String, pass: Int, final: Bool) throws -> Moved {
    var arguments: JSONValue = ["deferred": true, "manifest": manifest.identity]
    // What the state is before it is stored: no proof, for it may change, but a provider can keep it with the state. One that cannot tell yet
    // is asked afterwards as any other.
    let depth = manifest.verify == .full ? .sweep : manifest.verify
    let announced = final ? try? makeDeposit(item, sourceDigest(item, depth), offer: source.record().offers[item]) : nil
    try throwIfCancelled()
    if let announced { arguments["deposit"] = try JSONValue(encoding: announced) }
    let reply = try source.call(
      CallRequest(item: item, call: .transfer, pass: pass, first: pass == 0, final: final, arguments: arguments))
    if final { try demandAllRead(item, reply.result) }
    return Moved(
      bytes: reply.result["bytes"]?.int ?? 0, entries: reply.result["entries"]?.int ?? 0, changed: reply.result["changed"]?.int ?? 0,
      seconds: reply.seconds, deposit: announced)
  }

  private func cells(_ phase: Phase, _ side: Side, act: String? = nil, _ body: @escaping @Sendable (String) throws -> JSONValue) throws
    -> [JSONValue]
  {
    try column(manifest.state.map { Step(phase, act: act, side: side, item: $0.name) }) { try body($0.item ?? "") }
  }

  /// The receipt's part on what was stored, for the half that stored it.
  func deposits() throws -> [String: String] {
    let steps = try journal.steps(id).filter { $0.step.act == "deposit" && $0.succeeded }
    return Dictionary(steps.map { ($0.step.item ?? "", $0.result["snapshot"]?.string ?? "") }) { _, last in last }
  }

  /// The root that the other half has proven.
  func storedRoot(_ item: String) -> String? { try? recalled(item).deposit.root }
}

extension Manifest {
  var identity: JSONValue { ["name": .string(name), "digest": .string(digest), "mode": .string(mode.rawValue)] }
}

extension RunDriver {
  /// Whether the destination serves.
  var serves: Bool { get throws { try destinationState == .active } }
  /// Whether it serves, or its services were being started.
  var mayHaveAccepted: Bool { get throws { try [.starting, .active].contains(destinationState) } }
  /// Whether the source's copy is gone.
  var isRetired: Bool { get throws { try entry.sides.contains(.source) && source.record().state == .retired } }
  private var destinationState: NodeRecord.State? {
    get throws { entry.sides.contains(.destination) ? try destination.record().state : nil }
  }
}
