import FerryTreeKit

/// The item's keys.
struct TreeConfig: Decodable {
  struct Endpoint: Decodable { var path: String }

  var endpoint: Endpoint
  var exclude: [String]?
  var oneFileSystem: Bool?
  var track: Bool?
  var replace: Bool?
  var allowEmpty: Bool?

  enum CodingKeys: String, CodingKey {
    case endpoint, exclude, track, replace
    case oneFileSystem = "one-file-system"
    case allowEmpty = "allow-empty"
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
        "path": {"$ref": "#/$defs/folder"}}},
      "to": {"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
        "path": {"$ref": "#/$defs/folder"}}},
      "exclude": {"type": "array", "items": {"type": "string", "pattern": "[^/]"}, "description": "patterns of what stays behind"},
      "one-file-system": {"type": "boolean", "description": "stay on the file system of the folder"},
      "track": {"type": "boolean", "description": "look only at what changed once everything was copied; true unless told"},
      "replace": {"type": "boolean", "description": "a target that is not empty may be replaced; it is kept until the run has succeeded"}},
     "$defs": {"folder": {"type": "string", "pattern": "^/.*[^/]$", "description": "absolute path of a folder"}}}
    """
}
