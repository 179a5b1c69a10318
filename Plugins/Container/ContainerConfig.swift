import FerryEngineKit

/// The item's keys.
struct ContainerConfig: Decodable {
  struct Endpoint: Decodable {
    var container: String
    /// At the destination: what is mounted at a place instead of what is at the source.
    var mounts: [String: String]?
    /// At the destination: what networks are called there.
    var networks: [String: String]?
    /// At the destination: the port of the host that a published port gets instead, by the one at the source.
    var ports: [String: String]?
    /// At the destination: what its pod is called there.
    var pod: String?
    var engine: String?
    /// How Podman's own command is called; checkpoints are its alone.
    var podman: [String]?
  }

  /// What becomes of established TCP connections.
  enum Connections: String, Decodable { case keep, close, refuse }

  var endpoint: Endpoint
  var replace: Bool?
  /// Settings that stay behind, by their path in the engine's inspect.
  var without: [String]?
  /// The processes go on at the destination where they were.
  var live: Bool?
  var connections: Connections?
  var ignoreCpu: Bool?
  var runMode: String?

  enum CodingKeys: String, CodingKey {
    case endpoint, replace, without, live, connections
    case ignoreCpu = "ignore-cpu"
    case runMode = "run-mode"
  }

  /// A key that would do nothing, in words, or nil.
  var idleKey: String? {
    let keys =
      live == true
      ? [
        "to.mounts": endpoint.mounts != nil, "to.networks": endpoint.networks != nil, "to.ports": endpoint.ports != nil,
        "replace": replace != nil, "without": without != nil,
      ] : ["connections": connections != nil, "ignore-cpu": ignoreCpu != nil, "podman": endpoint.podman != nil]
    return keys.filter(\.value).keys.sorted().first.map {
      live == true ? "`\($0)` cannot be said with `live: true`: processes go on with what they had" : "`\($0)` needs `live: true`"
    }
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "required": ["container"], "additionalProperties": false, "properties": {
        "container": {"$ref": "#/$defs/container"},
        "engine": {"$ref": "#/$defs/engine"},
        "podman": {"$ref": "#/$defs/podman"}}},
      "to": {"type": "object", "required": ["container"], "additionalProperties": false, "properties": {
        "container": {"$ref": "#/$defs/container"},
        "mounts": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1},
         "description": "what is mounted there, by the mount point: a volume's name, or the path of a file or folder of the host"},
        "networks": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1},
         "description": "what networks are called there, by their names at the source"},
        "ports": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^[0-9]+$"},
         "description": "which port of the host is published there, by the port of the host at the source: {'8080': '18080'}"},
        "pod": {"type": "string", "minLength": 1, "description": "what the container's pod is called there (Podman)"},
        "engine": {"$ref": "#/$defs/engine"},
        "podman": {"$ref": "#/$defs/podman"}}},
      "replace": {"type": "boolean",
       "description": "a container of that name may exist; it is kept aside until the run has succeeded"},
      "without": {"type": "array", "items": {"type": "string", "pattern": "^(Config|HostConfig)\\\\.[A-Za-z]+$"},
       "description": "settings that stay behind, as the engine's inspect calls them: HostConfig.Devices"},
      "live": {"type": "boolean",
       "description": "its processes go on at the destination where they were, with what they had in memory (Podman only)"},
      "connections": {"enum": ["keep", "close", "refuse"],
       "description": "established TCP connections of a live container: kept, for a destination that has the same address; closed; or a reason not to move (the default)"},
      "ignore-cpu": {"type": "boolean",
       "description": "move a live container although the destination's processor lacks what the source's has"}},
     "$defs": {
      \(EngineSchema.container),
      "podman": {"type": "array", "minItems": 1, "items": {"type": "string"},
       "description": "how Podman's command is called there, for a live container: [podman, --root, /srv/podman]"},
      \(EngineSchema.engine)}}
    """
}

/// How names of the source are translated for the destination. Both ends know it: what they compare is in the destination's words.
struct ContainerMapping: Codable, Hashable {
  var container: String
  var mounts: [String: String] = [:]
  var networks: [String: String] = [:]
  var ports: [String: String] = [:]
  var pod: String?

  init(_ endpoint: ContainerConfig.Endpoint) {
    container = endpoint.container
    mounts = endpoint.mounts ?? [:]
    networks = endpoint.networks ?? [:]
    ports = endpoint.ports ?? [:]
    pod = endpoint.pod
  }
}
