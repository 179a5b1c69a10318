import FerrySystem

extension Engine {
  /// What is to be received.
  public enum Stored: Sendable, Hashable {
    /// A snapshot's name or its beginning, a run's id, or `latest`: for each item.
    case snapshot(String)
    /// What a transfer's receipt names.
    case receipt(Receipt)
  }

  /// One item's stored snapshots.
  public struct StoredItem: Sendable, Codable, Hashable {
    /// The item's name in the manifest.
    public var name: String
    /// The newest first.
    public var snapshots: [StoredSnapshot]
  }

  /// The source's half of a deferred run: its receipt names what was stored.
  public func transfer(_ manifest: Manifest, options: RunOptions = RunOptions(), onEvent: @escaping @Sendable (Event) -> Void = { _ in })
    async throws -> RunResult
  {
    try await perform(.transfer(manifest, options), onEvent)
  }

  /// The destination's half: what is stored is fetched, proven and brought into service.
  public func receive(
    _ manifest: Manifest, _ stored: Stored, options: RunOptions = RunOptions(), onEvent: @escaping @Sendable (Event) -> Void = { _ in }
  ) async throws -> RunResult {
    try await perform(.receive(manifest, stored, options), onEvent)
  }

  /// What is stored of a manifest's items; asked at its destination.
  public func snapshots(_ manifest: Manifest) async throws -> [StoredItem] {
    try await Threads.run {
      let node = try NodeConnection(manifest.destination, side: .destination, configuration: self.configuration) { _, _ in }
      defer { node.close() }
      let secrets = try SecretResolver.controllerSecrets(of: manifest.state)
      _ = try node.open(manifest.openRequest(run: "look", side: .destination, epoch: 0, secrets: secrets, visitor: true))
      return try manifest.state.map { item in
        let reply = try node.call(CallRequest(item: item.name, call: .snapshots, arguments: ["manifest": manifest.identity]))
        return StoredItem(name: item.name, snapshots: try (reply.result["snapshots"] ?? []).decode())
      }
    }
  }

  /// A manifest whose halves can run apart.
  func deferrable(_ manifest: Manifest) throws -> Manifest {
    guard manifest.mode == .copy else {
      throw FerryError(
        .invalid, "a deferred run copies, and the manifest says 'mode: \(manifest.mode.rawValue)'",
        hint: "the source cannot be left before somebody has received it: say `mode: copy`")
    }
    return manifest
  }
}

extension RunOptions {
  /// The same for the source's half.
  var transferring: RunOptions {
    var options = self
    options.half = .transfer
    return options
  }

  /// The same for the destination's half, with what it is to fetch.
  func receiving(_ stored: Engine.Stored) throws -> RunOptions {
    var options = self
    options.half = .receive
    switch stored {
    case .snapshot(let name): options.snapshot = name
    case .receipt(let receipt):
      guard let transfer = receipt.transfer else {
        throw FerryError(.invalid, "the receipt of run \(receipt.run) is of no transfer", hint: "`ferry transfer` writes one")
      }
      options.snapshots = transfer.snapshots
    }
    return options
  }
}
