import FerryEngineKit

/// The item's keys.
struct LayerConfig: Decodable {
  struct Endpoint: Decodable {
    var container: String
    /// At the destination: what the container is made from if there is none.
    var image: String?
    /// At the destination: the item that makes the container.
    var madeBy: String?
    /// At the destination: which volume goes where in a container that is made.
    var mounts: [String: String]?
    var engine: String?
    /// Whose own engine it is; nil: that of the user as whom Ferry runs.
    var user: String?

    enum CodingKeys: String, CodingKey {
      case container, image, mounts, engine, user
      case madeBy = "made-by"
    }
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
      "from": {"type": "object", "required": ["container"], "additionalProperties": false, "properties": {
        "container": {"$ref": "#/$defs/container"},
        "engine": {"$ref": "#/$defs/engine"}, "user": {"$ref": "#/$defs/user"}}},
      "to": {"type": "object", "required": ["container"], "additionalProperties": false, "properties": {
        "container": {"$ref": "#/$defs/container"},
        "image": {"type": "string", "minLength": 1,
         "description": "the image that the container is made from if there is none; the same as at the source"},
        "made-by": {"type": "string", "minLength": 1,
         "description": "the item of this manifest that makes the container; it stands in `after` as well"},
        "mounts": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1},
         "description": "in a container that is made: the volume for a mount point, by the mount point"},
        "engine": {"$ref": "#/$defs/engine"}, "user": {"$ref": "#/$defs/user"}}},
      "track": {"type": "boolean", "description": "look only at what changed once everything was copied; true unless told"},
      "replace": {"type": "boolean",
       "description": "a container whose layer is not empty may be the target; its layer is kept until the run has succeeded"}},
     "$defs": {
      \(EngineSchema.container),
      \(EngineSchema.engine),
      \(EngineSchema.user)}}
    """
}
