import FerrySystem
import TestSupport
import Testing

@Suite("docs/abi.md")
struct DocumentTests {
  private let header: String
  private let page: String

  init() throws {
    header = String(decoding: try Files.read("\(Products.repository)/include/ferry/plugin.h"), as: UTF8.self)
    page = String(decoding: try Files.read("\(Products.repository)/docs/abi.md"), as: UTF8.self)
  }

  /// The words of a text that are names of the ABI.
  private func names(in text: String) -> Set<String> {
    let words = text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
    return Set(words.filter { $0.hasPrefix("ferry_") || $0.hasPrefix("FERRY_") })
  }

  @Test("names every type, constant and function of the header, and none that is not there")
  func names() {
    // The include guard is no name of the ABI.
    let known = names(in: header).subtracting(["FERRY_PLUGIN_H"])
    #expect(known.subtracting(names(in: page)).sorted() == [])
    #expect(names(in: page).subtracting(known).sorted() == [])
  }

  @Test("names every service of the header, and none that is not there")
  func services() {
    func services(_ text: String) -> Set<String> {
      let words = text.split { !($0.isLetter || $0.isNumber || $0 == "." || $0 == "/") }.map(String.init)
      return Set(words.filter { $0.hasPrefix("ferry.") && $0.hasSuffix("/1") })
    }
    #expect(services(header) == services(page))
    #expect(services(page).count == 9)
  }

  @Test("names every call of a provider")
  func calls() throws {
    let table = try #require(header.components(between: "typedef struct ferry_provider {", and: "} ferry_provider;"))
    let calls = table.split(separator: "\n").compactMap { line -> String? in
      let words = line.split { " ;(*)".contains($0) }.map(String.init)
      return words.first == "ferry_call" ? words.last : nil
    }
    #expect(calls.count == 12)
    for call in calls + ["create", "destroy", "cancel", "get_extension"] { #expect(page.contains("`\(call)`"), "\(call)") }
  }

  @Test("the layout of every struct of the header is asserted, member by member")
  func layout() throws {
    let asserts = String(decoding: try Files.read("\(Products.repository)/include/plugin.c"), as: UTF8.self)
    var structs = 0
    for part in header.split(separator: "struct ferry_").dropFirst() where part.contains("{\n") {
      let name = "ferry_" + part.prefix { $0.isLetter || $0 == "_" }
      let rest = String(part)
      guard rest.dropFirst(name.count - 6).hasPrefix(" {"), let body = rest.components(between: "{\n", and: "\n}") else { continue }
      structs += 1
      #expect(asserts.contains("sizeof(\(name))"), "\(name)")
      for member in members(of: body) { #expect(asserts.contains("offsetof(\(name), \(member))"), "\(name).\(member)") }
    }
    #expect(structs == 16)
  }

  /// The names that the declarations of a struct's body declare.
  private func members(of body: String) -> [String] {
    var code = ""
    var rest = body[...]
    while let start = rest.firstRange(of: "/*"), let end = rest.firstRange(of: "*/") {
      code += rest[..<start.lowerBound]
      rest = rest[end.upperBound...]
    }
    code += rest
    return code.split(separator: ";").compactMap { declaration in
      let text = declaration.split(whereSeparator: \.isWhitespace).joined(separator: " ")
      if text.isEmpty { return nil }
      if let pointer = text.components(between: "(*", and: ")") { return pointer }
      return text.split { " *".contains($0) }.last.map(String.init)
    }
  }
}

extension String {
  fileprivate func components(between start: String, and end: String) -> String? {
    guard let from = firstRange(of: start), let to = self[from.upperBound...].firstRange(of: end) else { return nil }
    return String(self[from.upperBound..<to.lowerBound])
  }
}
