import FerryPluginKit

/// Keeps the source's history while it is needed, and gives the original value back.
///
/// The original is on disk before it is changed and is never read again: a process that starts anew after a crash would otherwise take
/// the hold for the original.
struct GCHold {
  static let key = "gc"
  static let variable = "tidb_gc_life_time"

  struct Record: Codable {
    var original: String
    /// What Ferry put there; nil: the original was long enough.
    var held: String?
  }

  let cluster: TidbCluster
  let kv: KeyValueStore
  let wanted: String
  var log: (String) -> Void = { _ in }

  /// Holds, or sees that it is still held.
  func hold() throws {
    let current = try cluster.variable(Self.variable)
    guard let now = GoDuration(current), let aim = GoDuration(wanted) else {
      throw FerryError(.invalid, "'\(Self.variable)' is '\(current)' and gc-hold is '\(wanted)': one of them is no length of time")
    }
    if let known = try kv.get(Self.key, as: Record.self) {
      if now >= aim { return }
      if GoDuration(known.original) != now {
        log("\(Self.variable) was changed to \(current) by somebody else while it was held; it is held again")
        try kv.put(Self.key, Record(original: current, held: wanted))
      }
    } else {
      try kv.put(Self.key, Record(original: current, held: now >= aim ? nil : wanted))
      if now >= aim { return }
    }
    try cluster.set(Self.variable, wanted)
    let read = try cluster.variable(Self.variable)
    guard let held = GoDuration(read), held >= aim else {
      throw FerryError(
        .precondition, "\(Self.variable) was set to \(wanted) and is \(read)", hint: "nothing else was changed at the source")
    }
  }

  /// Gives the original back, unless somebody has changed the value since: then it is theirs.
  static func release(kv: KeyValueStore, connect: () throws -> TidbCluster, log: (String) -> Void) throws {
    guard let known = try kv.get(key, as: Record.self) else { return }
    if let held = known.held {
      let cluster = try connect()
      let current = try cluster.variable(variable)
      if GoDuration(current) == GoDuration(held) {
        try cluster.set(variable, known.original)
        let read = try cluster.variable(variable)
        guard GoDuration(read) == GoDuration(known.original) else {
          throw FerryError(
            .io, "\(variable) was set back to \(known.original) and is \(read)", hint: "SET GLOBAL \(variable) = '\(known.original)'")
        }
      } else if GoDuration(current) != GoDuration(known.original) {
        log("\(variable) is \(current), which is not what Ferry set; it stays. Before the run it was \(known.original)")
      }
    }
    try kv.remove(key)
  }
}
