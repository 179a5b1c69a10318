import FerryPluginKit
import Testing

@Suite("The reports")
struct ReportTests {
  @Test("what a report does not know stays out of its JSON")
  func absent() throws {
    #expect(try JSONValue(encoding: CheckReport()) == ["notices": [], "versions": [:]])
    #expect(try JSONValue(encoding: PassReport(bytes: 5, entries: 1)) == ["bytes": 5, "entries": 1])
  }
}
