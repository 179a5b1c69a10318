import FerrySystem

/// What was found of a service before anything was done to it: all that undoing needs.
struct ServiceFound: Sendable, Codable, Hashable {
  /// Whether it ran.
  var ran = true
  /// A container's restart policy, as `--restart` takes it.
  var restartPolicy: String?
  /// A unit's full name; then the units that start it: sockets, timers, paths.
  var unit: String?
  var triggers: [Trigger] = []

  struct Trigger: Sendable, Codable, Hashable {
    var unit: String
    var active: Bool
  }
}

/// The durable memory of a service group: a fresh process goes on from here.
struct ServiceNotes: Sendable, Codable {
  struct Note: Sendable, Codable {
    /// There from just before the first hold until the service is back or its hold is lifted.
    var found: ServiceFound?
    var last: Act?
  }
  /// What Ferry last did with a service: all that is known of one without a `status` command.
  enum Act: String, Sendable, Codable { case stopped, started }

  var services: [String: Note] = [:]

  static func read(_ path: String) throws -> ServiceNotes {
    guard Files.exists(path) else { return ServiceNotes() }
    do { return try JSONValue.decode(ServiceNotes.self, from: Files.read(path)) } catch { throw FerryError.wrap(error).inside(path) }
  }

  func write(_ path: String) throws {
    try Files.makeFolder(Files.parent(of: path))
    try Files.replace(path, with: JSONValue.encode(self, pretty: true))
  }
}
