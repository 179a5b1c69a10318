import ArgumentParser
import Ferry
import Glibc

struct InstallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "install", abstract: "Runs a migration as a systemd unit, which goes on after a reboot.",
    discussion: "For a follow run that goes on for days. The unit goes by itself when the run is over.")
  @OptionGroup var manifest: ManifestOptions
  @OptionGroup var flags: RunOptionFlags
  @Flag(help: "A unit of this user's own systemd; always so for a user who is not root.") var user = false
  @Flag(name: .customLong("print"), help: "Print the unit, and change nothing.") var onlyPrints = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let manifest = try manifest.load(by: engine)
    let options = flags.options()
    let user = user || geteuid() != 0
    if onlyPrints || !engine.canInstall(user: user) {
      try output.show(Unit(unit: engine.unit(manifest, user: user)), engine.unit(manifest, user: user))
      if onlyPrints { return }
    }
    let installed = try engine.install(manifest, options: options, user: user)
    try output.show(
      installed,
      "run \(installed.run) is installed as \(installed.unit); `ferry status \(installed.run) --follow` shows it, `ferry uninstall \(installed.run)` takes the unit away"
    )
    if let notice = installed.notice { Console.complain("note: \(notice)") }
  }

  private struct Unit: Encodable { var unit: String }
}

struct UninstallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "uninstall", abstract: "Takes a run's systemd unit away; the run is left as it is.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let removed = try engine.engine().uninstall(reference.run)
    let run = removed.run
    try output.done(run, "\(removed.unit) is removed; `ferry resume \(run)` goes on with the run, `ferry rollback \(run)` undoes it")
  }
}
