import FerryPluginKit

/// The item's keys.
struct EnvFileConfig: Decodable {
  struct Endpoint: Decodable { var file: String }

  enum Merge: String, Decodable {
    /// What the destination has stays; what it lacks is added.
    case missing
    /// The source's file goes in the place of the destination's.
    case replace
  }

  var endpoint: Endpoint
  var merge: Merge?
  var never: [String]?
  var identity: [String]?
  var dialect: EnvironmentText.Dialect?

  /// Variables of the source that do not count in a run of that mode, at a destination that has `existing`.
  func excluded(mode: String?, existing: [String]) -> Set<String> {
    let follows = mode == "move" ? Set(identity ?? []) : []
    let stays = Set(never ?? []).union(mode == "move" ? [] : identity ?? [])
    return stays.union((merge ?? .replace) == .missing ? Set(existing).subtracting(follows) : [])
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"$ref": "#/$defs/end"},
      "to": {"$ref": "#/$defs/end"},
      "merge": {"enum": ["missing", "replace"],
        "description": "missing: only variables that the destination lacks are added; replace: the source's file goes in its place"},
      "never": {"$ref": "#/$defs/names", "description": "variables that never travel"},
      "identity": {"$ref": "#/$defs/names", "description": "variables that say who somebody is: they travel in mode move alone"},
      "dialect": {"enum": ["systemd", "podman"], "description": "systemd: quotes and backslashes join lines; podman: each line stands alone"}},
     "$defs": {
      "end": {"type": "object", "required": ["file"], "additionalProperties": false, "properties": {
        "file": {"type": "string", "pattern": "^/.*[^/]$", "description": "absolute path of a file"}}},
      "names": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}}}}
    """
}
