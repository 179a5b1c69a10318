import FerryPluginKit

/// What was proven of a snapshot, kept in the same repository, so that nothing else has to be kept safe: in the snapshot's own tags, where it
/// was known when the snapshot was begun and is still true when it is written; else beside it, as a tiny snapshot of its own.
struct ResticDeposit {
  static let tag = "ferry-deposit"
  /// What this run wrote last.
  static let storedKey = "stored"
  private static let file = "deposit.json"

  struct Stored: Codable {
    var snapshot: String
    /// What its tags hold.
    var deposit: JSONValue?
  }

  let context: ProviderContext
  let repository: ResticRepository

  /// Keeps it beside this run's last snapshot, whose name is answered.
  func put(_ deposit: JSONValue) throws -> String {
    guard let stored: Stored = try context.kv.get(Self.storedKey) else { throw FerryError(.internal, "this run has stored nothing") }
    if stored.deposit == deposit { return stored.snapshot }
    // The same name as the snapshot's: both go together.
    let tags = ([Self.tag, "run=\(context.run)"] + (try ResticKeeper.itemTags(context))).joined(separator: ",")
    var command = try repository.command(["backup", "--stdin", "--stdin-filename", Self.file, "--tag", tags])
    command.input = .bytes(try JSONValue.encode(deposit))
    try repository.unlocking {
      let outcome = try repository.run(command)
      guard outcome.succeeded else { throw ResticFailure.error("backup", outcome) }
    }
    return stored.snapshot
  }

  /// The newest first.
  func all(_ manifest: ManifestIdentity?) throws -> [StoredSnapshot] { try listing(manifest).stored }

  func find(_ name: String, _ manifest: ManifestIdentity?) throws -> Recalled {
    let (known, proofs) = try listing(manifest)
    let found: [StoredSnapshot]
    if name == "latest" {
      found = Array(known.filter(\.complete).prefix(1))
    } else {
      found = known.filter { $0.snapshot.hasPrefix(name) || ($0.run?.hasPrefix(name) ?? false) }
    }
    guard let one = found.first else {
      throw FerryError(
        .notFound, "there is no snapshot '\(name)' of '\(context.item)' in the repository", hint: "`ferry snapshots` lists what is there")
    }
    guard Set(found.map(\.snapshot)).count == 1 else {
      throw FerryError(.invalid, "'\(name)' begins the names of \(found.count) snapshots of '\(context.item)'", hint: "give more of it")
    }
    switch proofs[one.snapshot] {
    case .own(let deposit): return Recalled(snapshot: one.snapshot, deposit: deposit)
    case .beside(let deposit):
      let text = try repository.output(["dump", "--no-lock", deposit, "/\(Self.file)"])
      return Recalled(snapshot: one.snapshot, deposit: try JSONValue(parsing: text))
    case nil:
      throw FerryError(
        .precondition,
        "snapshot \(one.snapshot.prefix(8)) was not kept by a transfer that came to its end: nothing tells what it should be",
        hint: "choose one that `ferry snapshots` calls complete, or use restic itself")
    }
  }

  private enum Proof {
    case own(JSONValue)
    /// The snapshot that holds it.
    case beside(String)
  }

  /// All of the item, and what was kept beside them.
  func fetch() throws -> [ResticRepository.Snapshot] {
    let item = "item=\(context.item)"
    return try repository.snapshots(tags: [["ferry", item], [Self.tag, item]])
  }

  /// What is stored, the newest first, and what proves it.
  private func listing(_ manifest: ManifestIdentity?) throws -> (stored: [StoredSnapshot], proofs: [String: Proof]) {
    let found = try repository.memory.takeListing() ?? fetch()
    var (deposits, proofs): ([String: String], [String: Proof]) = ([:], [:])
    for deposit in found where deposit.isDeposit { if let run = deposit.tag("run") { deposits[run] = deposit.id } }
    let ours = found.filter { snapshot in !snapshot.isDeposit && manifest.map { snapshot.tag("name") == $0.name } ?? true }
    let stored = ours.reversed().map { snapshot in
      let run = snapshot.tag("run")
      // What was kept last holds: the state was another when the snapshot was written than when it was begun.
      if let beside = run.flatMap({ deposits[$0] }) {
        proofs[snapshot.id] = .beside(beside)
      } else {
        // Tags that are not whole prove nothing.
        proofs[snapshot.id] = (try? ResticProof.deposit(in: snapshot.tags ?? [])).map { .own($0) }
      }
      return StoredSnapshot(snapshot: snapshot.id, run: run, time: snapshot.time, complete: proofs[snapshot.id] != nil)
    }
    return (stored, proofs)
  }
}
