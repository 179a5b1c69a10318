import FerryPluginKit

/// What was proven of a snapshot, kept beside it: a tiny snapshot of its own in the same repository, so that nothing else has to be kept safe.
struct ResticDeposit {
  static let tag = "ferry-deposit"
  /// The name of the snapshot that this run wrote last.
  static let snapshotKey = "snapshot"
  private static let file = "deposit.json"

  let context: ProviderContext
  let repository: ResticRepository

  /// Keeps it beside this run's last snapshot, whose name is answered.
  func put(_ deposit: JSONValue) throws -> String {
    guard let snapshot: String = try context.kv.get(Self.snapshotKey) else { throw FerryError(.internal, "this run has stored nothing") }
    // The same name as the snapshot's: both go together.
    let tags = ([Self.tag, "run=\(context.run)"] + (try ResticKeeper.itemTags(context))).joined(separator: ",")
    var command = try repository.command(["backup", "--stdin", "--stdin-filename", Self.file, "--tag", tags])
    command.input = .bytes(try JSONValue.encode(deposit))
    try repository.unlocking {
      let outcome = try repository.run(command)
      guard outcome.succeeded else { throw ResticFailure.error("backup", outcome) }
    }
    return snapshot
  }

  /// The newest first.
  func all(_ manifest: ManifestIdentity?) throws -> [StoredSnapshot] { try listing(manifest).stored }

  func find(_ name: String, _ manifest: ManifestIdentity?) throws -> Recalled {
    let (known, deposits) = try listing(manifest)
    let found: [StoredSnapshot]
    if name == "latest" {
      found = Array(known.filter(\.complete).prefix(1))
    } else {
      found = known.filter { $0.snapshot.hasPrefix(name) || ($0.run?.hasPrefix(name) ?? false) }
    }
    guard let one = found.first, let run = one.run else {
      throw FerryError(
        .notFound, "there is no snapshot '\(name)' of '\(context.item)' in the repository", hint: "`ferry snapshots` lists what is there")
    }
    guard Set(found.map(\.snapshot)).count == 1 else {
      throw FerryError(.invalid, "'\(name)' begins the names of \(found.count) snapshots of '\(context.item)'", hint: "give more of it")
    }
    guard let deposit = deposits[run] else {
      throw FerryError(
        .precondition,
        "snapshot \(one.snapshot.prefix(8)) was not kept by a transfer that came to its end: nothing tells what it should be",
        hint: "choose one that `ferry snapshots` calls complete, or use restic itself")
    }
    let text = try repository.output(["dump", "--no-lock", deposit, "/\(Self.file)"])
    return Recalled(snapshot: one.snapshot, deposit: try JSONValue(parsing: text))
  }

  /// What is stored, the newest first, and the deposits by their runs.
  private func listing(_ manifest: ManifestIdentity?) throws -> (stored: [StoredSnapshot], deposits: [String: String]) {
    let item = "item=\(context.item)"
    let found = try repository.snapshots(tags: ["ferry", item] + (manifest.map { ["name=\($0.name)"] } ?? []), [Self.tag, item])
    var deposits: [String: String] = [:]
    for deposit in found where deposit.isDeposit { if let run = deposit.tag("run") { deposits[run] = deposit.id } }
    let stored = found.filter { !$0.isDeposit }.reversed().map { snapshot in
      let run = snapshot.tag("run")
      return StoredSnapshot(snapshot: snapshot.id, run: run, time: snapshot.time, complete: run.map { deposits[$0] != nil } ?? false)
    }
    return (stored, deposits)
  }
}
