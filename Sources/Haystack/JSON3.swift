import FerrySystem

/// Haystack 3's JSON, read only: every value but texts and truths has a letter and a colon in front.
enum JSON3 {
  static func value(_ json: JSONScanner.Tree, depth: Int = 0) throws -> HValue? {
    guard depth <= Packed.maximumDepth else { throw Hayson.Bad("values lie deeper than \(Packed.maximumDepth) in each other") }
    switch json {
    case .null: return nil
    case .bool(let value): return .bool(value)
    case .number(let value): return .number(HNumber(value))
    case .string(let text): return try scalar(text)
    case .array(let elements): return .list(try elements.map { try value($0, depth: depth + 1) })
    case .object(let members):
      if json["cols"] != nil, json["rows"] != nil { return .grid(try grid(json, depth: depth)) }
      var dict = HDict()
      for member in members {
        guard Characters.isTag(Array(member.name.utf8)), member.name.utf8.count < 256 else {
          throw Hayson.Bad("'\(member.name)' is no tag's name")
        }
        dict.tags[member.name] = try value(member.value, depth: depth + 1)
      }
      return .dict(dict)
    }
  }

  private static func grid(_ json: JSONScanner.Tree, depth: Int) throws -> HGrid {
    func dicts(_ json: JSONScanner.Tree?) throws -> [HDict] {
      guard case .array(let list)? = json else { throw Hayson.Bad("a grid needs 'cols' and 'rows'") }
      return try list.map {
        guard case .dict(let dict)? = try value($0, depth: depth + 1) else { throw Hayson.Bad("a row is no object") }
        return dict
      }
    }
    var meta = HDict()
    if let own = json["meta"], case .dict(let dict)? = try value(own, depth: depth + 1) { meta = dict }
    meta["ver"] = nil
    return HGrid(
      meta: meta,
      columns: try dicts(json["cols"]).map { column in
        guard case .string(let name)? = column["name"] else { throw Hayson.Bad("a column has no name") }
        return HGrid.Column(name, meta: HDict(column.tags.filter { $0.key != "name" }))
      }, rows: try dicts(json["rows"]))
  }

  private static func scalar(_ text: String) throws -> HValue? {
    let bytes = Array(text.utf8)
    guard bytes.count >= 2, bytes[1] == 0x3a else { return .string(text) }
    let rest = String(decoding: bytes[2...], as: UTF8.self)
    switch bytes[0] {
    case UInt8(ascii: "s"): return .string(rest)
    case UInt8(ascii: "m"): return .marker
    case UInt8(ascii: "-"): return .remove
    case UInt8(ascii: "z"): return .na
    case UInt8(ascii: "u"): return .uri(rest)
    case UInt8(ascii: "y"):
      guard HRef.isID(rest) else { throw Hayson.Bad("'\(rest)' is no symbol") }
      return .symbol(rest)
    case UInt8(ascii: "b"): return .xstr(HXStr(type: "Bin", value: rest))
    case UInt8(ascii: "d"): return try Hayson.temporal("date", rest)
    case UInt8(ascii: "h"): return try Hayson.temporal("time", rest)
    case UInt8(ascii: "t"): return try Hayson.temporal("dateTime", rest)
    case UInt8(ascii: "r"):
      let parts = rest.split(separator: " ", maxSplits: 1)
      guard let id = parts.first.map(String.init), HRef.isID(id) else { throw Hayson.Bad("'\(rest)' is no reference") }
      return .ref(HRef(id, dis: parts.count > 1 ? String(parts[1]) : nil))
    case UInt8(ascii: "n"):
      let parts = rest.split(separator: " ", maxSplits: 1)
      let special: [Substring: Double] = ["NaN": .nan, "INF": .infinity, "-INF": -.infinity]
      guard let first = parts.first, let value = special[first] ?? Double(first) else { throw Hayson.Bad("'\(rest)' is no number") }
      let unit = parts.count > 1 ? String(parts[1]) : ""
      guard unit.utf8.allSatisfy(Characters.isUnit) else { throw Hayson.Bad("'\(unit)' is no unit") }
      return .number(HNumber(value, unit))
    case UInt8(ascii: "c"):
      let parts = rest.split(separator: ",").map { Double($0) }
      guard parts.count == 2, let latitude = parts[0], let longitude = parts[1],
        let coord = HCoord(latitude: latitude, longitude: longitude)
      else { throw Hayson.Bad("'\(rest)' is no coordinate") }
      return .coord(coord)
    case UInt8(ascii: "x"):
      let parts = rest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2, Characters.isTag(Array(parts[0].utf8)) else { throw Hayson.Bad("'\(rest)' is no typed text") }
      return .xstr(HXStr(type: parts[0], value: parts[1]))
    default: return .string(text)
    }
  }
}
