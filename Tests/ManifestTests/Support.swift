import FerrySystem
import Testing

@testable import Ferry

/// A provider as a plugin would describe it, for the tests.
let testProviders = ProviderSchemas(
  [
    "rsync": [
      "type": "object",
      "properties": [
        "from": [
          "type": "object", "properties": ["path": ["type": "string", "pattern": "^/"]], "required": ["path"],
          "additionalProperties": false,
        ],
        "to": [
          "type": "object", "properties": ["path": ["type": "string", "pattern": "^/"]], "required": ["path"],
          "additionalProperties": false,
        ],
        "exclude": ["type": "array", "items": ["type": "string", "minLength": 1]],
        "transport": ["type": "string", "enum": ["channel", "daemon"], "default": "channel"],
        "level": ["type": "integer", "minimum": 0, "maximum": 9, "default": 0],
        "ratio": ["type": "number", "minimum": 0],
        "owners": ["type": "boolean"],
      ],
      "required": ["from"],
      "additionalProperties": false,
    ],
    "volume": [
      "type": "object",
      "properties": [
        "from": [
          "type": "object", "properties": ["volume": ["type": "string"], "path": ["type": "string"]],
          "oneOf": [["required": ["volume"]], ["required": ["path"]]], "additionalProperties": false,
        ],
        "to": ["type": "object", "properties": ["volume": ["type": "string"]], "required": ["volume"], "additionalProperties": false],
        "labels": ["type": "object", "additionalProperties": ["type": "string"]],
        "size": ["oneOf": [["type": "integer"], ["type": "string"]]],
        "tags": ["oneOf": [["type": "string"], ["type": "array", "items": ["type": "string"]]]],
      ],
    ],
    "example": [
      "type": "object", "required": ["from", "to"], "properties": ["from": ["$ref": "#/$defs/end"], "to": ["$ref": "#/$defs/end"]],
      "additionalProperties": false,
      "$defs": [
        "end": [
          "type": "object", "required": ["file"], "additionalProperties": false,
          "properties": ["file": ["type": "string", "pattern": "^/(.*[^/])?$"]],
        ]
      ],
    ],
    "circular": [
      "type": "object", "properties": ["from": ["$ref": "#/$defs/a"]],
      "$defs": ["a": ["type": "object", "properties": ["a": ["$ref": "#/$defs/a"]]]],
    ],
    "strange": ["type": "object", "patternProperties": [:]],
  ], folders: ["/usr/lib/ferry/plugins", "plugins"])

/// Parses a text as `m.yaml`.
func parse(_ text: String, set: [String: String] = [:], providers: ProviderSchemas = testProviders) throws -> Manifest {
  try Manifest.parse(text: Array(text.utf8), file: "m.yaml", folder: "/srv/manifests", parameters: set, providers: providers)
}

/// The diagnostics of a bad manifest, or nothing if it is good.
func diagnostics(_ text: [UInt8], set: [String: String] = [:]) throws -> [Diagnostic] {
  do {
    return try Manifest.parse(text: text, file: "m.yaml", folder: "/srv/manifests", parameters: set, providers: testProviders).warnings
  } catch let errors as ManifestErrors { return errors.diagnostics }
}

/// The folder that holds the package.
let packageFolder = Files.parent(of: Files.parent(of: Files.parent(of: Files.absolute(#filePath))))
