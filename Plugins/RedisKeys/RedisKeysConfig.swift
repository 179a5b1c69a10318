import FerryPluginKit

/// The item's keys.
struct RedisKeysConfig: Decodable {
  struct Endpoint: Decodable {
    var server: String
    var database: Int?
    var user: String?
    /// At the destination: what the beginnings of names become.
    var renames: [Rename]?
  }
  struct Rename: Decodable {
    var from: String
    var to: String
  }

  var endpoint: Endpoint
  var keys: [String]
  var replace: Bool?
  var allowEmpty: Bool?

  enum CodingKeys: String, CodingKey {
    case endpoint, keys, replace
    case allowEmpty = "allow-empty"
  }

  /// What a key of the source is called here: the first beginning that fits counts.
  func realName(_ name: [UInt8]) -> [UInt8] {
    for rename in endpoint.renames ?? [] where name.starts(with: rename.from.utf8) {
      return Array(rename.to.utf8) + name.dropFirst(rename.from.utf8.count)
    }
    return name
  }

  /// What a key of this end is called at the source.
  func sourceName(_ real: [UInt8]) -> [UInt8] {
    for rename in endpoint.renames ?? [] where real.starts(with: rename.to.utf8) {
      return Array(rename.from.utf8) + real.dropFirst(rename.to.utf8.count)
    }
    return real
  }

  static let schema = """
    {"type": "object", "required": ["from", "to", "keys"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "required": ["server"], "additionalProperties": false, "properties": {
        "server": {"$ref": "#/$defs/server"}, "database": {"$ref": "#/$defs/database"}, "user": {"$ref": "#/$defs/user"}}},
      "to": {"type": "object", "required": ["server"], "additionalProperties": false, "properties": {
        "server": {"$ref": "#/$defs/server"}, "database": {"$ref": "#/$defs/database"}, "user": {"$ref": "#/$defs/user"},
        "renames": {"type": "array", "description": "what the beginnings of names become there; the first that fits counts",
         "items": {"type": "object", "required": ["from", "to"], "additionalProperties": false,
          "properties": {"from": {"type": "string", "minLength": 1}, "to": {"type": "string"}}}}}},
      "keys": {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1},
        "description": "names of keys, or patterns with *, ? and [...] as SCAN has them"},
      "replace": {"type": "boolean", "description": "keys that exist may be replaced; they are kept until the run has succeeded"}},
     "$defs": {
      "server": {"type": "string", "pattern": "^(unix:///|tcp://).+", "description": "unix:///path of its socket, or tcp://host:port"},
      "database": {"type": "integer", "minimum": 0, "description": "the number of the database; 0 unless told"},
      "user": {"type": "string", "minLength": 1, "description": "the user of an ACL; without it the password is the default user's"}}}
    """
}
