import ArgumentParser
import Ferry

struct UnlockCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "unlock", abstract: "Tells whose a run's locks on this machine are, and with --yes gives them up.",
    discussion: "A run whose process lives keeps its locks in any case: `ferry cancel` ends it.")
  @OptionGroup var reference: RunReference
  @Flag(help: "Give the locks up.") var yes = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let run = reference.run
    let locks = try engine.locks(of: run)
    guard !locks.isEmpty else {
      throw FerryError(
        .notFound, "run '\(run)' holds no locks on this machine",
        hint: "nothing was changed; `ferry node status --home DIR` shows those of another home")
    }
    for lock in locks { try output.show(lock, text(lock)) }
    guard yes else {
      throw FerryError(
        .invalid, "the locks stay",
        hint:
          "nothing was changed; `ferry resume \(run)` and `ferry rollback \(run)` end the run properly, `ferry unlock \(run) --yes` gives its locks up"
      )
    }
    _ = try engine.unlock(run)
    try output.done(run, "the locks of run \(run) are given up")
  }

  private func text(_ lock: TargetLock) -> String {
    let owner = "process \(lock.owner.pid), which \(lock.owner.isAlive ? "is alive" : "is gone")"
    return "\(lock.target) at the \(lock.side.rawValue): run \(lock.run), taken \(Timestamp.text(lock.since)) by \(owner)"
  }
}
