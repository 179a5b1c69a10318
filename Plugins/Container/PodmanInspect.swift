import FerryEngineKit

extension ContainerEngine {
  /// Settings of `HostConfig` that Podman takes and no inspect shows.
  func podmanUnseen(_ container: EngineContainer, _ shown: JSONValue) -> [String: JSONValue] {
    let command = shown["Config"]?["CreateCommand"]?.array?.compactMap(\.string) ?? []
    var unseen: [String: JSONValue] = [:]
    // From what its runtime was told when it was last started, else from the command that made it.
    if let path = shown["OCIConfigPath"]?.string, !path.isEmpty, sharesFiles, Files.exists(path) {
      unseen["Sysctls"] = try? JSONValue.decode(JSONValue.self, from: Files.read(path))["linux"]?["sysctl"]
    } else {
      let pairs = values(of: "--sysctl", in: command).map { $0.split(separator: "=", maxSplits: 1).map(String.init) }.filter {
        $0.count == 2
      }
      if !pairs.isEmpty { unseen["Sysctls"] = .object(Dictionary(pairs.map { ($0[0], .string($0[1])) }) { $1 }) }
    }
    let addresses = values(of: "--ip", in: command) + values(of: "--ip6", in: command)
    if !addresses.isEmpty { unseen["Addresses"] = .array(addresses.map { .string($0) }) }
    if let devices = container.json["HostConfig"]?["Devices"]?.array, !devices.isEmpty {
      let asked = values(of: "--device", in: command).map { $0.split(separator: ":").map(String.init) }
      unseen["Devices"] = .array(
        devices.map { device in
          var device = device
          let rights = asked.first { $0.first == device["PathOnHost"]?.string }?.dropFirst().last { $0.allSatisfy("rwm".contains) }
          if device["CgroupPermissions"]?.string?.isEmpty != false { device["CgroupPermissions"] = .string(rights ?? "rwm") }
          return device
        })
    }
    return unseen
  }

  /// `--option value` and `--option=value`.
  private func values(of option: String, in command: [String]) -> [String] {
    command.enumerated().compactMap { index, word in
      if word == option { return index + 1 < command.count ? command[index + 1] : nil }
      return word.hasPrefix("\(option)=") ? String(word.dropFirst(option.utf8.count + 1)) : nil
    }
  }
}

extension ContainerDefinition {
  /// What stands for a namespace that is the pod's.
  static let ofPod = "pod"

  /// Settings that Docker's form of inspect does not have: `shown` is Podman's own, `pod` the one that the container belongs to.
  mutating func addPodman(_ shown: JSONValue, pod: JSONValue?, without: [String]) {
    var own: [String: JSONValue] = [:]
    for key in ["Umask", "Timezone", "Timeout"] where !without.contains("Config.\(key)") {
      if let value = shown["Config"]?[key], !value.isNothing { own[key] = value }
    }
    settings["Podman"] = own.isEmpty ? nil : .object(own)
    guard let pod, let name = pod["Name"]?.string else { return }
    self.pod = name
    let infra = Self.otherContainer + (pod["InfraContainerID"]?.string ?? "")
    for key in ["NetworkMode", "IpcMode", "PidMode", "UTSMode", "CgroupnsMode", "UsernsMode"]
    where shown["HostConfig"]?[key]?.string == infra { settings["HostConfig"]?[key] = .string(Self.ofPod) }
    // They are the pod's.
    settings["HostConfig"]?["CgroupParent"] = nil
    if settings["HostConfig"]?["UTSMode"]?.string == Self.ofPod { settings["Config"]?["Hostname"] = nil }
  }
}
