import FerryPluginKit
import FerryRecords
import Haystack

/// The item's keys.
struct RecordCloneConfig: Decodable {
  struct Endpoint: Decodable {
    var store: String
    var project: String?
    var user: String?
  }

  var endpoint: Endpoint
  var filter: String?
  var set: String?
  var server: String?
  var max: Int?
  var history: Bool?
  var allowRemovals: Bool?
  var subMinTime: String?
  var subMaxTime: String?
  var subOnUp: Bool?
  var updateFreq: String?

  enum CodingKeys: String, CodingKey {
    case endpoint, filter, set, server, max, history
    case allowRemovals = "allow-removals"
    case subMinTime = "sub-min-time"
    case subMaxTime = "sub-max-time"
    case subOnUp = "sub-on-up"
    case updateFreq = "update-freq"
  }

  var tuning: CloneClient.Tuning {
    var tuning = CloneClient.Tuning()
    if let time = subMinTime.flatMap(Self.duration) { tuning.subMinTime = time }
    tuning.subOnUp = subOnUp ?? true
    if let time = subMaxTime.flatMap(Self.duration) { tuning.subMaxTime = time }
    if let time = updateFreq.flatMap(Self.duration) { tuning.updateFreq = time }
    tuning.maxRecords = max ?? 0
    return tuning
  }

  /// `500ms`, `3s`, `15m`, `1h`: the schema has looked at it.
  static func duration(_ text: String) -> Duration? {
    let number = text.prefix { $0.isNumber }
    guard let value = Int64(number) else { return nil }
    switch text.dropFirst(number.count) {
    case "ms": return .milliseconds(value)
    case "s": return .seconds(value)
    case "m": return .seconds(60 * value)
    case "h": return .seconds(3600 * value)
    default: return nil
    }
  }

  static let schema = #"""
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "required": ["store"], "additionalProperties": false, "properties": {
        "store": {"type": "string", "pattern": "^((sqlite|zinc|trio|hayson):/.+|haystack\\+https?://.+)$",
          "description": "what is cloned from: sqlite:/path of a record store, haystack+https://host/api of a server, or zinc:, trio:, hayson:/path of a file"},
        "user": {"type": "string", "minLength": 1, "description": "who logs in to a server, with the secret 'password'; without it nobody does"},
        "project": {"$ref": "#/$defs/project"}}},
      "to": {"type": "object", "required": ["store"], "additionalProperties": false, "properties": {
        "store": {"type": "string", "pattern": "^(sqlite:/.+|haystack\\+https?://.+)$",
          "description": "the client: sqlite:/path of a record store, or haystack+https://host/api of a server that takes commits"},
        "user": {"type": "string", "minLength": 1, "description": "who logs in to a server, with the secret 'to-password'"},
        "project": {"$ref": "#/$defs/project"}}},
      "filter": {"type": "string", "minLength": 1, "description": "what is cloned; the item makes a clone set with it"},
      "set": {"type": "string", "minLength": 1, "description": "the id of the clone set's record at the client; without filter it must be there"},
      "server": {"type": "string", "minLength": 1, "description": "the new clone set's cloneProj; the server's project if left out"},
      "max": {"type": "integer", "minimum": 0, "description": "at most so many records, the first by id; 0: all"},
      "history": {"type": "boolean", "description": "fetch the history of points, too"},
      "allow-removals": {"type": "boolean", "description": "more than a fifth of the clones may be removed at once"},
      "sub-min-time": {"$ref": "#/$defs/duration"},
      "sub-max-time": {"$ref": "#/$defs/duration"},
      "sub-on-up": {"type": "boolean", "description": "a line that comes back is a reason to compare digests"},
      "update-freq": {"$ref": "#/$defs/duration"}},
     "$defs": {
      "project": {"type": "string", "pattern": "^[A-Za-z0-9_.~-]*$", "description": "the project's name, for a store that is made or a file"},
      "duration": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$", "description": "500ms, 3s, 15m, 1h"}}}
    """#
}

/// What the destination offers.
struct RecordCloneOffer: Codable {
  /// The client's project: references into it are relative in digests.
  var project: String
  /// The clone set's filter.
  var filter: String
  /// At most so many records.
  var max: Int
}
