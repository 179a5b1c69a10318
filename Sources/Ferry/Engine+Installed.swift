import FerrySystem
import Glibc

extension Engine {
  /// A run whose controller systemd keeps at work.
  public struct InstalledRun: Sendable, Codable, Hashable {
    /// The run's full id.
    public var run: String
    /// The unit's name.
    public var unit: String
    /// The unit's file.
    public var path: String
    /// What keeps it from doing all that it could; nil: nothing.
    public var notice: String?
  }

  /// Whether a run can be installed here: systemd runs the machine, or (`user`) this user's services.
  public func canInstall(user: Bool) -> Bool { UnitManager(user: user).answers }

  /// The unit that `install` would write; `RUN` stands for the run's id.
  public func unit(_ manifest: Manifest, user: Bool) -> String {
    RunUnit(
      RunEntry(id: "RUN", manifest: manifest, options: RunOptions(), created: 0, epoch: 0, status: .running), user: user, configuration
    ).text
  }

  /// Begins a run under systemd: it goes on after a reboot, and after its controller has died. If a run of this manifest is installed already,
  /// that one is seen to and no other begun. The unit goes when the run is over.
  public func install(_ manifest: Manifest, options: RunOptions = RunOptions(), user: Bool) throws -> InstalledRun {
    for item in manifest.state {
      for (name, reference) in item.secrets {
        guard case .env(let variable) = reference else { continue }
        throw FerryError(
          .precondition,
          "secret '\(name)' of state '\(item.name)' is the variable \(variable) of this terminal, which a unit does not have",
          hint: "use a {file: …} or {command: …} reference; nothing was changed")
      }
    }
    guard canInstall(user: user) else {
      throw FerryError(
        .unsupported, "systemd does not run \(user ? "for this user" : "this machine")",
        hint: "`ferry run --detach` outlives the terminal, and `ferry resume RUN` goes on after a reboot; nothing was changed")
    }
    let known = try journal.runs().first {
      $0.manifest.name == manifest.name && [.running, .incomplete].contains($0.status) && RunUnit.installed($0, configuration) != nil
    }
    if let known, known.manifest.digest != manifest.digest {
      throw FerryError(
        .conflict, "run \(known.id) of '\(manifest.name)' is installed already, from another state of this manifest",
        hint: "`ferry cancel \(known.id)` or `ferry cutover \(known.id)` ends it; `ferry uninstall \(known.id)` leaves it as it is")
    }
    let id = try known?.id ?? begin(manifest, options: options)
    let unit = RunUnit(try find(id), user: user, configuration)
    do { try unit.install() } catch {
      try? unit.remove(stopping: true)
      if known == nil { try? journal.remove(id) }
      throw error
    }
    return InstalledRun(run: id, unit: unit.name, path: unit.path, notice: user ? Self.lingering() : nil)
  }

  /// Takes a run's unit away; its controller is stopped, and the run left as it is.
  public func uninstall(_ run: String) throws -> InstalledRun {
    let entry = try find(run)
    guard let unit = RunUnit.installed(entry, configuration) else {
      throw FerryError(.notFound, "run \(entry.id) is not installed as a unit", hint: "nothing was changed")
    }
    try unit.remove(stopping: true)
    return InstalledRun(run: entry.id, unit: unit.name, path: unit.path)
  }

  private static func lingering() -> String? {
    guard let entry = getpwuid(getuid()), let name = entry.pointee.pw_name.map({ String(cString: $0) }),
      !Files.exists("/var/lib/systemd/linger/\(name)")
    else { return nil }
    return "this user's systemd runs only while they are logged in: `loginctl enable-linger \(name)` has it begin at boot"
  }
}
