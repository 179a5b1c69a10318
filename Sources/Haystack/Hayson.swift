import FerrySystem

/// Haystack 4's JSON: values as JSON's own where it has them, else objects with `_kind`.
public enum Hayson {
  struct Bad: Error {
    var what: String
    init(_ what: String) { self.what = what }
  }

  /// One value of a text.
  public static func value(_ text: some StringProtocol) throws -> HValue? {
    let scanner = JSONScanner(input: TextReader("json", text: text))
    let json = try scanner.value()
    try scanner.blank()
    guard try scanner.input.peek() == nil else { throw scanner.input.error("the value ends before \(try scanner.input.shown())") }
    do { return try value(json) } catch let bad as Bad { throw scanner.input.error(bad.what) }
  }

  static func value(_ json: JSONScanner.Tree, depth: Int = 0) throws -> HValue? {
    guard depth <= Packed.maximumDepth else { throw Bad("values lie deeper than \(Packed.maximumDepth) in each other") }
    switch json {
    case .null: return nil
    case .bool(let value): return .bool(value)
    case .number(let value): return .number(HNumber(value))
    case .string(let text): return .string(text)
    case .array(let elements): return .list(try elements.map { try value($0, depth: depth + 1) })
    case .object(let members):
      guard let kind = json["_kind"] else { return .dict(try dict(members, depth: depth)) }
      guard let kind = kind.string else { throw Bad("'_kind' is no text") }
      return try object(kind, json, members, depth: depth)
    }
  }

  private static func dict(_ members: [(name: String, value: JSONScanner.Tree)], depth: Int) throws -> HDict {
    var dict = HDict()
    for member in members where member.name != "_kind" {
      guard Characters.isTag(Array(member.name.utf8)), member.name.utf8.count < 256 else { throw Bad("'\(member.name)' is no tag's name") }
      dict.tags[member.name] = try value(member.value, depth: depth + 1)
    }
    return dict
  }

  private static func object(
    _ kind: String, _ json: JSONScanner.Tree, _ members: [(name: String, value: JSONScanner.Tree)], depth: Int
  ) throws -> HValue? {
    func text(_ name: String = "val") throws -> String {
      guard let text = json[name]?.string else { throw Bad("a \(kind) has no '\(name)'") }
      return text
    }
    switch kind {
    case "marker": return .marker
    case "na": return .na
    case "remove": return .remove
    case "dict": return .dict(try dict(members, depth: depth))
    case "uri": return .uri(try text())
    case "ref":
      let id = try text()
      guard HRef.isID(id) else { throw Bad("'\(id)' is no reference's id") }
      return .ref(HRef(id, dis: json["dis"]?.string))
    case "symbol":
      let name = try text()
      guard HRef.isID(name) else { throw Bad("'\(name)' is no symbol") }
      return .symbol(name)
    case "xstr":
      let type = try text("type")
      guard Characters.isTag(Array(type.utf8)), Characters.isUpper(type.utf8.first ?? 0) else { throw Bad("'\(type)' is no type's name") }
      return .xstr(HXStr(type: type, value: try text()))
    case "number":
      let unit = json["unit"]?.string ?? ""
      guard unit.utf8.allSatisfy(Characters.isUnit), unit.utf8.count < 256 else { throw Bad("'\(unit)' is no unit") }
      if let value = json["val"]?.number { return .number(HNumber(value, unit)) }
      let special: [String: Double] = ["NaN": .nan, "INF": .infinity, "-INF": -.infinity]
      guard let value = special[try text()] else { throw Bad("'\(try text())' is no number") }
      return .number(HNumber(value, unit))
    case "coord":
      guard let latitude = json["lat"]?.number, let longitude = json["lng"]?.number,
        let coord = HCoord(latitude: latitude, longitude: longitude)
      else { throw Bad("a coord needs 'lat' within ±90 and 'lng' within ±180") }
      return .coord(coord)
    case "date", "time", "dateTime": return try temporal(kind, try text(), zone: json["tz"]?.string)
    case "grid": return .grid(try grid(json, depth: depth))
    default: throw Bad("the kind '\(kind)' is unknown")
    }
  }

  static func temporal(_ kind: String, _ text: String, zone: String? = nil) throws -> HValue {
    let input = TextReader(kind, text: text)
    var reader = ScalarReader(input)
    let value: HValue
    do {
      switch kind {
      case "date": value = .date(try reader.date())
      case "time": value = .time(try reader.time())
      default:
        let date = try reader.date()
        try input.expect("T")
        let moment = try reader.moment(date)
        guard (zone ?? "").utf8.allSatisfy(Characters.isZone) else { throw Bad("'\(zone ?? "")' is no zone") }
        value = .dateTime(HDateTime(nanoseconds: moment.nanoseconds, offset: moment.offset, zone: zone ?? moment.zone))
      }
      guard try input.peek() == nil else { throw Bad("'\(text)' is no \(kind)") }
    } catch is FerryError { throw Bad("'\(text)' is no \(kind)") }
    return value
  }

  private static func grid(_ json: JSONScanner.Tree, depth: Int) throws -> HGrid {
    func object(_ json: JSONScanner.Tree?, _ what: String) throws -> HDict {
      guard let json else { return [:] }
      guard case .dict(let dict)? = try value(json, depth: depth + 1) else { throw Bad("\(what) is no object") }
      return dict
    }
    guard case .array(let columns)? = json["cols"], case .array(let rows)? = json["rows"] else {
      throw Bad("a grid needs 'cols' and 'rows'")
    }
    var meta = try object(json["meta"], "'meta'")
    meta["ver"] = nil
    return HGrid(
      meta: meta,
      columns: try columns.map {
        guard let name = $0["name"]?.string, Characters.isTag(Array(name.utf8)) else { throw Bad("a column has no name") }
        return HGrid.Column(name, meta: try object($0["meta"], "a column's 'meta'"))
      }, rows: try rows.map { try object($0, "a row") })
  }

  // MARK: Writing

  /// One value as a line of JSON.
  public static func text(_ value: HValue?) -> String { json(value).text }

  /// A value as JSON.
  public static func json(_ value: HValue?) -> JSONValue {
    func kind(_ kind: String, _ members: [String: JSONValue] = [:]) -> JSONValue {
      .object(members.merging(["_kind": .string(kind)]) { $1 })
    }
    switch value {
    case nil: return .null
    case .marker: return kind("marker")
    case .na: return kind("na")
    case .remove: return kind("remove")
    case .bool(let value): return .bool(value)
    case .string(let text): return .string(text)
    case .uri(let text): return kind("uri", ["val": .string(text)])
    case .symbol(let text): return kind("symbol", ["val": .string(text)])
    case .ref(let ref): return kind("ref", ref.dis.map { ["val": .string(ref.id), "dis": .string($0)] } ?? ["val": .string(ref.id)])
    case .xstr(let xstr): return kind("xstr", ["type": .string(xstr.type), "val": .string(xstr.value)])
    case .number(let number):
      let plain: JSONValue =
        !number.value.isFinite
        ? .string(NumberText.zinc(number.value)) : Int64(exactly: number.value).map { .int($0) } ?? .double(number.value)
      if number.unit.isEmpty && number.value.isFinite { return plain }
      return kind("number", number.unit.isEmpty ? ["val": plain] : ["val": plain, "unit": .string(number.unit)])
    case .date, .time:
      let isDate = if case .date = value { true } else { false }
      return kind(isDate ? "date" : "time", ["val": .string(value?.plainText ?? "")])
    case .dateTime(let moment):
      let text = HValue.dateTime(HDateTime(nanoseconds: moment.nanoseconds, offset: moment.offset, zone: "")).plainText ?? ""
      return kind("dateTime", moment.zone.isEmpty ? ["val": .string(text)] : ["val": .string(text), "tz": .string(moment.zone)])
    case .coord(let coord): return kind("coord", ["lat": .double(coord.latitude), "lng": .double(coord.longitude)])
    case .list(let values): return .array(values.map(json))
    case .dict(let dict): return json(dict)
    case .grid(let grid):
      var meta = json(grid.meta)
      meta["ver"] = "3.0"
      return kind(
        "grid",
        [
          "meta": meta, "rows": .array(grid.rows.map(json)),
          "cols": .array(grid.columns.map { .object(["name": .string($0.name), "meta": json($0.meta)]) }),
        ])
    }
  }

  /// A dict as JSON.
  public static func json(_ dict: HDict) -> JSONValue { .object(dict.tags.mapValues { json($0) }) }
}
