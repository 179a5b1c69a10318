import FerryPluginKit

/// Stops all writes at the source, proves it, and takes the moment after which nothing was written.
struct Fence {
  static let key = "fence"
  static let variables = ["tidb_restricted_read_only", "tidb_super_read_only"]

  struct Record: Codable {
    var original: [String: String]
    var barrier: UInt64?
  }

  /// Fences; answers the barrier. A second call gives the same one.
  static func raise(_ cluster: TidbCluster, kv: KeyValueStore, run: String) throws -> UInt64 {
    var record: Record
    if let known = try kv.get(key, as: Record.self) {
      record = known
    } else {
      let current = try cluster.variables()
      record = Record(original: current.filter { variables.contains($0.key) })
      guard record.original.count == variables.count else {
        throw FerryError(
          .unsupported, "the source has no tidb_restricted_read_only: its writes cannot be stopped", hint: "use TiDB 5.2 or newer")
      }
      try kv.put(key, record)
    }
    try cluster.set(variables[0], "ON")
    try proveRefused(cluster, run)
    if let barrier = record.barrier { return barrier }
    let barrier = try cluster.now()
    record.barrier = barrier
    try kv.put(key, record)
    return barrier
  }

  /// The barrier, if the source is fenced.
  static func barrier(_ kv: KeyValueStore) throws -> UInt64? { try kv.get(key, as: Record.self)?.barrier }

  /// Undoes it: what was read-only before stays so.
  static func lower(kv: KeyValueStore, connect: () throws -> TidbCluster) throws {
    guard let record = try kv.get(key, as: Record.self) else { return }
    let cluster = try connect()
    for name in variables {
      if let value = record.original[name] { try cluster.set(name, value) }
    }
    try kv.remove(key)
  }

  /// An account with RESTRICTED_REPLICA_WRITER_ADMIN writes through the fence, and then so may others.
  private static func proveRefused(_ cluster: TidbCluster, _ run: String) throws {
    let name = SQLConnection.name("ferry_fence_\(run)")
    do {
      try cluster.sql.query("CREATE DATABASE \(name)")
    } catch let error as FerryError where error.isSQL(1836) { return }
    try cluster.sql.query("DROP DATABASE \(name)")
    throw FerryError(
      .precondition, "a write was taken at the source though it is read-only",
      hint: "does the account have RESTRICTED_REPLICA_WRITER_ADMIN? Use one that has not")
  }
}
