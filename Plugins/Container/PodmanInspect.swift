import FerryEngineKit

extension ContainerEngine {
  /// What Podman itself shows of a container, beside Docker's form of it.
  func podmanInspect(_ container: String) throws -> JSONValue {
    try client.json(JSONValue.self, "GET", ["v4.0.0", "libpod", "containers", container, "json"])
  }

  /// Settings of `HostConfig` that Podman takes and no inspect shows.
  func podmanUnseen(_ container: EngineContainer) throws -> [String: JSONValue] {
    let shown = try podmanInspect(container.id)
    let command = shown["Config"]?["CreateCommand"]?.array?.compactMap(\.string) ?? []
    var unseen: [String: JSONValue] = [:]
    // From what its runtime was told when it was last started, else from the command that made it.
    if let path = shown["OCIConfigPath"]?.string, !path.isEmpty, sharesFiles, Files.exists(path) {
      unseen["Sysctls"] = try JSONValue.decode(JSONValue.self, from: Files.read(path))["linux"]?["sysctl"]
    } else {
      let pairs = values(of: "--sysctl", in: command).map { $0.split(separator: "=", maxSplits: 1).map(String.init) }.filter {
        $0.count == 2
      }
      if !pairs.isEmpty { unseen["Sysctls"] = .object(Dictionary(pairs.map { ($0[0], .string($0[1])) }) { $1 }) }
    }
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
