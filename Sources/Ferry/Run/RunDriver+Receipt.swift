import FerrySystem

/// The receipt, from the journal alone: it is the same whether one session or five made the run.
extension RunDriver {
  func makeReceipt() throws -> Receipt {
    let steps = try journal.steps(id).filter(\.succeeded)
    let offers = try node(entry.sides.last ?? .source).record().offers
    let catalog = try configuration.catalog()
    let providers = Set(manifest.state.map(\.provider)).sorted()
    let plugins = catalog.plugins()
    let ended = wallClock()
    return Receipt(
      run: id, name: manifest.name, mode: manifest.mode, began: entry.created, ended: ended,
      rollbackUntil: manifest.rollbackFor.map { ended + $0.inSeconds }, ferry: ferryVersion, manifest: manifest.digest,
      source: describe(.source), destination: describe(.destination),
      plugins: try providers.map { provider in
        let version = plugins.first { $0.module?.providers.contains { $0.id == provider } ?? false }?.module?.version
        return Receipt.Plugin(provider: provider, version: version ?? "", sha256: try catalog.provider(provider).sha256)
      },
      items: try manifest.state.map { try item($0, steps, offer: offers[$0.name] ?? [:]) },
      outage: outage(steps), verify: manifest.verify, algorithm: manifest.digestAlgorithm,
      definition: entry.options.half == .transfer ? nil : manifest,
      transfer: entry.options.half == .transfer ? Receipt.Transfer(manifest: manifest, snapshots: try deposits()) : nil)
  }

  /// An end that this half does not have is only what the manifest says of it.
  private func describe(_ side: Side) -> Receipt.Node {
    let spec = manifest.node(side)
    let hello = try? node(side).hello
    return Receipt.Node(node: spec.node, name: spec.name, host: hello?.host ?? "", home: hello?.home ?? "")
  }

  private func item(_ item: ItemSpec, _ steps: [StepEntry], offer: JSONValue) throws -> Receipt.Item {
    let moved = try steps.filter { $0.step.item == item.name && $0.step.pass != nil }.map { try $0.result.decode(Moved.self) }
    func digest(_ side: Side) -> JSONValue {
      steps.last { $0.step.phase == .verify && $0.step.act == "verify" && $0.step.item == item.name && $0.step.side == side }?.result ?? [:]
    }
    var evidence: [String: JSONValue] = [:]
    for side in Side.allCases { evidence[side.rawValue] = digest(side)["evidence"] }
    let last = entry.sides.last ?? .destination
    return Receipt.Item(
      name: item.name, provider: item.provider, entries: digest(last)["entries"]?.int ?? 0, bytes: digest(last)["bytes"]?.int ?? 0,
      passes: moved.count, sent: moved.reduce(0) { $0 + $1.sent },
      sourceRoot: digest(.source)["root"]?.string ?? storedRoot(item.name) ?? "",
      destinationRoot: digest(.destination)["root"]?.string ?? "", offer: offer, evidence: evidence.isEmpty ? nil : evidence)
  }

  /// The outage of the session that succeeded: from the first service's stop until the last one is up. That it stays so is watched, and no part.
  private func outage(_ steps: [StepEntry]) -> Receipt.Outage {
    var outage = Receipt.Outage()
    guard let stop = steps.last(where: { $0.step.act == "quiesce" }) else { return outage }
    let finals = steps.filter { $0.step.phase == .final && $0.began >= stop.began }
    let startAct = manifest.mode == .copy ? "thaw" : "start"
    guard let start = steps.last(where: { $0.step.act == startAct && $0.began >= stop.began }), let began = finals.map(\.began).min(),
      let ended = finals.compactMap(\.ended).max(), let over = start.ended
    else { return outage }
    outage.stop = began - stop.began
    outage.final = ended - began
    outage.verify = start.began - ended
    let up = over - ((try? start.result.decode(StartReply.self))?.watched ?? 0)
    outage.start = up - start.began
    outage.total = up - stop.began
    return outage
  }
}

extension StepEntry {
  /// What a step that succeeded has answered.
  var result: JSONValue { if case .done(let value) = outcome { value } else { [:] } }
}
