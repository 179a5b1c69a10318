import FerrySystem
import Glibc

/// A systemd unit that keeps a run's controller at work: it resumes the run at each boot, and when the controller has died.
struct RunUnit: Sendable {
  let run: String
  /// What the unit's description says.
  let title: String
  /// Of the user's own manager, or of the system's.
  let user: Bool
  let configuration: Engine.Configuration

  var name: String { "ferry-run-\(run).service" }
  var path: String { "\(manager.folder)/\(name)" }
  /// There while the unit is installed: its manager's name. Gone before the unit is, which then starts no more.
  private static func mark(_ run: String, _ configuration: Engine.Configuration) -> String { "\(configuration.folder(of: run))/unit" }

  private var manager: UnitManager { UnitManager(user: user) }

  /// The unit of a run that is installed.
  static func installed(_ entry: RunEntry, _ configuration: Engine.Configuration) -> RunUnit? {
    guard let manager = try? Files.read(mark(entry.id, configuration)) else { return nil }
    return RunUnit(entry, user: manager == Array("user".utf8), configuration)
  }

  init(_ entry: RunEntry, user: Bool, _ configuration: Engine.Configuration) {
    run = entry.id
    let manifest = entry.manifest
    title = "Ferry run \(entry.id): \(manifest.mode.rawValue) \(manifest.name) from \(manifest.source.name) to \(manifest.destination.name)"
    self.user = user
    self.configuration = configuration
  }

  /// A controller that is killed leaves the run as it is; told to end in any other way it would go back.
  var text: String {
    let network = user ? "" : "After=network-online.target\nWants=network-online.target\n"
    return """
      [Unit]
      Description=\(title.replacing("%", with: "%%"))
      ConditionPathExists=\(Self.mark(run, configuration).replacing("%", with: "%%"))
      \(network)StartLimitIntervalSec=0

      [Service]
      ExecStart=\(UnitManager.quoted(configuration.executable).replacing("$", with: "$$")) resume \(run)
      \(manager.environment(configuration))
      # `systemctl stop` and a shutdown leave the run as it is, to go on at the next start; `ferry cancel \(run)` ends it.
      KillMode=process
      KillSignal=SIGKILL
      Restart=on-failure
      RestartSec=30
      # The run is over, or needs a person.
      RestartPreventExitStatus=1 2 4 6 10 11 12 130

      [Install]
      WantedBy=\(user ? "default" : "multi-user").target

      """
  }

  /// Writes the unit, has it started now and at each boot. Done twice it does no harm.
  func install() throws {
    try Files.makeFolder(configuration.folder(of: run))
    try Files.replace(Self.mark(run, configuration), with: Array((user ? "user" : "system").utf8))
    try manager.write(name, text)
    for act in [["daemon-reload"], ["enable", "--now", name]] { try manager.demand(act, about: name) }
  }

  /// Removes it. The controller goes on unless it is to be stopped, which leaves the run as it is.
  func remove(stopping: Bool) throws {
    try Files.remove(Self.mark(run, configuration))
    guard Files.exists(path) else { return }
    try manager.demand(["disable"] + (stopping ? ["--now"] : []) + [name], about: name)
    try Files.remove(path)
    try manager.demand(["daemon-reload"], about: name)
  }
}
