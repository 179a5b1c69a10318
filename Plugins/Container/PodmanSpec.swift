import FerryEngineKit

/// A container in the words of Podman's own API. The one that it shares with Docker knows no pods, drops a few settings, and splits the words of
/// a health check at their blanks.
struct PodmanSpec {
  /// What Docker's API would take.
  let body: JSONValue
  private let host: JSONValue
  private var spec: JSONValue

  /// `pod`: the one that the container belongs to; its namespaces are those of which `HostConfig` says `pod`.
  static func made(of definition: ContainerDefinition, _ body: JSONValue, name: String) -> JSONValue {
    var spec = PodmanSpec(body: body, host: body["HostConfig"] ?? [:], spec: ["name": .string(name)])
    if let pod = definition.pod { spec.spec["pod"] = .string(pod) }
    spec.addPlain()
    spec.addProcess()
    spec.addNamespaces(definition.endpoints)
    spec.addMounts()
    spec.addLimits()
    spec.addSecurity()
    for (name, value) in definition.settings["Podman"]?.object ?? [:] { spec.spec[name.lowercased()] = value }
    return spec.spec
  }

  private static let plain = [
    "Image": "image", "Hostname": "hostname", "User": "user", "Cmd": "command", "Entrypoint": "entrypoint", "Tty": "terminal",
    "OpenStdin": "stdin", "Labels": "labels", "WorkingDir": "work_dir", "StopTimeout": "stop_timeout", "Healthcheck": "healthconfig",
  ]
  private static let plainOfHost = [
    "CapAdd": "cap_add", "CapDrop": "cap_drop", "Dns": "dns_server", "DnsOptions": "dns_option", "DnsSearch": "dns_search",
    "ExtraHosts": "hostadd", "GroupAdd": "groups", "OomScoreAdj": "oom_score_adj", "Privileged": "privileged",
    "PublishAllPorts": "publish_image_ports", "ReadonlyRootfs": "read_only_filesystem", "StorageOpt": "storage_opts", "ShmSize": "shm_size",
    "Sysctls": "sysctl", "Runtime": "oci_runtime", "Init": "init", "CgroupParent": "cgroup_parent", "Annotations": "annotations",
  ]

  private mutating func addPlain() {
    for (from, names) in [(body, Self.plain), (host, Self.plainOfHost)] {
      for (old, new) in names { if let value = from[old], !value.isNothing || value.array != nil { spec[new] = value } }
    }
    // What every container says, and means that the engine's own is taken.
    if spec["oci_runtime"]?.string == "oci" { spec["oci_runtime"] = nil }
    // It is the memory of a namespace, which is another's here.
    if !["", "private", "shareable"].contains(host["IpcMode"]?.string ?? "") { spec["shm_size"] = nil }
  }

  private mutating func addProcess() {
    let variables = body["Env"]?.array?.compactMap(\.string) ?? []
    spec["env"] = .object(
      Dictionary(
        variables.map { line in
          let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
          return (parts[0], .string(parts.count > 1 ? parts[1] : ""))
        }
      ) { $1 })
    if let signal = body["StopSignal"]?.string, let number = Self.number(ofSignal: signal) { spec["stop_signal"] = .int(number) }
    if let policy = host["RestartPolicy"], let name = policy["Name"] {
      spec["restart_policy"] = name
      if let tries = policy["MaximumRetryCount"], !tries.isNothing { spec["restart_tries"] = tries }
    }
    if let log = host["LogConfig"], let driver = log["Type"] {
      spec["log_configuration"] = ["driver": driver]
      if let options = log["Config"], !options.isNothing { spec["log_configuration"]?["options"] = options }
    }
    let bindings = host["PortBindings"]?.object ?? [:]
    // Podman shows a port that is exposed among those that are published. It has one protocol, or several with commas between them.
    var exposed: [String: String] = [:]
    for key in bindings.filter({ $0.value.isNothing }).keys.sorted() {
      let (port, kind) = Self.port(key)
      exposed[port] = exposed[port].map { "\($0),\(kind)" } ?? kind
    }
    if !exposed.isEmpty { spec["expose"] = .object(exposed.mapValues { .string($0) }) }
    let published = bindings.sorted { $0.key < $1.key }.flatMap { key, bindings in
      (bindings.array ?? []).map { Self.mapping(key, $0) }
    }
    if !published.isEmpty { spec["portmappings"] = .array(published) }
  }

  private static func port(_ text: String) -> (port: String, kind: String) {
    let parts = text.split(separator: "/").map(String.init)
    return (parts.first ?? "", parts.count > 1 ? parts[1] : "tcp")
  }

  /// A port of a container or pod and what it is published as.
  static func mapping(_ key: String, _ binding: JSONValue) -> JSONValue {
    let (port, kind) = port(key)
    var mapping: JSONValue = ["container_port": .int(Int64(port) ?? 0), "protocol": .string(kind)]
    if let address = binding["HostIp"]?.string, !address.isEmpty { mapping["host_ip"] = .string(address) }
    if let port = binding["HostPort"]?.string.flatMap({ Int64($0) }), port > 0 { mapping["host_port"] = .int(port) }
    return mapping
  }

  private mutating func addNamespaces(_ endpoints: [ContainerEndpoint]) {
    for (old, new) in [
      ("NetworkMode", "netns"), ("IpcMode", "ipcns"), ("PidMode", "pidns"), ("UTSMode", "utsns"), ("CgroupnsMode", "cgroupns"),
      ("UsernsMode", "userns"),
    ] {
      guard let mode = host[old]?.string, !["", ContainerDefinition.ofPod].contains(mode), (new, mode) != ("userns", "private") else {
        continue
      }
      spec[new] = Self.namespace(mode)
    }
    if !endpoints.isEmpty {
      spec["netns"] = Self.namespace("bridge")
      spec["networks"] = .object(Dictionary(endpoints.map { ($0.network, $0.podmanOptions) }) { $1 })
      if endpoints.count == 1, let addresses = host["Addresses"] { spec["networks"]?[endpoints[0].network]?["static_ips"] = addresses }
    }
  }

  /// `container:ID`, `keep-id`, `private`: the kind, and what comes after the colon.
  static func namespace(_ mode: String) -> JSONValue {
    let parts = mode.split(separator: ":", maxSplits: 1).map(String.init)
    return parts.count > 1 ? ["nsmode": .string(parts[0]), "value": .string(parts[1])] : ["nsmode": .string(mode)]
  }

  private mutating func addMounts() {
    var mounts: [JSONValue] = []
    var volumes: [JSONValue] = []
    func add(_ type: String, _ source: String, _ target: String, _ options: [String]) {
      let options = JSONValue.array(options.map { .string($0) })
      if type == "volume" {
        volumes.append(["Name": .string(source), "Dest": .string(target), "Options": options])
      } else {
        mounts.append(["type": .string(type), "source": .string(source), "destination": .string(target), "options": options])
      }
    }
    for line in host["Binds"]?.array?.compactMap(\.string) ?? [] {
      let parts = line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard parts.count > 1 else { continue }
      let options = parts.count > 2 ? parts[2].split(separator: ",").map(String.init) : []
      add(parts[0].hasPrefix("/") ? "bind" : "volume", parts[0], parts[1], options)
    }
    for mount in host["Mounts"]?.array ?? [] {
      add(
        mount["Type"]?.string ?? "", mount["Source"]?.string ?? "", mount["Target"]?.string ?? "",
        mount["ReadOnly"]?.bool == true ? ["ro"] : [])
    }
    for (place, options) in host["Tmpfs"]?.object ?? [:] {
      add("tmpfs", "tmpfs", place, (options.string ?? "").split(separator: ",").map(String.init))
    }
    if !mounts.isEmpty { spec["mounts"] = .array(mounts) }
    if !volumes.isEmpty { spec["volumes"] = .array(volumes) }
  }

  private mutating func addLimits() {
    var resources: JSONValue = [:]
    for (part, names) in [
      (
        "memory",
        [
          "Memory": "limit", "MemoryReservation": "reservation", "MemorySwap": "swap", "MemorySwappiness": "swappiness",
          "OomKillDisable": "disableOOMKiller",
        ]
      ),
      (
        "cpu",
        [
          "CpuShares": "shares", "CpuQuota": "quota", "CpuPeriod": "period", "CpusetCpus": "cpus", "CpusetMems": "mems",
          "CpuRealtimePeriod": "realtimePeriod", "CpuRealtimeRuntime": "realtimeRuntime",
        ]
      ), ("pids", ["PidsLimit": "limit"]), ("blockIO", ["BlkioWeight": "weight"]),
    ] {
      for (old, new) in names {
        // A swappiness of -1 is one that nobody has chosen.
        guard let value = host[old], !value.isNothing, old != "MemorySwappiness" || value != -1 else { continue }
        if resources[part] == nil { resources[part] = [:] }
        resources[part]?[new] = value
      }
    }
    if !resources.isNothing { spec["resource_limits"] = resources }
    if let limits = host["Ulimits"]?.array {
      spec["r_limits"] = .array(
        limits.map { ["type": $0["Name"] ?? "", "hard": $0["Hard"] ?? 0, "soft": $0["Soft"] ?? 0] })
    }
    if let devices = host["Devices"]?.array, !devices.isEmpty {
      spec["devices"] = .array(
        devices.map { device in
          let parts = ["PathOnHost", "PathInContainer", "CgroupPermissions"].compactMap { device[$0]?.string }.filter { !$0.isEmpty }
          return ["path": .string(parts.joined(separator: ":"))]
        })
    }
  }

  private mutating func addSecurity() {
    for option in host["SecurityOpt"]?.array?.compactMap(\.string) ?? [] {
      let parts = option.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "=" || $0 == ":" }.map(String.init)
      let value = parts.count > 1 ? parts[1] : ""
      switch parts[0] {
      case "no-new-privileges": spec["no_new_privileges"] = .bool(value != "false")
      case "apparmor": spec["apparmor_profile"] = .string(value)
      case "seccomp": spec["seccomp_profile_path"] = .string(value)
      case "label": spec["selinux_opts"] = .array((spec["selinux_opts"]?.array ?? []) + [.string(value)])
      case "mask": spec["mask"] = .array(value.split(separator: ":").map { .string(String($0)) })
      case "unmask": spec["unmask"] = .array(value.split(separator: ":").map { .string(String($0)) })
      default: break
      }
    }
  }

  /// `15`, `TERM` or `SIGTERM`.
  private static func number(ofSignal text: String) -> Int64? {
    if let number = Int64(text) { return number }
    let word = text.uppercased()
    let name = word.hasPrefix("SIG") ? String(word.dropFirst(3)) : word
    // The first two of the kernel's are the C library's own.
    if name.hasPrefix("RTMIN") { return 34 + (Int64(name.dropFirst(6)) ?? 0) }
    return signals.firstIndex(of: name).map { Int64($0) + 1 }
  }
  /// From 1 on, as Linux counts them on the processors that Ferry runs on.
  private static let signals = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD",
    "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
  ]
}
