import FerryPluginKit

/// What carries the changes after the backup to the destination. Paused at the barrier, removed with the run.
struct Changefeed {
  static let key = "changefeed"

  struct Record: Codable {
    var name: String
    var start: UInt64
  }

  let context: ProviderContext
  let client: TicdcClient
  let bounded: Bounded

  static func name(_ context: ProviderContext) -> String {
    // TiCDC takes letters, digits and hyphens.
    "ferry-\(context.run)-\(context.item)".map { $0.isASCII && ($0.isLetter || $0.isNumber) ? String($0) : "-" }.joined()
  }

  /// Makes it from the backup's moment, or sees that it is there; waits until it runs. That TiCDC accepted it says nothing yet.
  func ensure(start: UInt64, sink: () throws -> String, rules: [String]) throws {
    let name = Self.name(context)
    if try context.kv.get(Self.key, as: Record.self) == nil { try context.kv.put(Self.key, Record(name: name, start: start)) }
    if let known = try look() {
      if known.state == "stopped" { try client.resume(name) }
    } else {
      do { try client.create(name, sink: sink(), from: start, rules: rules) } catch let error as FerryError where error.class == .conflict {
      }
    }
    try bounded.wait(for: "the changefeed '\(name)' to run") { try healthy(name)?.state == "normal" ? true : nil }
  }

  /// What TiCDC says of it, once it says something; nil: there is none.
  func look() throws -> TicdcClient.Feed? {
    let name = Self.name(context)
    return try bounded.wait(for: "TiCDC to tell of the changefeed '\(name)'") {
      do { return .some(try client.feed(name)) } catch let error as FerryError where error.class == .retry {
        context.log(.debug, error.message)
        return nil
      }
    }
  }

  /// Waits until everything up to a moment is at the destination; answers the checkpoint.
  func reach(_ moment: UInt64) throws -> UInt64 {
    let name = Self.name(context)
    return try bounded.wait(for: "the changefeed '\(name)' to reach \(moment)") {
      guard let feed = try healthy(name), feed.checkpoint >= moment else { return nil }
      return feed.checkpoint
    }
  }

  /// Nothing more is carried until `ensure`.
  func pause() throws {
    let name = Self.name(context)
    if try look()?.state == "stopped" { return }
    try client.pause(name)
    try bounded.wait(for: "the changefeed '\(name)' to stop") { try client.feed(name)?.state == "stopped" ? true : nil }
  }

  /// nil: not known right now. Throws what will not get better by waiting.
  private func healthy(_ name: String) throws -> TicdcClient.Feed? {
    let feed: TicdcClient.Feed?
    do { feed = try client.feed(name) } catch let error as FerryError where error.class == .retry {
      context.log(.debug, error.message)
      return nil
    }
    guard let feed else {
      throw FerryError(
        .conflict, "the changefeed '\(name)' is gone: somebody removed it", hint: "run again: what was not carried is not known")
    }
    if feed.state == "failed" || feed.state == "removed" || feed.state == "finished" {
      throw FerryError(
        .io, "the changefeed '\(name)' is \(feed.state): \(feed.error ?? "TiCDC gives no reason")", hint: "look at TiCDC's log")
    }
    return feed
  }

  /// Removes it and sees that it is gone. Works without a run.
  static func remove(_ context: ProviderContext, client: () throws -> TicdcClient) throws {
    guard let record = try context.kv.get(key, as: Record.self) else { return }
    let client = try client()
    try client.remove(record.name)
    let bounded = Bounded(context: context, limit: .seconds(60))
    try bounded.wait(for: "the changefeed '\(record.name)' to be gone") { try client.feed(record.name) == nil ? true : nil }
    try context.kv.remove(key)
  }
}
