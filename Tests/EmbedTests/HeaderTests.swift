import CFerryEmbed
import FerryEmbed
import FerrySystem
import TestSupport
import Testing

@Suite("include/ferry/embed.h") struct HeaderTests {
  private let header: String

  init() throws { header = String(decoding: try Files.read("\(Products.repository)/include/ferry/embed.h"), as: UTF8.self) }

  /// What the header declares: a name before a bracket, at the beginning of a declaration.
  private var functions: [String] {
    header.matches(of: /(?m)^[a-z][a-z0-9_ *]*?\b(ferry_[a-z_]+)\(/).map { String($0.output.1) }
  }

  /// Compiles only if the function in Swift is the one that the header declares.
  private func same<Function>(_ header: Function, _ implementation: Function) -> Int { 1 }

  @Test("each function has the parameters and the result that the header declares")
  func signatures() {
    let compared = [
      same(ferry_embed_minor, embedMinor), same(ferry_version, libraryVersion), same(ferry_free, textFree),
      same(ferry_error_free, errorFree),
      same(ferry_engine_open, engineOpen), same(ferry_engine_close, engineClose), same(ferry_engine_ask, engineAsk),
      same(ferry_engine_interrupt, engineInterrupt),
      same(ferry_engine_history, engineHistory), same(ferry_engine_status, engineStatus), same(ferry_engine_receipt, engineReceipt),
      same(ferry_engine_verify, engineVerify), same(ferry_engine_cleanup, engineCleanup), same(ferry_engine_plugins, enginePlugins),
      same(ferry_schema, schema), same(ferry_manifest_load, manifestLoad), same(ferry_manifest_parse, manifestParse),
      same(ferry_manifest_json, manifestJSON), same(ferry_manifest_close, manifestClose), same(ferry_check, check), same(ferry_plan, plan),
      same(ferry_session_run, sessionRun), same(ferry_session_transfer, sessionTransfer), same(ferry_session_receive, sessionReceive),
      same(ferry_session_resume, sessionResume), same(ferry_session_rollback, sessionRollback), same(ferry_session_id, sessionID),
      same(ferry_session_fd, sessionDescriptor), same(ferry_session_next, sessionNext), same(ferry_session_is_over, sessionIsOver),
      same(ferry_session_cancel, sessionCancel), same(ferry_session_result, sessionResult), same(ferry_session_close, sessionClose),
    ]
    #expect(compared.count == functions.count)
  }

  @Test("libferry.so shows the functions of the header, and nothing else")
  func exports() throws {
    let shown = try Command(["nm", "-D", "--defined-only", "--extern-only", "--format=posix", Installed().library]).run()
    let names = shown.output.split(separator: "\n").compactMap { $0.split(separator: " ").first }
    let symbols = names.map { String($0.split(separator: "@").first ?? $0) }.filter { $0 != "FERRY_1" }
    #expect(symbols.sorted() == functions.sorted())
    #expect(functions.count > 30)
  }

  @Test("libferry.so is called libferry.so.1, is never unloaded, and its name without a version leads to it")
  func library() throws {
    let installed = try Installed()
    let dynamic = try Command(["readelf", "--dynamic", "--wide", installed.library]).run().output
    #expect(dynamic.contains("Library soname: [libferry.so.1]") && dynamic.contains("NODELETE"), "\(dynamic)")
    #expect(try Files.read("\(installed.stage)/lib/libferry.so") == Files.read(installed.library))
  }

  @Test("the header is C and C++, and needs nothing but its neighbour")
  func languages() throws {
    let installed = try Installed()
    for (language, standard) in [("c", "c11"), ("c++", "c++17")] {
      let source = try installed.folder.write("only.\(language)", "#include <ferry/embed.h>\n")
      let outcome = try Command([
        "cc", "-x", language, "-std=\(standard)", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only",
        "-I\(installed.stage)/include",
        source,
      ]).run()
      #expect(outcome.succeeded, "\(language): \(outcome.errors)")
    }
  }

  @Test("the layout of each struct is asserted, member by member")
  func layout() throws {
    let asserts = String(decoding: try Files.read("\(Products.repository)/include/embed.c"), as: UTF8.self)
    var members = 0
    for found in header.matches(of: #/typedef struct (ferry_[a-z_]+) \{\n((?:.|\n)*?)\n\}/#) {
      let name = String(found.output.1)
      #expect(asserts.contains("sizeof(\(name))"), "\(name)")
      let body = found.output.2.replacing(#//\*(?:.|\n)*?\*//#, with: "")
      for member in body.matches(of: /([a-z_]+);/).map({ String($0.output.1) }) {
        members += 1
        #expect(asserts.contains("offsetof(\(name), \(member))"), "\(name).\(member)")
      }
    }
    #expect(members == 19)
  }

  @Test("docs/embed.md names every function, type and constant of the header, and none that is not there")
  func names() throws {
    func names(_ text: String) -> Set<String> {
      Set(
        text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init).filter {
          $0.hasPrefix("ferry_") || $0.hasPrefix("FERRY_")
        })
    }
    let page = String(decoding: try Files.read("\(Products.repository)/docs/embed.md"), as: UTF8.self)
    let plugin = names(String(decoding: try Files.read("\(Products.repository)/include/ferry/plugin.h"), as: UTF8.self))
    #expect(names(header).subtracting(plugin).subtracting(names(page)).sorted() == ["FERRY_EMBED_H"])
    #expect(names(page).subtracting(names(header)).subtracting(plugin).sorted() == [])
  }
}
