import FerryPluginKit

/// What the end that keeps the repository does after a run: this run's snapshots but the last go, the repository is checked, and old snapshots
/// go as `keep` says.
struct ResticKeeper {
  let context: ProviderContext
  let config: ResticConfig
  let repository: ResticRepository

  static let lastPassKey = "last-pass"
  private static let nameKey = "manifest-name"
  /// How many snapshots of this run there may be.
  private static let begunKey = "passes-begun"

  /// The pass whose snapshot stays, and whose item it is of: items of other manifests in this repository are none of its business.
  func note(_ pass: Pass) throws {
    if let name = pass.manifest?.name { try context.kv.put(Self.nameKey, name) }
    try context.kv.put(Self.lastPassKey, pass.number)
    try context.kv.put(Self.begunKey, (context.kv.get(Self.begunKey) ?? 0) + 1)
  }

  static func itemTags(_ context: ProviderContext) throws -> [String] {
    let name: String? = try context.kv.get(nameKey)
    return ["item=\(context.item)"] + (name.map { ["name=\($0)"] } ?? [])
  }

  /// After success. Twice does no harm.
  func tidy() throws {
    guard let last: Int = try context.kv.get(Self.lastPassKey) else { return }
    if let begun: Int = try context.kv.get(Self.begunKey), begun > 1 { try forget { $0.tag("pass") != "\(last)" } }
    if let check = config.check {
      let data = check == "structure" ? [] : check == "all" ? ["--read-data"] : ["--read-data-subset=\(check)"]
      try patiently("checked") { try repository.output(["check"] + data) }
    }
    if let keep = config.keep, !keep.options.isEmpty {
      let tags = try Self.itemTags(context)
      try patiently("thinned out") {
        try repository.output(["forget", "--tag", (["ferry"] + tags).joined(separator: ","), "--group-by", "host"] + keep.options)
        // A deposit goes with its snapshot.
        let left = try repository.snapshots(tags: [["ferry"] + tags, [ResticDeposit.tag] + tags])
        let runs = Set(left.filter { !$0.isDeposit }.compactMap { $0.tag("run") })
        let orphans = left.filter { $0.isDeposit && !runs.contains($0.tag("run") ?? "") }
        if !orphans.isEmpty { try repository.output(["forget"] + orphans.map(\.id)) }
        try repository.output(["prune"])
      }
    }
  }

  /// After a run that was undone: none of its snapshots stays. They do no harm, so that is no reason to fail.
  func undo() {
    do {
      guard try context.kv.get(Self.lastPassKey, as: Int.self) != nil else { return }
      try forget(deposits: true) { _ in true }
      try context.kv.remove(Self.lastPassKey)
    } catch {
      context.log(.warning, "snapshots of run \(context.run) stay in the repository: \(FerryError.wrap(error).message)")
    }
  }

  private func forget(deposits: Bool = false, _ isOld: (ResticRepository.Snapshot) -> Bool) throws {
    let beside = deposits ? [[ResticDeposit.tag, "run=\(context.run)", "item=\(context.item)"]] : []
    let old = try repository.snapshots(tags: [ResticSource.tags(context)] + beside).filter(isOld).map(\.id)
    if !old.isEmpty { try patiently("thinned out") { try repository.output(["forget"] + old) } }
  }

  /// Others may be at work on the repository; what is not done for their sake the next run does.
  private func patiently(_ what: String, _ act: () throws -> Void) throws {
    let patience = ContinuousClock.now + .seconds(60)
    while true {
      do { return try act() } catch let error as FerryError where error.class == .conflict {
        guard ContinuousClock.now < patience else {
          return context.log(.warning, "the repository was not \(what), somebody else is at work on it: \(error.message)")
        }
        context.progress(bytes: 0)
        try context.checkCancellation()
      }
    }
  }
}
