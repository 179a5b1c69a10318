import FerryEngineKit

/// The item's keys.
struct VolumeConfig: Decodable {
  struct Endpoint: Decodable {
    var volume: String?
    var volumes: [String]?
    var label: String?
    var volumesFrom: String?
    /// At the destination: what volumes are called there.
    var names: [String: String]?
    /// At the destination: what another beginning of a name becomes.
    var prefixes: [String: String]?
    var engine: String?
    /// Whose own engine it is; nil: that of the user as whom Ferry runs.
    var user: String?

    enum CodingKeys: String, CodingKey {
      case volume, volumes, label, names, prefixes, engine, user
      case volumesFrom = "volumes-from"
    }

    /// The names that it gives, in their order.
    var given: [String]? { volume.map { [$0] } ?? volumes }
  }

  var endpoint: Endpoint
  var track: Bool?
  var replace: Bool?
  var allowEmpty: Bool?

  enum CodingKeys: String, CodingKey {
    case endpoint, track, replace
    case allowEmpty = "allow-empty"
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "additionalProperties": false,
       "oneOf": [{"required": ["volume"]}, {"required": ["volumes"]}, {"required": ["label"]}, {"required": ["volumes-from"]}],
       "properties": {
        "volume": {"type": "string", "minLength": 1, "description": "a volume by its name"},
        "volumes": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}, "description": "volumes by their names"},
        "label": {"type": "string", "minLength": 1, "description": "all volumes with this label: key, or key=value"},
        "volumes-from": {"type": "string", "minLength": 1, "description": "all volumes of this container"},
        "engine": {"$ref": "#/$defs/engine"}, "user": {"$ref": "#/$defs/user"}}},
      "to": {"type": "object", "additionalProperties": false, "properties": {
        "volume": {"type": "string", "minLength": 1, "description": "what the volume is called there"},
        "volumes": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1},
         "description": "what the volumes are called there, in the order of from"},
        "label": {"type": "string", "description": "nothing: the labels travel with their volumes"},
        "volumes-from": {"type": "string", "minLength": 1, "description": "the container that will mount them: its mounts are compared"},
        "names": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1},
         "description": "what volumes are called there, by their name at the source or, of a container, their mount point"},
        "prefixes": {"type": "object", "additionalProperties": {"type": "string"},
         "description": "what the beginning of a name becomes: {dokuwiki1-: dokuwiki2-}"},
        "engine": {"$ref": "#/$defs/engine"}, "user": {"$ref": "#/$defs/user"}}},
      "track": {"type": "boolean", "description": "look only at what changed once everything was copied; true unless told"},
      "replace": {"type": "boolean", "description": "a volume that exists may be replaced; its content is kept until the run has succeeded"}},
     "$defs": {\(EngineSchema.engine),
      \(EngineSchema.user)}}
    """
}
