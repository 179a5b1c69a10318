import FerryPluginKit

/// The item's keys.
struct RsyncConfig: Decodable {
  enum Transport: String, Decodable {
    /// rsync's own stream on Ferry's channel.
    case channel
    /// An rsync daemon at the destination, for this run alone.
    case daemon
  }
  struct Endpoint: Decodable {
    var path: String
    /// Whose rootless containers say what owners are called.
    var user: String?
    /// Where the daemon listens.
    var address: String?
  }

  var endpoint: Endpoint
  var exclude: [String]?
  var include: [String]?
  /// rsync's own rules, in their order.
  var filter: [String]?
  var filterFile: String?
  /// Entries of the folder that are each end's own.
  var keep: [String]?
  var transport: Transport?
  var oneFileSystem: Bool?
  var wholeFile: Bool?
  var checksum: Bool?
  var replace: Bool?
  var allowEmpty: Bool?

  enum CodingKeys: String, CodingKey {
    case endpoint, exclude, include, filter, keep, transport, checksum, replace
    case filterFile = "filter-file"
    case oneFileSystem = "one-file-system"
    case wholeFile = "whole-file"
    case allowEmpty = "allow-empty"
  }

  /// Whether rsync decides what is moved; if not, it is all there is.
  var selects: Bool { [exclude, include, filter, keep].contains { $0?.isEmpty == false } || filterFile != nil || oneFileSystem == true }

  /// rsync takes the first rule that fits: what is kept comes before all others, and what is included before what is excluded.
  var rules: [String] {
    (keep ?? []).map { "--exclude=/\($0)" } + (include ?? []).map { "--include=\($0)" } + (exclude ?? []).map { "--exclude=\($0)" }
      + (filter ?? []).map { "--filter=\($0)" } + (filterFile.map { ["--filter=. \($0)"] } ?? [])
  }

  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
        "path": {"$ref": "#/$defs/folder"}, "user": {"$ref": "#/$defs/user"}}},
      "to": {"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
        "path": {"$ref": "#/$defs/folder"}, "user": {"$ref": "#/$defs/user"},
        "address": {"type": "string", "description": "with transport daemon: the one address that it listens on; 127.0.0.1 unless told"}}},
      "exclude": {"type": "array", "items": {"type": "string"}, "description": "rsync exclude patterns"},
      "include": {"type": "array", "items": {"type": "string"}, "description": "rsync include patterns; they come before exclude"},
      "filter": {"type": "array", "items": {"type": "string", "pattern": "^[-+HSPR][!/srpx]* .+$"},
        "description": "rsync filter rules, such as '- /cache/'; they come after exclude"},
      "filter-file": {"type": "string", "pattern": "^/", "description": "file with rsync filter rules, at the source; they come last"},
      "keep": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z0-9._@+-]+$"},
        "description": "entries of the folder that are each end's own: never sent, whatever the rules say, and at the target they stay"},
      "transport": {"enum": ["channel", "daemon"], "description": "channel: on Ferry's channel; daemon: an rsync daemon for this run"},
      "one-file-system": {"type": "boolean", "description": "stay on the file system of the folder"},
      "whole-file": {"type": "boolean", "description": "send changed files whole instead of their changed parts"},
      "checksum": {"type": "boolean", "description": "compare files by content instead of size and time"},
      "replace": {"type": "boolean", "description": "a target that is not empty may be replaced; it is kept until the run has succeeded"}},
     "$defs": {
      "folder": {"type": "string", "pattern": "^/.*[^/]$", "description": "absolute path of a folder"},
      "user": {"type": "string", "pattern": "\(Account.namePattern)",
        "description": "owners are those that this user's rootless containers see: the user is root there; needs root"}}}
    """
}
