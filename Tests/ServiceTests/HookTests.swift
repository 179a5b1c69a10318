import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import Ferry

@Suite("Hooks") struct HookTests {
  private let folder: TemporaryFolder
  private let log = Lock([String]())

  init() throws { folder = try TemporaryFolder() }

  private func hook(_ path: String, _ script: String = "true", mode: mode_t = 0o755) throws {
    try folder.write("hooks/\(path)", "#!/bin/sh\n\(script)\n")
    chmod(folder("hooks/\(path)"), mode)
  }
  private func run(_ hooks: [Hook], input: JSONValue = .object([:]), timeout: Duration = .seconds(60)) throws -> JSONValue {
    let log = log
    return try HookRunner(folder: folder("node")).run(hooks, input: input, environment: ["WHO": "ferry"], timeout: timeout) { line in
      log.withLock { $0.append(line) }
    }
  }
  private func load() throws -> [Hook] { try HookFolder.load(folder("hooks")) }

  @Test("hooks are found by phase, side and moment, in the order of their names") func found() throws {
    for path in ["copy/source/50-b", "copy/source/49-a", "copy/source/05-z", "copy/destination/10-d", "switch/controller/50-dns"] {
      try hook(path)
    }
    try hook("final/source/failed/10-tell")
    let hooks = try load()
    #expect(hooks.at(.copy, .source, .before).map(\.name) == ["05-z", "49-a"])
    #expect(hooks.at(.copy, .source, .after).map(\.name) == ["50-b"])
    #expect(hooks.at(.switch, .controller, .after).map(\.path) == ["switch/controller/50-dns"])
    #expect(hooks.at(.final, .source, .failed).map(\.path) == ["final/source/failed/10-tell"])
    #expect(hooks.at(.final, .source, .before).isEmpty)
    #expect(hooks.count == 6)
  }

  @Test("all that is wrong with a folder is named at once, each with its place") func problems() throws {
    try hook("copy/source/10-fine")
    try hook("copy/source/20-plain", mode: 0o644)
    try hook("copy/source/dns")
    try hook("copy/source/30-open", mode: 0o757)
    try hook("copi/source/10-a")
    try hook("copy/middle/10-a")
    try hook("copy/source/35-folder/10-a")
    try folder.write("elsewhere", "#!/bin/sh\n", mode: 0o755)
    symlink(folder("elsewhere"), folder("hooks/copy/source/40-link"))
    symlink("nothing", folder("hooks/copy/source/45-dangling"))
    symlink("10-fine", folder("hooks/copy/source/50-inside"))
    try folder.write("hooks/copy/source/60-large", String(repeating: "#", count: 2 << 20))
    chmod(folder("hooks/copy/source/60-large"), 0o700)
    try Files.makeFolder(folder("hooks/seal/source"))
    chmod(folder("hooks/seal/source"), 0o777)
    mkfifo(folder("hooks/copy/source/70-fifo"), 0o700)
    let text = message { _ = try load() }
    let expected = [
      "copy/source/20-plain: not executable", "copy/source/dns: a hook's name is", "copy/source/30-open: anybody may write",
      "copi: 'copi' is not a phase", "copy/middle: 'middle' is not a side", "copy/source/35-folder: not a file",
      "copy/source/40-link: a link that leaves", "copy/source/45-dangling: No such file", "copy/source/60-large is larger than",
      "seal/source: anybody may write", "copy/source/70-fifo: not a file",
    ]
    for part in expected { #expect(text.contains(part), "\(part) in \(text)") }
    #expect(!text.contains("10-fine") && !text.contains("50-inside"))
    #expect(text.split(separator: "\n").count == expected.count)
  }

  @Test("what an editor leaves is ignored with a notice") func ignored() throws {
    for path in ["copy/source/10-a", "copy/source/10-a~", "copy/source/.10-a.swp", "README"] { try hook(path) }
    var notices: [Notice] = []
    let hooks = try HookFolder.load(folder("hooks")) { notices.append($0) }
    #expect(hooks.map(\.name) == ["10-a"])
    #expect(notices.count == 3 && notices.allSatisfy { $0.severity == .info })
  }

  @Test("a hook reads the call as JSON, and what it says is merged into what later ones read") func merged() throws {
    try hook("copy/source/10-a", #"cat >&2; echo; echo '{"dns": {"old": 1, "kept": true}, "who": "'$WHO'"}'"#)
    try hook("copy/source/20-b", #"cat >&2; echo '{"dns": {"old": 2}}'"#)
    try hook("copy/source/30-silent", "exec 1>&-; cat >&2")
    let hooks = try load()
    // As it is after the way to its node.
    let travelled = try JSONValue(encoding: hooks).decode([Hook].self)
    #expect(travelled == hooks)
    let said = try run(travelled, input: ["run": "r1", "dns": ["zone": "x"]])
    #expect(said == ["dns": ["old": 2, "kept": true], "who": "ferry"])
    let lines = log.withLock { $0 }
    #expect(lines.first == #"{"dns":{"zone":"x"},"run":"r1"}"#)
    #expect(lines.last == #"{"dns":{"kept":true,"old":2,"zone":"x"},"run":"r1","who":"ferry"}"#)
    #expect(Files.names(in: folder("node/hooks")).isEmpty)
  }

  @Test("a hook that fails is named, with its exit code and last words, and ends the row") func fails() throws {
    try hook("copy/source/10-a", "echo one >&2; echo 'no such zone' >&2; exit 3")
    try hook("copy/source/20-b", "echo two >&2")
    let text = message { _ = try run(load()) }
    #expect(text.contains("hook copy/source/10-a: exit code 3: no such zone") && text.contains("mend it"))
    #expect(log.withLock { $0 } == ["one", "no such zone"])
  }

  @Test("other output than one JSON object is an error that shows it", arguments: ["hello", "[1]", "{} {}", "{\"a\": "])
  func output(_ text: String) throws {
    try hook("copy/source/10-a", "echo '\(text)'")
    let said = message { _ = try run(load()) }
    #expect(said.contains("one JSON object") && said.contains("begins with: \(text)"))
  }

  @Test("a hook that does not end is ended, one that was damaged on its way is not run") func bounded() throws {
    try hook("copy/source/10-a", "sleep 1000")
    #expect(message { _ = try run(load(), timeout: .milliseconds(200)) }.contains("not done within 0.2 s"))
    var hook = try #require(try load().first)
    hook.content.append(10)
    #expect(message { _ = try run([hook]) }.contains("arrived damaged"))
  }
}
