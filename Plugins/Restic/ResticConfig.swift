import FerryPluginKit

/// The item's keys.
struct ResticConfig: Decodable {
  struct Endpoint: Decodable {
    var path: String
    /// A module of NethServer, whose state folder `path` is.
    var module: String?
    /// Whose rootless Podman has the module's volumes.
    var user: String?
  }

  /// How many snapshots of this item stay.
  struct Keep: Decodable {
    var last: Int?
    var hourly: Int?
    var daily: Int?
    var weekly: Int?
    var monthly: Int?
    var yearly: Int?
    var within: String?

    /// As `restic forget` wants them.
    var options: [String] {
      let numbers = [("last", last), ("hourly", hourly), ("daily", daily), ("weekly", weekly), ("monthly", monthly), ("yearly", yearly)]
      return numbers.flatMap { name, number in number.map { ["--keep-\(name)", "\($0)"] } ?? [] }
        + (within.map { ["--keep-within", $0] } ?? [])
    }
  }

  var endpoint: Endpoint
  var repository: String
  var exclude: [String]?
  var excludeFile: String?
  var includeFile: String?
  var oneFileSystem: Bool?
  var tags: [String]?
  var keep: Keep?
  var check: String?
  var options: [String]?
  var environment: [String]?
  var replace: Bool?
  var allowEmpty: Bool?

  enum CodingKeys: String, CodingKey {
    case endpoint, repository, exclude, tags, keep, check, options, environment, replace
    case excludeFile = "exclude-file"
    case includeFile = "include-file"
    case oneFileSystem = "one-file-system"
    case allowEmpty = "allow-empty"
  }

  /// Whether restic decides what is moved; if not, it is all there is.
  var selects: Bool {
    exclude?.isEmpty == false || excludeFile != nil || includeFile != nil || oneFileSystem == true || endpoint.module != nil
  }

  /// What is left out, as `restic backup` wants it.
  var rules: [String] {
    (exclude ?? []).map { "--exclude=\($0)" } + (excludeFile.map { ["--exclude-file=\($0)"] } ?? [])
      + (oneFileSystem == true ? ["--one-file-system"] : [])
  }

  static let schema = """
    {"type": "object", "required": ["from", "to", "repository"], "additionalProperties": false,
     "properties": {
      "from": {"$ref": "#/$defs/endpoint"},
      "to": {"$ref": "#/$defs/endpoint"},
      "repository": {"type": "string", "minLength": 1,
        "description": "any repository of restic's, or channel:/FOLDER for one at the destination that only Ferry's channel leads to"},
      "exclude": {"type": "array", "items": {"type": "string"}, "description": "restic exclude patterns"},
      "exclude-file": {"type": "string", "pattern": "^/", "description": "file with restic exclude patterns, at the source"},
      "include-file": {"type": "string", "pattern": "^/", "description": "file with patterns of what is moved, below the folder, at the source"},
      "one-file-system": {"type": "boolean", "description": "stay on the file system of the folder"},
      "tags": {"type": "array", "items": {"type": "string", "pattern": "^[^,]+$"}, "description": "tags of the snapshots, beside Ferry's own"},
      "keep": {"type": "object", "additionalProperties": false, "description": "which snapshots of this item stay; without it all do",
        "properties": {
        "last": {"$ref": "#/$defs/number"}, "hourly": {"$ref": "#/$defs/number"}, "daily": {"$ref": "#/$defs/number"},
        "weekly": {"$ref": "#/$defs/number"}, "monthly": {"$ref": "#/$defs/number"}, "yearly": {"$ref": "#/$defs/number"},
        "within": {"type": "string", "pattern": "^([0-9]+[ymdh])+$", "description": "all of this long, such as 1y6m"}}},
      "check": {"type": "string", "pattern": "^(structure|all|[0-9]+%|[0-9]+/[0-9]+)$",
        "description": "check the repository afterwards: its structure, and of its data all, n% or part n/m"},
      "options": {"type": "array", "items": {"type": "string", "pattern": "^[a-z0-9]+[.][a-z0-9-]+="},
        "description": "restic's extended options, such as s3.connections=10"},
      "environment": {"type": "array", "items": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*="},
        "description": "variables for restic that are no secrets, such as AWS_DEFAULT_REGION=eu-west-1"},
      "replace": {"type": "boolean", "description": "a target that is not empty may be replaced; it is kept until the run has succeeded"}},
     "$defs": {
      "endpoint": {"type": "object", "required": ["path"], "additionalProperties": false, "properties": {
        "path": {"$ref": "#/$defs/folder"},
        "module": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]*$",
          "description": "NethServer module whose state folder the path is: its Podman volumes are moved as well, as volumes/NAME"},
        "user": {"type": "string", "minLength": 1,
          "description": "user whose rootless Podman has the module's volumes; without it root's has them, called MODULE-NAME"}}},
      "folder": {"type": "string", "pattern": "^/.*[^/]$", "description": "absolute path of a folder"},
      "number": {"type": "integer", "minimum": 1}}}
    """
}
