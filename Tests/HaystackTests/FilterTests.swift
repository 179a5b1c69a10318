import FerrySystem
import Haystack
import Testing

/// A few records by id.
private struct Shelf: RecordFinder {
  var records: [String: PackedDict]
  func find(_ id: UnsafeRawBufferPointer, _ found: (UnsafeRawBufferPointer) -> Bool) -> Bool {
    records[id.string]?.bytes.withUnsafeBytes(found) ?? false
  }
}

@Suite struct FilterTests {
  private let shelf: Shelf
  private let record: PackedDict

  init() throws {
    func dict(_ zinc: String) throws -> PackedDict {
      guard case .dict(let dict)? = try ZincReader.value(zinc) else { throw FerryError(.internal, "no dict") }
      return PackedDict(dict)
    }
    shelf = Shelf(records: [
      "s": try dict("{id:@s site geoCity:\"Rome\" area:500ft² regionRef:@r}"), "t": try dict("{id:@t site geoCity:\"Oslo\"}"),
      "r": try dict("{id:@r dis:\"South\"}"),
    ])
    record = try dict(
      """
      {id:@e equip siteRef:@s other:[@t,@s,"x"] gone:@nobody power:60sec n:5 dis:"naïve" on:T off:F d:2024-05-01 \
      at:2024-01-01T12:00:00Z UTC time:08:30:00 u:`http://x` sym:^ahu in:{deep:{x:1kW}} not and or list:[1,2]}
      """)
  }

  @Test(
    "a filter means what Project Haystack says",
    arguments: [
      ("equip", true), ("site", false), ("not site", true), ("not equip", false), ("equip and site", false), ("equip or site", true),
      ("site or equip and dis", true), ("(site or equip) and site", false), ("not site and equip", true),
      ("n == 5", true), ("n == 5kW", false), ("n != 5kW", true), ("n < 6", true), ("n < 6kW", false), ("n >= 5", true), ("n > 5", false),
      ("power == 1min", false), ("power == 60sec", true), ("missing != 5", false), ("missing == 5", false), ("dis != 5", true),
      ("dis == \"naïve\"", true), ("dis == \"nai\u{308}ve\"", false), ("dis < \"o\"", true), ("dis < 5", false),
      ("on", true), ("off", true), ("off == false", true), ("on == false", false), ("off < true", true),
      ("d == 2024-05-01", true), ("d < 2024-05-02", true), ("d == 2024-05-01T00:00:00Z", false),
      ("at == 2024-01-01T07:00:00-05:00 New_York", true), ("at < 2024-01-01T12:00:01Z", true), ("time == 08:30", true),
      ("time > 08:29:59.5", true),
      ("u == `http://x`", true), ("u == \"http://x\"", false), ("sym == ^ahu", true), ("id == @e", true), ("id < @f", true),
      ("siteRef->geoCity == \"Rome\"", true), ("siteRef->geoCity == \"Oslo\"", false), ("siteRef->regionRef->dis == \"South\"", true),
      ("siteRef->missing", false), ("not siteRef->missing", true), ("not siteRef->geoCity", false), ("gone->geoCity", false),
      ("not gone->geoCity", true),
      ("other->geoCity == \"Oslo\"", true), ("other->geoCity == \"Rome\"", true), ("other->geoCity == \"Paris\"", false),
      ("other->geoCity != \"Rome\"", true), ("siteRef->area > 400ft²", true), ("siteRef->area > 400", false),
      ("in->deep->x == 1kW", true), ("in->deep->y", false), ("n->x", false), ("list->x", false),
      ("not", true), ("and", true), ("not and or", true), ("not and equip", true), ("not not", false), ("or and and", true),
      ("not or not", true),
      ("n == 0x5", true), ("n == 0x0F", false), ("equip // and site", true), ("equip /* and /* nested */ site */ and n", true),
      ("equip\n\tand n", true), ("n==5", true), ("siteRef -> geoCity == \"Rome\"", true),
    ])
  func means(_ text: String, _ expected: Bool) throws {
    #expect(try Filter(text).matches(record, finder: shelf) == expected, "\(text)")
  }

  @Test(
    "a filter that is wrong says where",
    arguments: [
      ("", "filter:1:1: expected a name, found the end"), ("a and", "filter:1:6: expected a name, found the end"),
      ("a = 5", "filter:1:4: expected '==', found '=' alone"), ("a == ", "filter:1:6: expected a value to compare with, found the end"),
      ("a == x", "filter:1:6: expected a value to compare with, found 'x'; texts stand in quotes"),
      ("(a", "filter:1:3: expected ')', found the end"),
      ("a b", "filter:1:3: the filter has ended, and here stands 'b'"), ("a->", "filter:1:4: expected a name, found the end"),
      ("a == \"x", "filter:1:8: a text has no closing quote"), ("a /* x", "filter:1:3: a comment has no end"),
      ("a ! b", "filter:1:4: expected '!=', found '!' alone; `not` asks for a missing tag"),
      (String(repeating: "(", count: 100), "filter:1:66: parentheses lie deeper than 64 in each other"),
    ])
  func located(_ text: String, _ message: String) {
    #expect(throws: FerryError(.invalid, message)) { try Filter(text) }
  }

  @Test("a filter says what an index can be asked for, and whether other records decide")
  func shape() throws {
    #expect(try Filter("site and (a or b) and not c").requiredTags == [["site"], ["a", "b"]])
    #expect(try Filter("a or not b").requiredTags == [])
    #expect(try Filter("id == @x and a").onlyID == "x")
    #expect(try Filter("id == @x or a").onlyID == nil)
    #expect(try Filter("siteRef->x").followsRefs)
    #expect(try !Filter("siteRef").followsRefs)
  }
}
