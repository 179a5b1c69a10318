import FerrySystem

/// A volume as its engine knows it.
public struct EngineVolume: Codable, Sendable, Hashable {
  /// Its name.
  public var name: String
  /// What keeps it: `local`, or a plugin.
  public var driver: String
  /// Where its content is on the engine's machine; a plugin may say nothing.
  public var mountpoint: String?
  /// What its owner wrote on it.
  public var labels: [String: String]?
  /// What the driver was told.
  public var options: [String: String]?
  /// `local`, or `global` where all hosts of a cluster see the same volume.
  public var scope: String?

  enum CodingKeys: String, CodingKey {
    case name = "Name"
    case driver = "Driver"
    case mountpoint = "Mountpoint"
    case labels = "Labels"
    case options = "Options"
    case scope = "Scope"
  }

  /// A volume.
  public init(
    name: String, driver: String = "local", mountpoint: String? = nil, labels: [String: String]? = nil, options: [String: String]? = nil,
    scope: String? = nil
  ) {
    self.name = name
    self.driver = driver
    self.mountpoint = mountpoint
    self.labels = labels
    self.options = options
    self.scope = scope
  }

  /// Why its content is not in a folder of this engine's own, or nil if it is. Such content is never copied and never removed: it may be the only
  /// copy, and others may use it.
  public var storedElsewhere: String? {
    if scope == "global" { return "all hosts of a cluster share it" }
    if driver != "local" { return "the driver '\(driver)' keeps it" }
    let type = options?["type"] ?? ""
    let device = options?["device"] ?? ""
    if type == "tmpfs" || type == "ramfs" { return "it lives in memory while it is mounted" }
    if (options?["o"] ?? "").split(separator: ",").contains(where: { $0 == "bind" || $0 == "rbind" }) {
      return "it is the folder \(device)"
    }
    if !device.isEmpty || !type.isEmpty { return "it is mounted from \(device.isEmpty ? type : device)" }
    return nil
  }

  /// Whether nobody gave it a name. Both engines draw 64 hexadecimal digits.
  public var isAnonymous: Bool {
    labels?["com.docker.volume.anonymous"] != nil
      || (name.utf8.count == 64 && name.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) })
  }

  /// What makes two volumes the same definition, whatever they are called: for volumes whose content is elsewhere.
  public var definition: JSONValue {
    [
      "driver": .string(driver), "scope": .string(scope ?? "local"),
      "options": .object((options ?? [:]).mapValues { .string($0) }),
    ]
  }
}

extension ContainerEngine {
  /// A volume by its name, or nil.
  public func volume(_ name: String) throws -> EngineVolume? {
    do { return try client.json(EngineVolume.self, "GET", ["volumes", name]) } catch let error as FerryError where error.class == .notFound
    {
      return nil
    }
  }

  /// All volumes, or those with a label (`key` or `key=value`), by name.
  public func volumes(label: String? = nil) throws -> [EngineVolume] {
    struct Answer: Decodable {
      let volumes: [EngineVolume]?
      enum CodingKeys: String, CodingKey { case volumes = "Volumes" }
    }
    let filters: JSONValue = label.map { ["label": [.string($0)]] } ?? [:]
    let answer = try client.json(Answer.self, "GET", ["volumes"], query: label == nil ? [] : [("filters", filters.text)])
    return (answer.volumes ?? []).sorted { $0.name < $1.name }
  }

  /// Makes a volume with the driver, options and labels of `volume`. One that exists is left as it is.
  public func create(_ volume: EngineVolume) throws {
    let body: JSONValue = [
      "Name": .string(volume.name), "Driver": .string(volume.driver),
      "DriverOpts": .object((volume.options ?? [:]).mapValues { .string($0) }),
      "Labels": .object((volume.labels ?? [:]).mapValues { .string($0) }),
    ]
    try client.ask("POST", ["volumes", "create"], body: .json(body))
  }

  /// Removes a volume and its content; no error if there is none. One whose content is stored elsewhere is refused.
  public func removeVolume(_ name: String) throws {
    guard let volume = try volume(name) else { return }
    if let reason = volume.storedElsewhere {
      throw FerryError(.precondition, "the volume \(name) is not removed: \(reason)", hint: "remove it by hand if nobody needs it")
    }
    do { try client.ask("DELETE", ["volumes", name]) } catch let error as FerryError where error.class == .notFound {}
  }
}
