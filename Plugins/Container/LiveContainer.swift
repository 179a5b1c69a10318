import FerryEngineKit
import Glibc

/// A running Podman container with its memory: its processes go on at the destination where they were.
///
/// `freeze` is the stop: a checkpoint, which stays at the source until the run is over, so that `thaw` goes on from it. The archive of it is what the
/// final pass moves, with what the container wrote into its layer; `activate` restores it. Volumes are another item's: its final pass comes after all
/// are frozen, so they are of the same moment. The container must not be among the services: a stop would end what is to go on.
final class LiveContainer {
  let base: ContainerProvider
  let podman: PodmanCommand
  var context: ProviderContext { base.context }
  var config: ContainerConfig { base.config }
  var name: String { config.endpoint.container }

  /// It holds whatever the processes had in memory: nobody else may read it.
  var archive: String { "\(context.temporaryFolder)/checkpoint.tar" }
  /// What was written of the memory while the processes ran; the archive lacks what has not changed since. Both ends have it until the run is over.
  var ahead: String { "\(context.temporaryFolder)/ahead.tar" }

  init(_ base: ContainerProvider) {
    self.base = base
    podman = PodmanCommand(base.context, base.config.endpoint)
  }

  // MARK: Check

  /// What each end is told about the other before anything is begun.
  private struct Abilities: Codable {
    var host: CheckpointHost
    /// What the container is to be called.
    var container: String
  }

  /// The destination, or a source whose destination has failed already.
  func check() throws -> CheckReport {
    try base.report { report, engine in
      let host = try look(&report)
      guard context.side == .destination else { return try look(at: base.container(name), &report) }
      report.abilities = try JSONValue(encoding: Abilities(host: host, container: name))
      if try engine.container(name) != nil { throw exists() }
    }
  }

  func check(against abilities: JSONValue) throws -> CheckReport {
    try base.report { report, _ in
      let there: Abilities = try abilities.decode()
      let here = try look(&report)
      for obstacle in here.obstacles(to: there.host, ignoringProcessor: config.ignoreCpu == true) {
        report.notices.append(.init(.error, obstacle.message, hint: obstacle.hint))
      }
      if let warning = here.warning(to: there.host) { report.notices.append(.init(.warning, warning)) }
      let container = try base.container(name)
      if let obstacle = renaming(container, to: there.container) { throw obstacle }
      try look(at: container, &report)
    }
  }

  private func look(_ report: inout CheckReport) throws -> CheckpointHost {
    let host = try CheckpointHost.here(context)
    report.versions["criu"] = host.criu
    report.versions["kernel"] = host.kernel
    return host
  }

  private func look(at container: EngineContainer, _ report: inout CheckReport) throws {
    guard container.isRunning else { throw notRunning() }
    report.entries = 1
    let findings = LiveFindings(container: container, config: config)
    for obstacle in findings.obstacles { report.notices.append(.init(.error, obstacle.message, hint: obstacle.hint)) }
    for warning in findings.warnings { report.notices.append(.init(.warning, warning)) }
    if try !CheckpointHost.tracksMemory(context) {
      report.notices.append(
        .init(
          .warning,
          "all memory of \(container.name) travels while nobody serves: the kernel here does not track which of it changes, so none can go ahead",
          hint: "a kernel with CONFIG_MEM_SOFT_DIRTY tracks it, as Debian's does"))
    }
  }

  /// With connections that are kept a container keeps its name and its addresses: Podman's restore gives new ones to another name.
  private func renaming(_ container: EngineContainer, to other: String) -> FerryError? {
    guard config.connections == .keep, container.name != other else { return nil }
    return FerryError(
      .invalid, "Podman does not keep connections of a container that gets another name, and \(container.name) is to be \(other)",
      hint: "leave its name as it is, or say `connections: close`")
  }

  func exists() -> FerryError {
    FerryError(.conflict, "Podman has a container \(name) already; nothing was changed", hint: "choose another name with `to`")
  }
  func notRunning() -> FerryError {
    FerryError(
      .precondition, "the container \(name) does not run, so it has no memory to move",
      hint: "start it; it must not stand under `services`, which would stop it before its memory is taken")
  }

  // MARK: Prepare

  func prepare() throws -> Offer {
    var keys = try JSONValue(encoding: ContainerMapping(config.endpoint))
    keys["host"] = try JSONValue(encoding: CheckpointHost.here(context))
    keys["stops-source"] = true
    return Offer(.private, keys.object ?? [:])
  }

  /// Looked at again: a run may be resumed on a host that has changed.
  func refuseObstacles(to offer: Offer) throws {
    guard let there = try offer["host"]?.decode(CheckpointHost.self), let other = offer["container"]?.string else {
      throw FerryError(.internal, "the offer names no host")
    }
    let obstacles = try CheckpointHost.here(context).obstacles(to: there, ignoringProcessor: config.ignoreCpu == true)
    if let obstacle = try obstacles.first ?? renaming(base.container(name), to: other) { throw obstacle }
  }

  func discard() throws {
    if context.side == .destination {
      try deactivate()
      if let record = try ContainerRecord.read(context) { try ContainerFooting(provider: base).remove(record) }
      try ContainerRecord.forget(context)
    }
    try forgetAhead()
    try release()
  }

  func release() throws { for file in [archive, ahead] where Files.exists(file) { try Files.remove(file) } }
}

/// What a container's own settings mean for its going on elsewhere.
struct LiveFindings {
  let container: EngineContainer
  let config: ContainerConfig

  var obstacles: [FerryError] {
    let (name, json) = (container.name, container.json)
    var found: [FerryError] = []
    if json["HostConfig"]?["AutoRemove"]?.bool == true {
      found.append(
        FerryError(
          .precondition, "\(name) was made with --rm: its checkpoint would remove it, and there would be no way back",
          hint: "make it anew without --rm"))
    }
    if let unit = json["Config"]?["Labels"]?["PODMAN_SYSTEMD_UNIT"]?.string {
      found.append(
        FerryError(
          .precondition, "the systemd unit \(unit) runs \(name) and would start it anew once it is stopped",
          hint: "move it without `live: true`, with `- systemd: \(unit)` under `services`"))
    }
    let modes = ["NetworkMode", "PidMode", "IpcMode"].compactMap { json["HostConfig"]?[$0]?.string }
    if modes.contains(where: { $0.hasPrefix("container:") }) {
      found.append(
        FerryError(
          .unsupported, "\(name) shares a namespace with another container, as in a pod: Podman takes no checkpoint of one of them alone",
          hint: "move it without `live: true`"))
    }
    if config.connections == .keep, config.runMode == "copy" {
      found.append(
        FerryError(
          .invalid, "a connection cannot go on at both ends: \(name) is copied", hint: "say `mode: move`, or `connections: close`"))
    }
    if config.connections == .close, sockets?.isShared == true {
      found.append(
        FerryError(
          .unsupported, "\(name) uses the network of the host, where its connections are not told from others'",
          hint: "say `connections: keep`, or close them before"))
    }
    return found
  }

  var warnings: [String] {
    let (name, policy) = (container.name, container.json["HostConfig"]?["RestartPolicy"]?["Name"]?.string ?? "")
    var found: [String] = []
    if policy == "always" || policy == "unless-stopped" {
      found.append("a reboot of the source before the run is over would start \(name) anew, by its restart policy '\(policy)'")
    }
    if config.connections ?? .refuse == .refuse, let sockets, !sockets.isShared, sockets.connected > 0 {
      found.append(
        "\(name) has \(sockets.connected) established connections now: with one of them it is left where it is, unless `connections` says `keep` or `close`"
      )
    }
    return found
  }

  private var sockets: ContainerSockets? { (container.json["State"]?["Pid"]?.int).flatMap { ContainerSockets($0) } }
}
