import FerrySystem
import Glibc
import Haystack

/// The formats of record files.
public enum RecordFormat: String, Sendable, CaseIterable {
  case zinc, trio
  case hayson = "json"

  /// By a file's name.
  public init(path: String) throws {
    let ending = path.split(separator: ".").last.map(String.init) ?? ""
    guard let format = RecordFormat(rawValue: ending == "hayson" ? "json" : ending) else {
      throw FerryError(.invalid, "\(path): what records are in a file is told by its ending", hint: ".zinc, .trio, .json or .hayson")
    }
    self = format
  }

  /// Reads a text record by record. `endsWithLine`: a last line without an end was cut; people's files may have one.
  /// `meta` sees what a grid in Zinc says of itself.
  public func forEach(
    _ input: TextReader, endsWithLine: Bool = false, meta: (HDict) throws -> Void = { _ in }, _ body: (PackedDict) throws -> Void
  ) throws {
    switch self {
    case .zinc:
      let reader = try ZincReader(input, endsWithLine: endsWithLine)
      try Self.throwIfFailed(reader.meta)
      try meta(reader.meta)
      while let row = try reader.next() { try body(row) }
    case .trio:
      let reader = TrioReader(input)
      while let row = try reader.next() { try body(row) }
    case .hayson:
      let reader = try JSONGridReader(input)
      while let row = try reader.next() { try body(row) }
      // What says that the answer is none, or not all of it, may come behind the rows.
      try Self.throwIfFailed(reader.meta)
    }
  }

  /// Throws for a grid that is a failure, or a part of an answer.
  static func throwIfFailed(_ meta: HDict) throws {
    if let failure = HGrid(meta: meta).failure { throw FerryError(.peer, "the server says: \(failure)") }
    guard meta["incomplete"] == nil else { throw FerryError(.peer, "the server's answer is incomplete", hint: "narrow the filter") }
  }

  /// Writes records; `write` takes the text piece by piece.
  public func write(_ store: RecordStore, _ filter: Filter?, _ write: ([UInt8]) throws -> Void) throws {
    switch self {
    case .zinc:
      var names: Set<String> = []
      try store.forEach(filter) { record in
        record.withCursor { cursor in while let tag = cursor.tag() { names.insert(tag.name.string) } }
        return true
      }
      var writer = ZincWriter(columns: HGrid.columns(of: names).map { HGrid.Column($0) })
      try store.forEach(filter, byID: true) { record in
        writer.write(record)
        if writer.bytes.count > 1 << 16 { try write(writer.takeBytes()) }
        return true
      }
      try write(writer.takeBytes())
    case .trio:
      try store.forEach(filter, byID: true) { record in
        try write(Array(TrioWriter.text(record.tree).utf8))
        return true
      }
    case .hayson:
      var isFirst = true
      try write(Array("[".utf8))
      try store.forEach(filter, byID: true) { record in
        try write(Array("\(isFirst ? "" : ",")\n\(Hayson.json(record.tree).text)".utf8))
        isFirst = false
        return true
      }
      try write(Array("\n]\n".utf8))
    }
  }
}
