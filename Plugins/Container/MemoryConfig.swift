import FerryEngineKit

/// The keys of an item of `podman-memory`.
struct MemoryConfig: Decodable {
  struct Endpoint: Decodable {
    var container: String
    /// How Podman's own command is called; checkpoints are its alone.
    var podman: [String]?
    var engine: String?
  }
  enum Connections: String, Decodable { case keep, refuse }

  var endpoint: Endpoint
  var connections: Connections?
  var ignoreCpu: Bool?

  enum CodingKeys: String, CodingKey {
    case endpoint, connections
    case ignoreCpu = "ignore-cpu"
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"$ref": "#/$defs/end"},
      "to": {"$ref": "#/$defs/end"},
      "connections": {"enum": ["keep", "refuse"],
       "description": "established TCP connections: kept, for a destination that has the same address; or a reason not to move (the default)"},
      "ignore-cpu": {"type": "boolean", "description": "go on although the destination's processor lacks what the source's has"}},
     "$defs": {
      "end": {"type": "object", "required": ["container"], "additionalProperties": false, "properties": {
        "container": {"type": "string", "minLength": 1, "description": "the container's name"},
        "podman": {"type": "array", "minItems": 1, "items": {"type": "string"},
         "description": "how Podman's command is called there: [podman, --root, /srv/podman]"},
        \(EngineSchema.engine)}}}}
    """
}
