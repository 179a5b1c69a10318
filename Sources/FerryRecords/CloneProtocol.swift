import FerrySystem

/// What a client says first, and a server answers with its own name in it.
struct CloneHello: Codable {
  var version = 1
  /// The project that speaks.
  var project: String
  /// The clone set's filter (client).
  var filter: String?
  /// At most so many records, the first by id; without it all (client).
  var limit: Int?
  /// Seconds between pushes of changes, if not three (client).
  var updateSeconds: Double?
}

/// How the two ends' differences are found.
public enum CloneMethod: UInt8, Sendable, Codable, CaseIterable {
  /// The digests are the same.
  case equal
  /// The client has nothing: all is sent.
  case stream
  /// The server's log says what has changed since the client was up to date.
  case cursor
  /// By the cells of a rateless table: traffic as the differences, whatever the sets' size.
  case difference
  /// By all keys of the client: when most differs.
  case manifest
  /// The server sends what has changed just now.
  case push

  /// For people and `--json`.
  public var name: String { String(describing: self) }
}

/// A place in a server's log.
struct CloneCursor: Hashable {
  var epoch: Int64 = 0
  var seq: Int64 = 0
}

struct CloneSubscription {
  var digest = SetDigest()
  var cursor = CloneCursor()
  /// The client does not trust what was tried: differences are to be found by all keys.
  var isThorough = false

  var bytes: [UInt8] {
    var writer = MessageWriter()
    writer.digest(digest)
    writer.fixed(cursor.epoch)
    writer.fixed(cursor.seq)
    writer.fixed(UInt8(isThorough ? 1 : 0))
    return writer.bytes
  }
  init(digest: SetDigest, cursor: CloneCursor, isThorough: Bool) {
    (self.digest, self.cursor, self.isThorough) = (digest, cursor, isThorough)
  }
  init(_ payload: [UInt8]) throws {
    try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      digest = try reader.digest()
      cursor = CloneCursor(epoch: try reader.fixed(), seq: try reader.fixed())
      isThorough = try reader.fixed(UInt8.self) != 0
    }
  }
}

struct ClonePlan {
  var method: CloneMethod
  /// There are more records than the limit.
  var isOverMax = false
  var upserts: Int64 = 0
  var removals: Int64 = 0
  /// Where the server's log is. Only if the digests are the same: then this is all there is to say.
  var cursor = CloneCursor()

  var bytes: [UInt8] {
    var writer = MessageWriter()
    writer.fixed(method.rawValue)
    writer.fixed(UInt8(isOverMax ? 1 : 0))
    writer.fixed(method == .equal ? cursor.epoch : upserts)
    writer.fixed(method == .equal ? cursor.seq : removals)
    return writer.bytes
  }
  /// The digests are the same.
  init(isOverMax: Bool, cursor: CloneCursor) {
    (method, self.isOverMax, self.cursor) = (.equal, isOverMax, cursor)
  }
  init(_ method: CloneMethod, isOverMax: Bool, upserts: Int, removals: Int) {
    (self.method, self.isOverMax, self.upserts, self.removals) = (method, isOverMax, Int64(upserts), Int64(removals))
  }
  init(_ payload: [UInt8]) throws {
    self = try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      guard let method = CloneMethod(rawValue: try reader.fixed()) else { throw CloneConnection.nonsense }
      var plan = ClonePlan(method, isOverMax: try reader.fixed(UInt8.self) != 0, upserts: 0, removals: 0)
      if method == .equal {
        plan.cursor = CloneCursor(epoch: try reader.fixed(), seq: try reader.fixed())
      } else {
        plan.upserts = try reader.fixed()
        plan.removals = try reader.fixed()
      }
      return plan
    }
  }
}

/// What the set is, after all that was sent.
struct CloneEnd {
  var digest: SetDigest
  var cursor: CloneCursor

  var bytes: [UInt8] {
    var writer = MessageWriter()
    writer.digest(digest)
    writer.fixed(cursor.epoch)
    writer.fixed(cursor.seq)
    return writer.bytes
  }
  init(digest: SetDigest, cursor: CloneCursor) { (self.digest, self.cursor) = (digest, cursor) }
  init(_ payload: [UInt8]) throws {
    self = try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      return CloneEnd(digest: try reader.digest(), cursor: CloneCursor(epoch: try reader.fixed(), seq: try reader.fixed()))
    }
  }
}

/// Cells of what the client has; before the first of them, its sketch.
struct CloneCells {
  /// How many cells go with the sketch: enough for a record or two that differ, which need no more questions.
  static let first = 12

  var sketch: DifferenceSketch?
  var cells: [RatelessCell]

  var bytes: [UInt8] {
    var writer = MessageWriter()
    sketch?.append(to: &writer)
    for cell in cells { cell.append(to: &writer) }
    return writer.bytes
  }
  init(sketch: DifferenceSketch?, cells: [RatelessCell]) { (self.sketch, self.cells) = (sketch, cells) }
  init(_ payload: [UInt8], hasSketch: Bool) throws {
    self = try payload.withUnsafeBytes {
      var reader = MessageReader($0)
      let sketch = try hasSketch ? DifferenceSketch(&reader) : nil
      var cells: [RatelessCell] = []
      while !reader.isAtEnd { cells.append(try RatelessCell(&reader)) }
      guard !cells.isEmpty else { throw CloneConnection.nonsense }
      return CloneCells(sketch: sketch, cells: cells)
    }
  }
}
