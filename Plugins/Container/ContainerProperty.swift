import FerryEngineKit

/// What becomes of a property that an engine shows of a container.
enum Carriage: Hashable {
  /// The new container is made with it as it is.
  case carried
  /// It arrives in another form or under another name.
  case translated(String)
  /// It is no setting: each engine has its own.
  case drawn(String)
  /// A setting that does not arrive, and why. Said in `check` where it is set.
  case left(String)
}

/// All that the engines' inspect shows, as far as this Ferry knows it. What stands in no row is named in `check` as well.
enum ContainerProperty {
  /// By the path in inspect's answer; a row is about all that lies below it, and `*` stands for any name.
  static let table: [String: Carriage] = {
    var table: [String: Carriage] = [:]
    for name in config { table["Config.\(name)"] = .carried }
    for name in hostConfig { table["HostConfig.\(name)"] = .carried }
    for (names, carriage) in others { for name in names { table[name] = carriage } }
    return table
  }()

  private static let config = [
    "Hostname", "Domainname", "User", "AttachStdin", "AttachStdout", "AttachStderr", "ExposedPorts", "Tty", "OpenStdin", "StdinOnce", "Env",
    "Cmd", "Healthcheck", "Volumes", "WorkingDir", "Entrypoint", "NetworkDisabled", "MacAddress", "Labels", "StopSignal", "StopTimeout",
    "Shell",
  ]

  private static let hostConfig = [
    "LogConfig", "PortBindings", "RestartPolicy", "AutoRemove", "VolumeDriver", "Annotations", "CapAdd", "CapDrop", "CgroupnsMode", "Dns",
    "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "Cgroup", "OomScoreAdj", "Privileged", "PublishAllPorts", "ReadonlyRootfs",
    "SecurityOpt", "StorageOpt", "Tmpfs", "UTSMode", "UsernsMode", "ShmSize", "Sysctls", "Runtime", "Init", "CpuShares", "Memory",
    "NanoCpus", "CgroupParent", "BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps",
    "BlkioDeviceWriteIOps", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime", "CpusetCpus", "CpusetMems", "Devices",
    "DeviceCgroupRules", "DeviceRequests", "KernelMemory", "KernelMemoryTCP", "MemoryReservation", "MemorySwap", "MemorySwappiness",
    "OomKillDisable", "PidsLimit", "Ulimits", "MaskedPaths", "ReadonlyPaths",
  ]

  private static let others: [([String], Carriage)] = [
    (["Name"], .translated("it is called as `to.container` says")),
    (["Image", "Config.Image", "ImageName"], .translated("the image of the same content, under the same name where that is free")),
    (["Path", "Args"], .translated("they are made of Config.Entrypoint and Config.Cmd")),
    (
      ["Mounts", "HostConfig.Binds", "HostConfig.Mounts"],
      .translated("volumes by their names at the destination, folders of the host by their paths")
    ),
    (["HostConfig.VolumesFrom"], .translated("each volume of the other container is mounted by its name")),
    (["HostConfig.NetworkMode"], .translated("a network, or another container, by its name at the destination")),
    (["HostConfig.IpcMode", "HostConfig.PidMode"], .translated("another container by its name at the destination")),
    (
      ["NetworkSettings.Networks.*.IPAMConfig", "NetworkSettings.Networks.*.Aliases", "NetworkSettings.Networks.*.DriverOpts"],
      .translated("the container is connected to the same networks with these")
    ),
    (["NetworkSettings.Networks.*.Links", "HostConfig.Links"], .left("links are obsolete: let the containers share a network")),
    (
      networkState.map { "NetworkSettings.Networks.*.\($0)" } + endpointState.map { "NetworkSettings.\($0)" },
      .drawn("addresses and ids of a connection are given anew")
    ),
    (["Id", "Created", "ExecIDs", "lockNumber"], .drawn("of the one container")),
    (["State", "RestartCount", "SizeRw", "SizeRootFs"], .drawn("of its processes and its layer, not of its settings")),
    (
      [
        "ResolvConfPath", "HostnamePath", "HostsPath", "LogPath", "StaticDir", "OCIConfigPath", "ConmonPidFile", "PidFile",
      ],
      .drawn("files of the one engine")
    ),
    (
      ["Driver", "GraphDriver", "Storage", "ImageManifestDescriptor", "Platform", "ImageDigest"],
      .drawn("how the one engine stores it")
    ),
    (
      ["MountLabel", "ProcessLabel", "AppArmorProfile", "EffectiveCaps", "BoundingCaps"],
      .drawn("made by the engine of HostConfig.SecurityOpt, CapAdd and CapDrop")
    ),
    (["HostConfig.ContainerIDFile"], .left("it is a file of the machine on which the container was made")),
    (["HostConfig.ConsoleSize"], .drawn("of the terminal that it was started from")),
    (["Config.OnBuild"], .drawn("of the image: it acts when another is built upon it")),
    (["Config.ArgsEscaped"], .left("it is for Windows")),
    (
      ["Isolation", "CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth"].map { "HostConfig.\($0)" },
      .left("it is for Windows")
    ),
  ]

  private static let endpointState = [
    "Bridge", "SandboxID", "SandboxKey", "HairpinMode", "LinkLocalIPv6Address", "LinkLocalIPv6PrefixLen", "Ports", "SecondaryIPAddresses",
    "SecondaryIPv6Addresses", "EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress", "IPPrefixLen",
    "IPv6Gateway",
    "MacAddress",
  ]
  private static let networkState = [
    "NetworkID", "EndpointID", "Gateway", "IPAddress", "IPPrefixLen", "IPv6Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen",
    "MacAddress", "DNSNames", "GwPriority",
  ]

  /// Only Podman's own inspect shows these, which has all of Docker's besides.
  static let podman: [String: Carriage] = {
    var table = Self.table
    // Names that mean something else here than in Docker's form, of which the settings are taken.
    for name in ["Config.Entrypoint", "Config.StopSignal", "HostConfig.IpcMode", "HostConfig.PidMode"] {
      table[name] = .translated("as Docker's form of inspect has it")
    }
    for (names, carriage) in podmanOnly { for name in names { table[name] = carriage } }
    return table
  }()

  private static let podmanOnly: [([String], Carriage)] = [
    (["OCIRuntime"], .drawn("each engine has a runtime of its own")),
    (["Dependencies"], .translated("HostConfig.NetworkMode and its like name them")),
    (["Config.CreateCommand"], .drawn("how it was made: Ferry makes it through the engine's API")),
    (["Config.SystemdMode"], .translated("Podman finds out by the command, as it does by default")),
    (["Config.Annotations"], .translated("those that stand for options are made of these again")),
    (["HostConfig.CgroupMode"], .translated("HostConfig.CgroupnsMode")),
    (["HostConfig.CgroupManager", "HostConfig.CgroupConf"], .drawn("how the one engine is set up")),
    (["IsInfra", "IsService", "Namespace", "KubeExitCodePropagation", "UseImageHosts", "UseImageHostname"], .drawn("of the engine")),
    (["Pod"], .translated("the pod of that name at the destination; `podman-pod` moves it")),
    (["Rootfs"], .left("it has no image, but runs in a folder of the host")),
    (["Config.Umask", "Config.Timeout", "Config.Timezone"], .carried),
    (["Config.Secrets"], .left("a secret does not leave its engine: make it at the destination, and the container with it")),
    (
      ["Config.HealthcheckOnFailureAction", "Config.ChrootDirs", "Config.Passwd", "Config.sdNotifyMode", "Config.sdNotifySocket"],
      .left("Ferry does not set it in the new container")
    ),
    (
      ["Config.StartupHealthCheck", "Config.HealthLogDestination", "Config.HealthcheckMaxLogCount", "Config.HealthcheckMaxLogSize"],
      .left("Ferry does not set it in the new container")
    ),
    (["HostConfig.IDMappings"], .left("HostConfig.UsernsMode stands for it; other maps are of the one machine")),
    (["HostConfig.DiskQuota", "HostConfig.Cgroups"], .left("Ferry does not set it in the new container")),
    (["HostConfig.IntelRdtClosID"], .left("Ferry does not set it in the new container")),
  ]

  /// What stands there by itself, beside nothing: not worth a word.
  private static let usual: [String: JSONValue] = [
    "Config.Umask": "0022", "Config.Passwd": true, "Config.HealthcheckOnFailureAction": "none", "Config.HealthLogDestination": "local",
    "Config.HealthcheckMaxLogCount": 5, "Config.HealthcheckMaxLogSize": 500, "Config.sdNotifyMode": "container",
    "HostConfig.Cgroups": "default",
  ]

  /// What an engine showed: a property and what becomes of it, nil if this Ferry does not know it.
  struct Finding: Hashable {
    var path: String
    var value: JSONValue
    var carriage: Carriage?

    /// Whether it says anything.
    var isSet: Bool { !value.isNothing && ContainerProperty.usual[path] != value }
  }

  /// All that inspect's answer holds, each property once.
  static func findings(in inspect: JSONValue, _ table: [String: Carriage] = table) -> [Finding] {
    var findings: [Finding] = []
    func walk(_ value: JSONValue, _ path: String, _ row: String) {
      if let carriage = table[row] {
        findings.append(Finding(path: path, value: value, carriage: carriage))
      } else if table.keys.contains(where: { $0.hasPrefix("\(row).") || row.isEmpty }), value.object != nil || value == .null {
        for (name, member) in (value.object ?? [:]).sorted(by: { $0.key < $1.key }) {
          let isAny = table.keys.contains { $0.hasPrefix("\(row).*.") }
          walk(member, path.isEmpty ? name : "\(path).\(name)", row.isEmpty ? name : "\(row).\(isAny ? "*" : name)")
        }
      } else {
        findings.append(Finding(path: path, value: value, carriage: nil))
      }
    }
    walk(inspect, "", "")
    return findings
  }
}

extension JSONValue {
  /// Null, empty, zero or false: what an engine shows of what nobody has set.
  var isNothing: Bool {
    switch self {
    case .null, .bool(false), .int(0), .unsigned(0), .double(0), .string(""): true
    case .array(let elements): elements.isEmpty
    case .object(let members): members.values.allSatisfy(\.isNothing)
    default: false
    }
  }
}
