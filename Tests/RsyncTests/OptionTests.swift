import FerrySystem
import FerryTree
import Testing

@testable import RsyncPlugin

@Suite struct OptionTests {
  static let variants: [(form: TreeForm, final: Bool, keys: String)] = [
    (TreeForm(), false, "{}"), (TreeForm(), true, "{}"),
    (TreeForm(owners: false, devices: false, attributes: .user), true, "{}"),
    (TreeForm(accessControl: false, attributes: .none), false, #"{"checksum": true}"#),
    (TreeForm(devices: false), true, #"{"one-file-system": true, "whole-file": true}"#),
  ]

  @Test("the destination's own options are what the source's rsync would have asked for", arguments: variants.indices)
  func equal(_ index: Int) throws {
    let (form, isFinal, keys) = Self.variants[index]
    var json = try JSONValue(parsing: keys)
    json["endpoint"] = ["path": "/srv/x"]
    let options = RsyncOptions(try json.decode(RsyncConfig.self), form: form, isFinal: isFinal)
    let asked = try Command(
      ["rsync"] + options.client + ["-e", "/bin/sh -c 'shift; for a; do echo \"asks $a\" >&2; done'", "/usr/share/doc/", "ferry:."],
      environment: RsyncTool.environment
    ).run().errors.split(separator: "\n").filter { $0.hasPrefix("asks ") }.map { String($0.dropFirst(5)) }
    let abilities = try #require(
      asked.first { $0.hasPrefix("-l") }.flatMap { $0.split(separator: "e", maxSplits: 1).last.map(String.init) })
    #expect(RsyncShell.isAbilities(abilities))
    #expect(Self.canonical(asked) == Self.canonical(options.server(abilities: abilities, folder: ".")))
  }

  /// Letters in any order; options that say the same.
  private static func canonical(_ options: [String]) -> Set<String> {
    var found: Set<String> = []
    for option in options {
      if option.hasPrefix("-l") && option.contains("e.") {
        let parts = option.split(separator: "e", maxSplits: 1)
        found.insert(String(parts[0].dropFirst().sorted()))
        found.insert(String(parts[1]))
      } else {
        found.insert(option)
      }
    }
    return found
  }

  @Test(
    "abilities from the wire can be nothing but abilities", arguments: ["", ".iL -x", "--daemon", ".iL/../x", ".iL\n", "iLs", ".\u{e9}"])
  func hostile(_ text: String) { #expect(!RsyncShell.isAbilities(text)) }

  @Test("a line of rsync's list is turned back into the bytes of its path")
  func unescaped() {
    let text = "./\nfolder/\nfolder/new\\#012line\n\\#134#101\nplain\\name\n\\#377\n"
    let expected: [[UInt8]] = ["folder", "folder/new\nline", "\\#101", "plain\\name"].map { Array($0.utf8) } + [[0xff]]
    #expect(RsyncSelection.parse(Array(text.utf8)) == expected)
  }

  @Test("versions are read from what rsync prints, and old ones are told")
  func versions() throws {
    func tool(_ version: String, _ number: Int) throws -> RsyncTool {
      try RsyncTool(parsing: "rsync  version \(version)  protocol version \(number)\nCapabilities:\n    hardlinks, ACLs, xattrs, iconv\n")
    }
    #expect(try tool("3.2.7", 31).isRecent)
    #expect(try tool("3.2.7", 31).knowsAccessControl)
    #expect(try !tool("3.1.2", 31).isRecent)
    #expect(try !tool("3.0.9", 30).isRecent)
    #expect(try tool("v4.0.0pre1", 33).isRecent)
    #expect(throws: FerryError.self) { try RsyncTool(parsing: "openrsync: protocol version 29") }
  }

  @Test("progress and statistics are read; losses at the source are told from failures at the destination")
  func lines() {
    let lines = RsyncLines()
    lines.output("      1,238,099  99%  146.38kB/s    0:00:08 (xfr#5, to-chk=169/396)")
    #expect(lines.now.bytes == 1_238_099)
    #expect(lines.now.entries == 227)
    lines.output("Number of files: 3 (reg: 1, dir: 2)")
    #expect(lines.now.statistics["Number of files"] == 3)
    lines.error("file has vanished: \"/srv/x\"")
    lines.error("rsync: [sender] send_files failed to open \"/srv/y\": Permission denied (13)")
    #expect(lines.now.vanished == 1)
    #expect(lines.now.unread == ["/srv/y"])
    #expect(lines.now.others == 0)
    lines.error("rsync: [receiver] mkstemp \"/srv/z\" failed: Permission denied (13)")
    #expect(lines.now.others == 1)
  }

  @Test("an error says the code, its meaning and rsync's own reason, not what followed from it")
  func failures() {
    let error = RsyncFailure.error(
      code: 11,
      lines: [
        "rsync: [receiver] write failed on \"/srv/x\": No space left on device (28)",
        "rsync error: error in file IO (code 11) at receiver.c(380)",
        "rsync: connection unexpectedly closed (38 bytes received so far) [sender]",
      ])
    #expect(error.class == .io)
    #expect(error.message.contains("code 11"))
    #expect(error.message.contains("No space left on device"))
    #expect(error.hint == "free space at the destination")
  }
}
