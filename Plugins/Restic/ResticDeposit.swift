import FerryPluginKit

/// What was proven of a snapshot, kept beside it: a tiny snapshot of its own in the same repository, so that nothing else has to be kept safe.
struct ResticDeposit {
  static let tag = "ferry-deposit"
  private static let file = "deposit.json"

  let context: ProviderContext
  let repository: ResticRepository

  /// Keeps it beside this run's last snapshot, whose name is answered.
  func put(_ deposit: JSONValue) throws -> String {
    guard let last: Int = try context.kv.get(ResticKeeper.lastPassKey),
      let snapshot = try repository.snapshots(tags: ResticSource.tags(context, pass: last)).last
    else { throw FerryError(.internal, "this run has stored nothing") }
    // The same name as the snapshot's: both go together.
    let name = snapshot.tag("name").map { ["name=\($0)"] } ?? []
    let tags = ([Self.tag, "run=\(context.run)", "item=\(context.item)"] + name).joined(separator: ",")
    var command = try repository.command(["backup", "--stdin", "--stdin-filename", Self.file, "--tag", tags])
    command.input = .bytes(try JSONValue.encode(deposit))
    try repository.unlocking {
      let outcome = try repository.run(command)
      guard outcome.succeeded else { throw ResticFailure.error("backup", outcome) }
    }
    return snapshot.id
  }

  /// The newest first.
  func all(_ manifest: ManifestIdentity?) throws -> [StoredSnapshot] {
    let deposits = Set(try repository.snapshots(tags: [Self.tag, "item=\(context.item)"]).compactMap { $0.tag("run") })
    return try stored(manifest).map { snapshot in
      let run = snapshot.tag("run")
      return StoredSnapshot(
        snapshot: snapshot.id, run: run, time: snapshot.time, complete: run.map { deposits.contains($0) } ?? false)
    }
  }

  func find(_ name: String, _ manifest: ManifestIdentity?) throws -> Recalled {
    let known = try all(manifest)
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
    guard one.complete, let deposit = try repository.snapshots(tags: [Self.tag, "run=\(run)", "item=\(context.item)"]).last else {
      throw FerryError(
        .precondition,
        "snapshot \(one.snapshot.prefix(8)) was not kept by a transfer that came to its end: nothing tells what it should be",
        hint: "choose one that `ferry snapshots` calls complete, or use restic itself")
    }
    let text = try repository.output(["dump", "--no-lock", deposit.id, "/\(Self.file)"])
    return Recalled(snapshot: one.snapshot, deposit: try JSONValue(parsing: text))
  }

  private func stored(_ manifest: ManifestIdentity?) throws -> [ResticRepository.Snapshot] {
    let tags = ["ferry", "item=\(context.item)"] + (manifest.map { ["name=\($0.name)"] } ?? [])
    return try repository.snapshots(tags: tags).reversed()
  }
}
