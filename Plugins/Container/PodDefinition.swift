import FerryEngineKit

/// How a pod was made, as far as another Podman can make one like it.
struct PodDefinition: Codable, Hashable {
  var name: String
  /// By their paths in inspect's answer, without what nobody has set.
  var settings: [String: JSONValue]

  /// What becomes of each property that `podman pod inspect` shows.
  static let table: [String: Carriage] = {
    var table: [String: Carriage] = [:]
    for (names, carriage) in rows { for name in names { table[name] = carriage } }
    return table
  }()

  private static let rows: [([String], Carriage)] = [
    (["Name"], .translated("it is called as `to.pod` says")),
    (["Labels", "Hostname", "SharedNamespaces", "CreateInfra", "ExitPolicy", "RestartPolicy"], .carried),
    (
      [
        "PortBindings", "StaticIP", "StaticMAC", "NoManageResolvConf", "DNSServer", "DNSSearch", "DNSOption", "NoManageHosts", "HostAdd",
        "Networks", "userns", "pid_ns", "uts_ns", "HostNetwork",
      ].map { "InfraConfig.\($0)" }, .carried
    ),
    (["Id", "Created", "State", "NumContainers", "Containers", "LockNumber", "Namespace"], .drawn("of the one pod")),
    (["CreateCommand"], .drawn("how it was made: Ferry makes it through the engine's API")),
    (["InfraContainerID", "CreateCgroup", "CgroupParent", "CgroupPath"], .drawn("each engine has its own")),
    (["InfraConfig.NetworkOptions"], .left("Ferry does not set it in the new pod")),
    (
      [
        "cpu_period", "cpu_quota", "cpuset_cpus", "cpu_shares", "cpuset_mems", "memory_limit", "memory_swap", "blkio_weight",
        "blkio_weight_device", "device_read_bps", "device_write_bps", "mounts", "devices", "security_opt", "volumes_from",
        "InfraConfig.cpu_period", "InfraConfig.cpu_quota", "InfraConfig.cpuset_cpus",
      ], .left("Ferry does not set it in the new pod: make the pod yourself, and leave its item out")
    ),
  ]

  /// `network` is the mode of the container that holds the namespaces: no other place tells `none` from `bridge`.
  init?(_ json: JSONValue, network: String) {
    guard let name = json["Name"]?.string else { return nil }
    self.name = name
    settings = [:]
    for finding in ContainerProperty.findings(in: json, Self.table) where finding.carriage == .carried && !finding.value.isNothing {
      settings[finding.path] = finding.value
    }
    settings["NetworkMode"] = .string(network)
    // Podman gives a pod that has none its name.
    if settings["Hostname"]?.string == name { settings["Hostname"] = nil }
    if let shared = settings["SharedNamespaces"]?.array { settings["SharedNamespaces"] = .array(shared.sorted { $0.text < $1.text }) }
  }

  /// What does not arrive, and why.
  static func losses(_ json: JSONValue) -> [(path: String, reason: String)] {
    ContainerProperty.findings(in: json, table).filter { !$0.value.isNothing }.compactMap { finding in
      switch finding.carriage {
      case .left(let reason): (finding.path, reason)
      case nil: (finding.path, "this Ferry does not know it; its value is \(finding.value.text.prefix(200))")
      default: nil
      }
    }
  }

  /// As Podman's API takes it.
  var spec: JSONValue {
    var spec: JSONValue = ["name": .string(name)]
    for (old, new) in [
      "Labels": "labels", "Hostname": "hostname", "SharedNamespaces": "shared_namespaces", "ExitPolicy": "exit_policy",
      "RestartPolicy": "restart_policy", "InfraConfig.StaticIP": "static_ip", "InfraConfig.StaticMAC": "static_mac",
      "InfraConfig.NoManageResolvConf": "no_manage_resolv_conf", "InfraConfig.DNSServer": "dns_server",
      "InfraConfig.DNSSearch": "dns_search", "InfraConfig.DNSOption": "dns_option", "InfraConfig.NoManageHosts": "no_manage_hosts",
      "InfraConfig.HostAdd": "hostadd",
    ] {
      if let value = settings[old] { spec[new] = value }
    }
    guard settings["CreateInfra"]?.bool == true else {
      (spec["no_infra"], spec["shared_namespaces"]) = (true, nil)
      return spec
    }
    let mode = settings["NetworkMode"]?.string ?? ""
    if !mode.isEmpty { spec["netns"] = PodmanSpec.namespace(mode) }
    for (old, new) in ["InfraConfig.userns": "userns", "InfraConfig.pid_ns": "pidns", "InfraConfig.uts_ns": "utsns"] {
      if let mode = settings[old]?.string, mode != "private", mode != "host" || new != "userns" { spec[new] = PodmanSpec.namespace(mode) }
    }
    if mode == "bridge" { spec["networks"] = .object(Dictionary(networks.map { ($0, [:]) }) { $1 }) }
    let ports = (settings["InfraConfig.PortBindings"]?.object ?? [:]).sorted { $0.key < $1.key }.flatMap { key, bindings in
      (bindings.array ?? []).map { PodmanSpec.mapping(key, $0) }
    }
    if !ports.isEmpty { spec["portmappings"] = .array(ports) }
    return spec
  }

  var networks: [String] { settings["InfraConfig.Networks"]?.array?.compactMap(\.string) ?? [] }

  /// One line a setting, sorted: what both ends digest.
  var lines: [(path: String, value: String)] {
    [("Name", name)] + settings.map { ($0.key, $0.value.text) }.sorted { $0.0 < $1.0 }
  }
}
