import FerrySystem
import Haystack
import Testing

/// The tags that differ, as Zinc.
func differences(_ left: [HDict], _ right: [HDict]) -> [String] {
  if left.count != right.count { return ["\(left.count) rows, \(right.count) rows"] }
  return zip(left, right).flatMap { left, right in
    Set(left.tags.keys).union(right.tags.keys).filter { Packed(.list([left[$0]])) != Packed(.list([right[$0]])) }
      .map { "\($0): \(ZincWriter.text(left[$0])) | \(ZincWriter.text(right[$0]))" }
  }
}

@Suite struct CodecTests {
  @Test("any grid comes back from Zinc, Hayson, Trio and the packed form as it was", arguments: 0..<60)
  func roundTrips(_ seed: UInt64) throws {
    var random = RandomRecords(seed: seed)
    let rows = (0..<20).map { random.record($0) }
    let grid = HGrid(meta: random.dict(depth: 1), rows: rows)
    let packed = rows.map { PackedDict($0) }
    let zinc = try ZincReader.grid(ZincWriter.text(grid))
    #expect(differences(rows, zinc.rows) == [])
    #expect(PackedDict(zinc.meta) == PackedDict(grid.meta))
    #expect(zinc.columns.map(\.name) == grid.columns.map(\.name))
    let json = try JSONGridReader.grid(Hayson.text(.grid(grid)))
    #expect(differences(rows, json.rows) == [])
    #expect(PackedDict(json.meta) == PackedDict(grid.meta))
    let trio = TrioReader(TextReader("trio", text: rows.map { TrioWriter.text($0) }.joined()))
    var read: [HDict] = []
    while let row = try trio.next() { read.append(row.tree) }
    #expect(differences(rows, read) == [])
    #expect(packed.map { PackedDict($0.tree) } == packed)
    for row in packed { #expect(try row.bytes.withUnsafeBytes { try PackedDict(checking: $0) } == row) }
    #expect(Packed(.grid(grid)).tree == .grid(grid))
  }

  @Test("packed bytes that were cut or changed are never read as something outside of them", arguments: 0..<30)
  func hostileBytes(_ seed: UInt64) throws {
    var random = RandomRecords(seed: seed)
    let sound = PackedDict(random.record(1)).bytes
    for _ in 0..<300 {
      var bytes = sound
      switch Int.random(in: 0...2, using: &random) {
      case 0: bytes = Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random)))
      case 1: bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      default: bytes.insert(UInt8.random(in: 0...255, using: &random), at: Int.random(in: 0..<bytes.count, using: &random))
      }
      // What passes the check is a record that says the same when it is packed again.
      if let checked = try? bytes.withUnsafeBytes({ try PackedDict(checking: $0) }) {
        _ = ZincWriter.text(.dict(checked.tree))
      }
      _ = PackedDict(bytes: bytes).tree
    }
  }

  @Test(
    "what is wrong in a text is told with line and column",
    arguments: [
      ("ver:\"4.0\"\nid\n", "zinc:1:6: Zinc of version '4.0\"' is unknown"),
      ("ver:\"3.0\"\nid,id\n", "zinc:2:6: column 'id' is there twice"),
      ("ver:\"3.0\"\na,b\n1\n", "zinc:3:2: the row has 1 cells, there are 2 columns"),
      ("ver:\"3.0\"\na\n1,2\n", "zinc:3:2: expected the end of the line, found ',2'"),
      ("ver:\"3.0\"\na\n\"open\n", "zinc:3:6: a text has no closing quote"),
      ("ver:\"3.0\"\na\n\"\\q\"\n", "zinc:3:4: an unknown escape '\\q'"),
      ("ver:\"3.0\"\na\nyes\n", "zinc:3:4: 'yes' is no value; texts stand in quotes"),
      ("ver:\"3.0\"\na\n2024-02-30\n", "zinc:3:11: the calendar has no such date"),
      ("ver:\"3.0\"\na\n@\n", "zinc:3:2: expected a reference's id, found the end of the line"),
      ("ver:\"3.0\"\na\n1\n\nrest\n", "zinc:5:1: the grid has ended, and here stands 'rest'"),
      ("ver:\"3.0\"\na\n{x:1 x:2}\n", "zinc:3:10: a tag is there twice"),
      ("ver:\"3.0\"\na\nC(91,0)\n", "zinc:3:8: a coordinate is C(latitude,longitude), within ±90 and ±180 degrees"),
      ("ver:\"3.0\"\na\n\(String(repeating: "[", count: 40))\n", "zinc:3:34: values lie deeper than 32 in each other"),
    ])
  func located(_ text: String, _ message: String) {
    #expect(throws: FerryError(.invalid, message)) { try ZincReader.grid(text) }
  }

  @Test(
    "so it is in JSON",
    arguments: [
      ("{\"_kind\":\"grid\",\"cols\":[],\"rows\":[{]}", "json:1:37: expected a text in quotes, found ']}'"),
      ("{\"rows\":[{\"a\":{\"_kind\":\"ref\"}}]}", "json:1:33: a ref has no 'val'"),
      ("{\"rows\":[\n{\"a\":{\"_kind\":\"what\",\"val\":1}}]}", "json:2:32: the kind 'what' is unknown"),
      ("{\"rows\":[{\"A b\":1}]}", "json:1:21: 'A b' is no tag's name"),
      ("{\"rows\":[{\"a\":1}", "json:1:17: expected ',' or ']', found the end"),
      ("{\"rows\":[{\"a\":1,\"a\":2}]}", "json:1:20: 'a' is there twice"),
    ])
  func locatedJSON(_ text: String, _ message: String) {
    let error = #expect(throws: FerryError.self) { try JSONGridReader.grid(text) }
    #expect(error?.message.split(separator: " ", maxSplits: 1).last == message.split(separator: " ", maxSplits: 1).last)
    #expect(error?.message.hasPrefix("json:\(message.split(separator: ":")[1]):") == true)
  }

  @Test("a text is read alike, and what is wrong with it told alike, in whatever pieces it comes", arguments: 0..<10)
  func pieces(_ seed: UInt64) throws {
    var random = RandomRecords(seed: seed)
    let text = Array(ZincWriter.text(HGrid(rows: (0..<5).map { random.record($0) })).utf8)
    func read(_ text: [UInt8], by size: Int) -> Result<[PackedDict], FerryError> {
      var rest = text[...]
      let input = TextReader("zinc") { _ in
        defer { rest = rest.dropFirst(size) }
        return Array(rest.prefix(size))
      }
      return Result {
        let reader = try ZincReader(input)
        var rows: [PackedDict] = []
        while let row = try reader.next() { rows.append(row) }
        return rows
      }.mapError(FerryError.wrap)
    }
    #expect(try read(text, by: text.count).get().count == 5)
    for _ in 0..<4 {
      var broken = text
      broken[Int.random(in: 0..<text.count, using: &random)] = [0x00, 0x0a, 0x22, 0x2c, 0x5c, 0xff].randomElement(using: &random) ?? 0
      for text in [text, broken] {
        let whole = read(text, by: text.count)
        for size in [1, 2, 7, 100] { #expect(read(text, by: size) == whole, "in pieces of \(size)") }
      }
    }
  }

  @Test("a grid of any length is read in the memory of a row")
  func streams() throws {
    var rows = 0
    var asked = 0
    let line = Array("@a,\"\(String(repeating: "x", count: 1000))\",M\n".utf8)
    let reader = try ZincReader(
      TextReader("zinc") { limit in
        asked += 1
        if asked == 1 { return Array("ver:\"3.0\"\nid,dis,site\n".utf8) }
        return asked <= 2000 ? line : []
      })
    while try reader.next() != nil {
      rows += 1
      // A row is given before the one after the next is asked for.
      #expect(asked <= rows + 3)
    }
    #expect(rows == 1999)
  }

  @Test("a text beyond the bound is an error, not memory")
  func bounded() throws {
    var blocks = 0
    let endless = TextReader("zinc") { _ in
      blocks += 1
      return blocks == 1 ? Array("ver:\"3.0\"\na\n\"".utf8) : [UInt8](repeating: 0x78, count: 65536)
    }
    let reader = try ZincReader(endless)
    let error = #expect(throws: FerryError.self) { try reader.next() }
    #expect(error?.message.hasSuffix("a value is longer than \(Packed.maximumText) bytes") == true)
    #expect(blocks < 300)
  }

  @Test("Zinc of version 2, marks, empty lines and what servers put there otherwise are read")
  func liberal() throws {
    let grid = try ZincReader.grid("\u{feff}ver:\"2.0\" err dis:\"no\" \r\nid dis:\"Id\" , v\r\n@x \"Dis\" , Bin(text/plain)\r\n,\r\n\r\n")
    #expect(grid.failure == "no")
    #expect(grid.columns.first?.meta["dis"] == .string("Id"))
    #expect(grid.rows.count == 2)
    #expect(grid.rows[0]["v"] == .xstr(HXStr(type: "Bin", value: "text/plain")))
    #expect(grid.rows[1].tags.isEmpty)
    #expect(try ZincReader.value("\"\\uD83D\\uDE00\\u{1F600}\"") == .string("😀😀"))
    #expect(try ZincReader.value("1_000.5e-1kWh/ft²") == .number(HNumber(100.05, "kWh/ft²")))
    #expect(try ZincReader.value("5e") == .number(HNumber(5, "e")))
    #expect(try ZincReader.value("-INF") == .number(HNumber(-.infinity)))
    #expect(
      try ZincReader.value("[1,N,{a},<<\nver:\"3.0\"\nx\n1\n>>]").map { ZincWriter.text($0) } == "[1,N,{a},<<\nver:\"3.0\"\nx\n1\n>>]")
  }

  @Test("version 3 of JSON is read")
  func version3() throws {
    let text = """
      {"meta":{"ver":"3.0"},"cols":[{"name":"id","dis":"s:Id"},{"name":"v"}],
       "rows":[{"id":"r:a Main","v":"n:5.5 kW"},{"v":["m:","s:x:y","plain","d:2024-02-29","t:2024-01-01T00:00:00-05:00 New_York"]},
               {"v":{"meta":{"ver":"3.0"},"cols":[{"name":"x"}],"rows":[{"x":"z:"}]}}, {"v":"c:1,2"}, {"v":"x:Span:today"}, {"v":"n:-INF"}]}
      """
    let grid = try JSONGridReader.grid(text, form: .version3)
    #expect(grid.rows[0].id?.id == "a")
    #expect(grid.rows[0]["v"] == .number(HNumber(5.5, "kW")))
    #expect(grid.rows[1]["v"].map { ZincWriter.text($0) } == "[M,\"x:y\",\"plain\",2024-02-29,2024-01-01T00:00:00-05:00 New_York]")
    #expect(grid.rows[2]["v"].map { ZincWriter.text($0) } == "<<\nver:\"3.0\"\nx\nNA\n>>")
    #expect(ZincWriter.text(grid.rows[3]["v"]) == "C(1,2)")
    #expect(ZincWriter.text(grid.rows[4]["v"]) == "Span(\"today\")")
    #expect(ZincWriter.text(grid.rows[5]["v"]) == "-INF")
  }

  @Test("Trio takes texts without quotes and over several lines")
  func trio() throws {
    let text = """
      // a site
      dis: Main & Co. 7
      id:@a
      site
      area:5ft²
      summary:
        one

        two
      open: T
      table:Zinc:
        ver:"3.0"
        x
        1
      ---
      ---
      dis:"q\\"x"
      """
    let reader = TrioReader(TextReader("trio", text: text))
    let first = try #require(try reader.next()).tree
    #expect(first["dis"] == .string("Main & Co. 7"))
    #expect(first["summary"] == .string("one\n\ntwo"))
    #expect(first["open"] == .bool(true))
    #expect(first["area"] == .number(HNumber(5, "ft²")))
    #expect(first["site"] == .marker)
    if case .grid(let grid) = first["table"] { #expect(grid.rows.count == 1) } else { Issue.record("no grid") }
    #expect(try reader.next()?.tree["dis"] == .string("q\"x"))
    #expect(try reader.next() == nil)
    let bad = TrioReader(TextReader("trio", text: "dis:\"x\"\nid:@\n"))
    #expect(throws: FerryError(.invalid, "trio:2:5: expected a reference's id, found the end of the line")) { try bad.next() }
  }
}
