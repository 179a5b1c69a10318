import Ferry
import FerrySystem
import PluginHarness
import TestSupport
import Testing

@testable import ContainerPlugin

@Suite("Settings of containers", .enabled(if: TestEngine.available)) struct SettingsTests {
  /// An option for as many properties as an engine takes here.
  static func options(_ kind: TestEngine.Kind, _ name: String, _ folder: String) -> [String] {
    var options = [
      "--network", "none", "--hostname", "chosen", "--user", "7:8", "--workdir", "/tmp", "--env", "COLOUR=green", "--env", "EMPTY=",
      "--label",
      "com.docker.compose.project=shop", "--label", "spaced=a b \"c\"", "--volume", "\(name)-data:/data", "--volume", "\(name)-ro:/ro:ro",
      "--volume", "\(name)-bare:/bare:nocopy", "--volume", "\(name)-shared:/shared:z", "--volume", "\(name)-own:/own:Z",
      "--volume", "\(folder):/bound:ro,rslave", "--mount", "type=volume,source=\(name)-mounted,target=/mounted,ro", "--tmpfs",
      "/scratch:size=65536k,mode=1777", "--cap-add", "NET_ADMIN", "--cap-drop", "MKNOD", "--cap-drop", "AUDIT_WRITE", "--group-add", "100",
      "--group-add", "200", "--read-only", "--interactive", "--tty", "--memory", "64m", "--memory-reservation", "32m",
      "--cpu-shares", "512", "--pids-limit", "77", "--ulimit", "nofile=512:1024", "--sysctl", "net.ipv4.ip_forward=1", "--shm-size", "32m",
      "--oom-score-adj", "100", "--device", "/dev/null:/dev/extra:r", "--restart", "on-failure:3", "--stop-signal", "SIGINT",
      "--stop-timeout", "7", "--health-cmd", "test -e /well", "--health-interval", "11s", "--health-retries", "4", "--health-timeout", "5s",
      "--expose", "9000/udp", "--add-host", "db:10.1.2.3", "--dns", "10.1.2.4", "--dns-search", "example.org", "--dns-option", "ndots:2",
      "--security-opt", "no-new-privileges", "--entrypoint", "/bin/sleep",
    ]
    options +=
      kind == .docker
      ? ["--init", "--log-driver", "json-file", "--log-opt", "max-size=1m"]
      : ["--init", "--log-driver", "k8s-file", "--umask", "0027", "--tz", "local", "--timeout", "600"]
    // Podman cannot give a container without a network what belongs into its files.
    if kind == .podman {
      for option in ["--dns", "--dns-search", "--dns-option", "--add-host"] {
        if let index = options.firstIndex(of: option) { options.removeSubrange(index...(index + 1)) }
      }
    }
    return options
  }

  @Test("each property that an engine shows of a container has a row in the table", arguments: TestEngine.Kind.allCases)
  func table(_ kind: TestEngine.Kind) throws {
    let (engine, _) = try Pair.of(kind)
    let (name, folder) = (Pair.name("shown"), try TemporaryFolder())
    try engine.run(["create", "--name", name] + Self.options(kind, name, folder.path) + ["box", "100"])
    func unknown(_ inspect: JSONValue, _ table: [String: Carriage]) -> [String] {
      let findings = ContainerProperty.findings(in: inspect, table)
      #expect(findings.count > 60)
      return findings.filter { $0.carriage == nil }.map { "\($0.path) = \($0.value.text)" }
    }
    #expect(unknown(try engine.inspect(name), ContainerProperty.table) == [])
    if kind == .podman {
      #expect(unknown(try engine.podmanInspect(name), ContainerProperty.podman) == [])
    }
    // One that runs shows more of its state, and no other settings.
    try engine.start("\(name)-up")
    #expect(unknown(try engine.inspect("\(name)-up"), ContainerProperty.table) == [])
    #expect(
      ContainerProperty.findings(in: ["Config": ["Brand": "new"], "Strange": 1]).filter { $0.carriage == nil }.map(\.path)
        == ["Config.Brand", "Strange"])
  }

  @Test("all settings arrive, and the new container is not started", arguments: TestEngine.Kind.allCases)
  func settings(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let (name, folder) = (Pair.name("whole"), try TemporaryFolder())
    try from.run(["create", "--name", name] + Self.options(kind, name, folder.path) + ["box", "100"])
    for volume in ["data", "ro", "mounted", "bare", "shared", "own"] { try to.run("volume", "create", "\(name)-\(volume)") }
    let move = try Move(from, to, name)
    #expect(try move.notices(.source) == [] && move.notices(.destination) == [])
    #expect(try move.notices(.source, "warning").contains { $0.contains("mounted at /bound") })
    try move.run()
    let (there, here) = (try from.inspect(name), try to.inspect(name))
    #expect(here["State"]?["Status"]?.string == "created")
    // What people call it, and where inspect has it.
    let words: [(word: String, part: String, keys: [String])] = [
      ("image", "Config", ["Image"]), ("command", "Config", ["Cmd", "Entrypoint", "Tty", "OpenStdin"]), ("user", "Config", ["User"]),
      ("groups", "HostConfig", ["GroupAdd"]), ("workdir", "Config", ["WorkingDir"]), ("hostname", "Config", ["Hostname"]),
      ("labels, compose's among them", "Config", ["Labels"]), ("stopping", "Config", ["StopSignal", "StopTimeout"]),
      ("health check", "Config", ["Healthcheck"]), ("restart policy", "HostConfig", ["RestartPolicy"]),
      ("mounts", "HostConfig", ["Tmpfs", "ReadonlyRootfs", "ShmSize"]), ("networks", "HostConfig", ["NetworkMode"]),
      ("capabilities", "HostConfig", ["CapAdd", "CapDrop", "SecurityOpt"]), ("devices", "HostConfig", ["Devices"]),
      ("limits", "HostConfig", ["Memory", "MemoryReservation", "CpuShares", "PidsLimit", "Ulimits", "OomScoreAdj"]),
      ("sysctls", "HostConfig", ["Sysctls"]), ("log options", "HostConfig", ["LogConfig"]), ("init", "HostConfig", ["Init"]),
      ("extra hosts and name servers", "HostConfig", ["ExtraHosts", "Dns", "DnsOptions", "DnsSearch"]),
    ]
    for (word, part, keys) in words {
      for key in keys {
        // The file of a log is the engine's own.
        let (old, new) = (there[part]?[key], here[part]?[key])
        #expect(
          key == "LogConfig" ? old?["Type"] == new?["Type"] && old?["Config"] == new?["Config"] : old == new, "\(word): \(part).\(key)")
      }
    }
    if kind == .podman {
      let (old, new) = try (from.podmanInspect(name), to.podmanInspect(name))
      for key in ["Umask", "Timezone", "Timeout"] {
        #expect(new["Config"]?[key] == old["Config"]?[key] && new["Config"]?[key]?.isNothing == false)
      }
    }
    #expect(here["Config"]?["Env"]?.array?.contains("COLOUR=green") == true)
    let mounts = here["Mounts"]?.array ?? []
    func binds(_ inspect: JSONValue) -> Set<String> {
      let lines = inspect["HostConfig"]?["Binds"]?.array?.compactMap(\.string) ?? []
      // Podman says each option, in an order of its own.
      return Set(
        lines.map {
          $0.split(separator: ":").prefix(2).joined(separator: ":") + ":"
            + ($0.split(separator: ":").last ?? "").split(separator: ",").sorted().joined(separator: ",")
        })
    }
    // What was told by `--mount` comes as `--volume` where that can say it.
    #expect(binds(there).isSubset(of: binds(here)) && binds(there).count > 5, "nocopy, z, Z, propagation")
    func mount(_ place: String) -> JSONValue? { mounts.first { $0["Destination"]?.string == place } }
    #expect(mount("/ro")?["Name"]?.string == "\(name)-ro" && mount("/ro")?["RW"]?.bool == false)
    #expect(mount("/mounted")?["Name"]?.string == "\(name)-mounted" && mount("/mounted")?["RW"]?.bool == false)
    #expect(mount("/bound")?["Source"]?.string == folder.path && mount("/bound")?["Propagation"]?.string == "rslave")
    for side in Side.allCases { try move.harness.call(side, .release) }
    for _ in 0..<2 { try move.harness.call(.source, .retire) }
    #expect(try !from.call("container", "inspect", name).succeeded)
    // A process that knows nothing of the run sees the same.
    let target = try Move(to, to, name)
    _ = try target.harness.digest(.destination, target: "active")
  }

  @Test("a difference between the two containers is found, and named") func difference() throws {
    let (from, to) = try Pair.of(.docker)
    let name = Pair.name("odd")
    try from.run("create", "--name", name, "--network", "none", "--memory", "64m", "box", "/bin/sh")
    let move = try Move(from, to, name)
    try move.harness.prepare()
    try move.harness.pass(final: true)
    #expect(try move.differences() == [])
    try to.run("update", "--memory", "80m", "--memory-swap", "160m", "\(name).ferry-run1")
    #expect(try move.differences() == ["HostConfig.Memory", "HostConfig.MemorySwap"])
    try move.giveUp()
  }

  @Test("settings that change while the run goes on end it") func changing() throws {
    let (from, to) = try Pair.of(.docker)
    let name = Pair.name("changing")
    try from.start(name, ["--restart", "always", "--memory", "64m"])
    let move = try Move(from, to, name)
    try move.harness.prepare()
    try move.harness.pass()
    // What Ferry itself does to hold it down is no change.
    try from.run("update", "--restart", "no", name)
    try from.run("stop", name)
    try move.harness.pass(final: true)
    #expect(try move.differences() == [])
    try from.run("update", "--memory", "80m", "--memory-swap", "160m", name)
    #expect(failure { try move.harness.pass(final: true) }?.message.contains("HostConfig.Memory") == true)
    try move.harness.call(.destination, .activate)
    #expect(try to.inspect(name)["HostConfig"]?["RestartPolicy"]?["Name"]?.string == "always")
  }
}
