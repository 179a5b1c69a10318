import FerrySystem
import Haystack
import TestSupport
import Testing

/// Beside rusty-haystack, which others wrote after the same specification.
@Suite struct DifferentialTests {
  private static let python = Result { try Script.haystackPython() }

  private func ask(_ questions: [JSONValue]) throws -> [JSONValue] {
    let folder = try TemporaryFolder()
    let file = try folder.write("questions", questions.map { "\($0.text)\n" }.joined())
    var command = Command(
      ["sh", "-c", "exec \"$0\" \"$1\" <\"$2\"", try Self.python.get(), "\(Products.repository)/Tests/HaystackTests/rusty.py", file],
      timeout: .seconds(120))
    command.output = .capture(limit: 64 << 20)
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.internal, "rusty.py: \(outcome.errors)") }
    return try outcome.output.split(separator: "\n").map { try JSONValue(parsing: $0) }
  }

  @Test("what we write in Zinc and Hayson others read the same, and we read what they write")
  func codecs() throws {
    let grids: [HGrid] = (0..<40 as Range<UInt64>).map { seed in
      var random = RandomRecords(seed: seed)
      return HGrid(rows: (0..<15).map { random.record($0, plain: true) })
    }
    let kinds: JSONValue = ["text/zinc", "application/json", "application/json;v=3"]
    let answers = try ask(
      grids.map { ["from": "text/zinc", "to": kinds, "grid": .string(ZincWriter.text($0))] }
        + grids.map { ["from": "application/json", "to": kinds, "grid": .string(Hayson.text(.grid($0)))] })
    #expect(answers.count == 2 * grids.count)
    for (grid, answer) in zip(grids + grids, answers) {
      guard let zinc = answer["text/zinc"]?.string, let hayson = answer["application/json"]?.string,
        let version3 = answer["application/json;v=3"]?.string
      else {
        Issue.record("refused: \(answer.text) of \(ZincWriter.text(grid))")
        continue
      }
      let found = [
        differences(grid.rows, try ZincReader.grid(zinc).rows), differences(grid.rows, try JSONGridReader.grid(hayson).rows),
        differences(grid.rows, try JSONGridReader.grid(version3, form: .version3).rows),
      ]
      #expect(found == [[], [], []])
    }
  }

  @Test("simple filters match the same records")
  func filters() throws {
    var random = RandomRecords(seed: 7)
    var rows: [HDict] = []
    for number in 0..<200 {
      var row = HDict(["id": .ref(HRef("r\(number)")), "v": .number(HNumber(Double(number % 7), ["", "kW", "°C"][number % 3]))])
      if number % 2 == 0 { row["site"] = .marker }
      if number % 3 == 0 { row["dis"] = .string(random.text()) }
      if number % 5 == 0 { row["siteRef"] = .ref(HRef("r\(number % 4)")) }
      if number % 4 == 0 { row["d"] = HDate(year: 2024, month: 1 + number % 12, day: 1).map { .date($0) } }
      if number % 7 == 0 { row["on"] = .bool(number % 2 == 0) }
      rows.append(row)
    }
    let filters = [
      "site", "not site", "site and dis", "site or dis", "not site and not dis", "(site or dis) and siteRef", "v == 5", "v == 5kW",
      "v < 3kW",
      "v >= 3°C", "v != 3", "v != 3kW", "dis == \"x\"", "dis != \"x\"", "siteRef == @r0", "d == 2024-05-01", "d > 2024-06-01", "on",
      "on == T",
      "on != T", "dis >= \"a\" and dis < \"o\"", "missing == 3", "missing != 3",
    ]
    let answer = try ask([["records": .string(ZincWriter.text(HGrid(rows: rows))), "filters": .array(filters.map { .string($0) })]])
    for text in filters {
      let filter = try Filter(text)
      let theirs = try #require(answer.first?[text]?.array, "\(answer.first?[text]?.text ?? "nothing")")
      for (row, other) in zip(rows, theirs) {
        #expect(.bool(filter.matches(PackedDict(row))) == other, "\(text): \(ZincWriter.text(.dict(row)))")
      }
    }
  }
}
