import Haystack

/// Values of every kind, from a seed: what failed can be made again.
struct RandomRecords: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &+ 0x9e37_79b9_7f4a_7c15 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var word = state
    word = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    word = (word ^ (word >> 27)) &* 0x94d0_49bb_1331_11eb
    return word ^ (word >> 31)
  }

  static let names = ["a", "area", "b", "dis", "geoCity", "navName", "siteRef", "tz", "z_9", "zone"]
  static let units = ["", "", "kW", "°C", "%", "ft²", "kWh/ft²_day", "$", "_custom/x"]
  static let texts = [
    "", "x", "Main St. 7", "quote \" and \\ back", "$money ${x}", "line\nbreak\ttab\rreturn", "naïve", "nai\u{308}ve", "日本語", "😀",
    "\u{1}\u{7f}", "`tick`",
    "n:5", "a,b", "//no comment", "true", "2024-01-01", "[x]",
  ]

  mutating func text() -> String { Self.texts.randomElement(using: &self) ?? "" }

  mutating func id() -> String {
    let forms = ["r\(Int.random(in: 0...99, using: &self))", "p:demo:r:1f2-3a", "a.b~c", "x_y-Z"]
    return forms.randomElement(using: &self) ?? "r"
  }

  mutating func number(plain: Bool) -> Double {
    switch Int.random(in: plain ? 2...7 : 0...7, using: &self) {
    case 0: Double.random(in: -1...1, using: &self)
    case 1: Double.random(in: -1e300...1e300, using: &self)
    case 2: 0
    case 3: Double(Int.random(in: -1_000_000...1_000_000, using: &self))
    case 4: 1e-7
    case 5: 123_456.789
    case 6: Double(Int64(1) << 53)
    default: Double(Int.random(in: 0...99, using: &self)) / 10
    }
  }

  mutating func dateTime(plain: Bool) -> HDateTime {
    let zones = [("UTC", 0), ("New_York", -18000), ("Kolkata", 19800), ("GMT+3", -10800)]
    let (zone, offset) = zones.dropLast(plain ? 1 : 0).randomElement(using: &self) ?? ("UTC", 0)
    let fraction: Int64 = [0, 500_000_000, 123_000_000].randomElement(using: &self) ?? 0
    return HDateTime(
      nanoseconds: Int64.random(in: -1_000_000_000...4_000_000_000, using: &self) * 1_000_000_000 + fraction, offset: offset, zone: zone)
  }

  /// A value; `depth` bounds what lies in it. `plain` leaves out what rusty-haystack reads otherwise than it
  /// is specified: units that begin with `_`, zones with a `+`, numbers of 17 digits in JSON, grids in grids.
  mutating func value(depth: Int = 2, plain: Bool = false) -> HValue {
    switch Int.random(in: 0...(depth > 0 ? plain ? 14 : 17 : 12), using: &self) {
    case 0: return .marker
    case 1: return .bool(Bool.random(using: &self))
    case 2, 3: return .number(HNumber(number(plain: plain), Self.units.dropLast(plain ? 1 : 0).randomElement(using: &self) ?? ""))
    case 4, 5: return .string(text())
    case 6: return .ref(HRef(id()))
    case 7: return .uri("http://x/\(Int.random(in: 0...9, using: &self))?a=b&c=(d)")
    case 8: return .symbol("elec-meter")
    case 9: return HDate(year: Int.random(in: 1...9999, using: &self), month: 2, day: 28).map { .date($0) } ?? .na
    case 10: return HTime(nanoseconds: Int64.random(in: 0..<86_400, using: &self) * 1_000_000_000).map { .time($0) } ?? .na
    case 11: return .dateTime(dateTime(plain: plain))
    case 12: return .na
    case 13: return .list((0..<Int.random(in: 0...3, using: &self)).map { _ in value(depth: depth - 1, plain: plain) })
    case 14: return .dict(dict(depth: depth - 1, plain: plain))
    case 15: return .xstr(HXStr(type: "Span", value: text()))
    case 16: return HCoord(latitude: 37.5458266, longitude: -77.4491888).map { .coord($0) } ?? .na
    default:
      let rows = (0..<Int.random(in: 0...2, using: &self)).map { _ in dict(depth: 0) }
      return .grid(HGrid(meta: dict(depth: 0), rows: rows.filter { !$0.tags.isEmpty }))
    }
  }

  mutating func dict(depth: Int = 2, plain: Bool = false) -> HDict {
    var dict = HDict()
    for name in Self.names where Int.random(in: 0...2, using: &self) == 0 { dict[name] = value(depth: depth, plain: plain) }
    return dict
  }

  mutating func record(_ number: Int, plain: Bool = false) -> HDict {
    var record = dict(plain: plain)
    record["id"] = .ref(HRef("rec-\(number)"))
    return record
  }
}
