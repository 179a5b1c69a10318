import FerrySystem
import Glibc

/// After a run: proof, cleaning up, locks.
extension Engine {
  /// Whether a run's destination still is what was received, item by item.
  public struct Verification: Sendable, Codable, Hashable {
    /// One item, read again in full.
    public struct Item: Sendable, Codable, Hashable {
      /// The item's name in the manifest.
      public var name: String
      /// The destination's root as the receipt has it, hex.
      public var expected: String
      /// The root that was found now, hex; empty if the provider gave none.
      public var found: String
      /// Entries (files, folders, records: what the provider counts) that were read now.
      public var entries: Int64
      /// Whether the root is the one that was received.
      public var isEqual: Bool { expected == found }
      /// What has changed since, where the provider can list it.
      public var drift: Drift?
    }
    /// The run's full id.
    public var run: String
    /// In the manifest's order.
    public var items: [Item]
    /// Whether all items are what was received.
    public var isEqual: Bool { items.allSatisfy(\.isEqual) }
  }

  /// A receipt by its file, or by its run's id.
  public func receipt(_ reference: String) throws -> Receipt {
    if Files.exists(reference) { return try JSONValue.decode(Receipt.self, from: Files.read(reference)) }
    let entry = try find(reference)
    guard let receipt = entry.receipt else {
      throw FerryError(.notFound, "run \(entry.id) has no receipt: it is \(entry.status.rawValue)", hint: "only a run that is done has one")
    }
    return receipt
  }

  /// Reads the destination again, in full, and compares it with a receipt. The receipt is enough: this need not be the controller that made it.
  /// `address` is another way to the destination than the manifest's, as `local` is once one is there.
  public func verify(_ reference: String, at address: String? = nil) async throws -> Verification {
    let receipt = try receipt(reference)
    guard receipt.transfer == nil else {
      throw FerryError(.invalid, "run \(receipt.run) was a transfer: nothing was received yet", hint: "`ferry receive` fetches it")
    }
    var manifest = try receipt.definition ?? find(receipt.run).manifest
    if let address {
      let home = manifest.destination.home
      manifest.destination = try NodeSpec(at: address, instead: manifest.destination)
      manifest.destination.home = home
    }
    let chosen = manifest
    return try await Visit.run { visit in
      try self.look(chosen, run: receipt.run, visit) { destination in
        // `local` is whatever machine this is; with a receipt in hand it may be another than it was.
        if address == nil, destination.isLocal, destination.hello.host != receipt.destination.host {
          throw FerryError(
            .precondition, "run \(receipt.run) was received on \(receipt.destination.host), and this is \(destination.hello.host)",
            hint: "verify there, or name the way to it: --node ssh://\(receipt.destination.host); --node local if this is it, renamed")
        }
        return Verification(
          run: receipt.run,
          items: try receipt.items.map { item in
            let arguments: JSONValue = ["offer": item.offer, "target": "active", "algorithm": .string(receipt.algorithm.rawValue)]
            let found: CompareReply = try destination.send(
              .compare, CallRequest(item: item.name, call: .digest, full: true, arguments: arguments)
            ).decode()
            return Verification.Item(
              name: item.name, expected: item.destinationRoot, found: found.root, entries: found.entries, drift: found.drift)
          })
      }
    }
  }

  private func look<Value>(_ manifest: Manifest, run: String, _ visit: Visit, _ body: (NodeConnection) throws -> Value) throws -> Value {
    let node = try NodeConnection(manifest.destination, side: .destination, configuration: configuration, visit: visit) { _, _ in }
    defer { node.close() }
    let secrets = try SecretResolver.controllerSecrets(of: manifest.state)
    _ = try node.open(manifest.openRequest(run: run, side: .destination, epoch: 0, secrets: secrets, visitor: true))
    return try body(node)
  }

  /// Forgets a run that has ended: holds on the source's services are lifted without starting them, kept targets go, locks and what the nodes
  /// keep of it go. A run that can still be resumed is refused.
  public func cleanup(_ run: String) async throws {
    let entry = try find(run)
    switch entry.status {
    case .running, .incomplete:
      throw FerryError(
        .precondition, "run \(entry.id) is \(entry.status.rawValue)",
        hint: "end it first: `ferry resume \(entry.id)` or `ferry rollback \(entry.id)`")
    case .cleaned: return
    case .kept:
      let undone = try await rollback(entry.id)
      guard undone.status == .undone else {
        throw undone.error
          ?? FerryError(.precondition, "what run \(entry.id) kept could not be removed", hint: undone.remaining.joined(separator: "; "))
      }
    case .done, .undone: break
    }
    try await Threads.run {
      try self.journal.update(entry.id) { $0.epoch += 1 }
      guard let epoch = try self.journal.run(entry.id)?.epoch else { return }
      for side in entry.sides {
        let node = try NodeConnection(entry.manifest.node(side), side: side, configuration: self.configuration) { _, _ in }
        defer { node.close() }
        let record = try node.open(entry.manifest.openRequest(run: entry.id, side: side, epoch: epoch))
        // A run that could still be rolled back has kept what it replaced.
        if entry.status == .done, !record.finished { try node.send(.release) }
        try node.send(.finish)
      }
      try self.journal.update(entry.id) { $0.status = .cleaned }
      try Files.remove(self.configuration.folder(of: entry.id))
    }
  }

  /// A run's locks on this machine's nodes: whose they are, before they are given up.
  public func locks(of run: String) throws -> [TargetLock] {
    let (id, homes) = try homes(of: run)
    return homes.flatMap { NodeStore(home: $0).locks(of: id) }
  }

  /// Gives up a run's locks on this machine's nodes, and answers what they were. Refused while a process of the run is alive.
  public func unlock(_ run: String) throws -> [TargetLock] {
    let (id, homes) = try homes(of: run)
    let locks = try locks(of: run)
    if let alive = locks.first(where: { $0.owner.isAlive }) {
      throw FerryError(
        .conflict, "run \(alive.run) is at work: process \(alive.owner.pid) holds \(alive.target)",
        hint: "`ferry cancel \(alive.run)` ends it")
    }
    for home in homes { for side in Side.allCases { try NodeStore(home: home).unlock(run: id, side: side) } }
    return locks
  }

  private func homes(of run: String) throws -> (run: String, homes: [String]) {
    guard let entry = try journal.run(run) else { return (run, [NodeStore.defaultHome]) }
    let specs = [entry.manifest.source, entry.manifest.destination].filter { $0.node == "local" }
    return (entry.id, Set(specs.map { $0.home ?? NodeStore.defaultHome }).sorted())
  }
}
