import FerryPluginKit

/// What the end that keeps the repository does after a run: this run's snapshots but the last go, the repository is checked, and old snapshots
/// go as `keep` says.
struct ResticKeeper {
  let context: ProviderContext
  let config: ResticConfig
  let repository: ResticRepository

  private static let lastPassKey = "last-pass"

  /// The pass whose snapshot stays.
  func note(lastPass: Int) throws { try context.kv.put(Self.lastPassKey, lastPass) }

  /// After success. Twice does no harm.
  func tidy() throws {
    guard let last: Int = try context.kv.get(Self.lastPassKey) else { return }
    try forget { $0.tag("pass") != "\(last)" }
    if let check = config.check {
      let data = check == "structure" ? [] : check == "all" ? ["--read-data"] : ["--read-data-subset=\(check)"]
      try patiently("checked") { try repository.output(["check"] + data) }
    }
    if let keep = config.keep, !keep.options.isEmpty {
      let tags = ["ferry", "item=\(context.item)"].joined(separator: ",")
      try patiently("thinned out") {
        try repository.output(["forget", "--tag", tags, "--group-by", "host,paths", "--prune"] + keep.options)
      }
    }
  }

  /// After a run that was undone: none of its snapshots stays. They do no harm, so that is no reason to fail.
  func undo() {
    do {
      guard try context.kv.get(Self.lastPassKey, as: Int.self) != nil else { return }
      try forget { _ in true }
      try context.kv.remove(Self.lastPassKey)
    } catch {
      context.log(.warning, "snapshots of run \(context.run) stay in the repository: \(FerryError.wrap(error).message)")
    }
  }

  private func forget(_ isOld: (ResticRepository.Snapshot) -> Bool) throws {
    let old = try repository.snapshots(tags: ResticSource.tags(context)).filter(isOld).map(\.id)
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
