import FerryPluginKit

/// The item's keys.
struct SystemdUnitsConfig: Decodable {
  struct Endpoint: Decodable {
    var manager: Manager
    /// Whose; nil: the user's as whom Ferry runs.
    var user: String?
  }
  enum Manager: String, Decodable { case system, user }

  var endpoint: Endpoint
  var units: [String]
  var exclude: [String]?

  /// NethServer's backups are of a module at a node; its copy elsewhere has its own.
  static let neverCarried = "backup*.timer"

  static let schema = """
    {"type": "object", "required": ["from", "to", "units"], "additionalProperties": false,
     "properties": {
      "from": {"$ref": "#/$defs/end"},
      "to": {"$ref": "#/$defs/end"},
      "units": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/pattern"},
        "description": "which units: names, or patterns with * and ?"},
      "exclude": {"type": "array", "items": {"$ref": "#/$defs/pattern"},
        "description": "units that are left out; backup*.timer unless told"}},
     "$defs": {
      "end": {"type": "object", "required": ["manager"], "additionalProperties": false, "properties": {
        "manager": {"enum": ["system", "user"], "description": "whose units: the system's, or a user's own"},
        "user": {"type": "string", "pattern": "\(Account.namePattern)",
          "description": "with manager user: which user's, which takes root; the one as whom Ferry runs unless told"}}},
      "pattern": {"type": "string", "pattern": "^[A-Za-z0-9:_.@*?][A-Za-z0-9:_.@*?-]*$"}}}
    """
}
