import FerryPluginKit

/// Global variables of an allow-list: each is copied, skipped or failed, and each is reported.
enum ParameterCopy {
  static let key = "parameters"

  struct Outcome: Codable, Equatable {
    var name: String
    var result: String
  }

  /// Variables that a copy would break a run or a cluster with.
  static let never = [
    "tidb_gc_life_time", "tidb_gc_enable", "tidb_restricted_read_only", "tidb_super_read_only", "tidb_snapshot", "read_only",
  ]

  static func read(_ names: [String], from cluster: TidbCluster) throws -> [String: String] {
    guard !names.isEmpty else { return [:] }
    return try cluster.variables().filter { names.contains($0.key) }
  }

  static func copy(_ names: [String], values: [String: String], to cluster: TidbCluster, kv: KeyValueStore) throws -> [Outcome] {
    guard !names.isEmpty else { return [] }
    let present = try cluster.variables()
    var before = try kv.get(key, as: [String: String].self) ?? [:]
    return try names.map { name in
      guard !never.contains(name) else { return Outcome(name: name, result: "skipped: it is the run's own") }
      guard let value = values[name] else { return Outcome(name: name, result: "skipped: the source has none") }
      guard let current = present[name] else { return Outcome(name: name, result: "skipped: the destination has none") }
      guard current != value else { return Outcome(name: name, result: "copied: it was equal") }
      if before[name] == nil {
        before[name] = current
        try kv.put(key, before)
      }
      do { try cluster.set(name, value) } catch let error as FerryError where error.class != .retry {
        return Outcome(name: name, result: "failed: \(error.message)")
      }
      return Outcome(name: name, result: "copied")
    }
  }

  static func undo(at cluster: TidbCluster, kv: KeyValueStore) throws {
    for (name, value) in try kv.get(key, as: [String: String].self) ?? [:] {
      do { try cluster.set(name, value) } catch let error as FerryError where error.class != .retry { continue }
    }
    try kv.remove(key)
  }
}
