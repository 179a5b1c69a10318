import FerrySystem
import TestSupport
import Testing

@testable import ResticPlugin

@Suite struct DocumentTests {
  @Test("the README's table has every key of the schema, and no other")
  func keys() throws {
    let schema = try JSONValue(parsing: ResticConfig.schema)
    var known: Set<String> = []
    for (name, value) in schema["properties"]?.object ?? [:] {
      let definition = value["$ref"]?.string.flatMap { schema["$defs"]?[String($0.dropFirst("#/$defs/".count))] } ?? value
      let inner = definition["properties"]?.object?.keys.map { "\(name).\($0)" } ?? []
      known.formUnion(inner)
      if inner.isEmpty || name == "keep" { known.insert(name) }
    }
    let text = String(decoding: try Files.read("\(Products.repository)/Plugins/Restic/README.md"), as: UTF8.self)
    var said: Set<String> = []
    for line in text.split(separator: "\n") where line.hasPrefix("| `") {
      let parts = line.split(separator: "|")[0].split(separator: "`", omittingEmptySubsequences: false)
      said.formUnion(stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) })
    }
    #expect(said == known)
  }

  @Test("versions are read from what restic prints, and old ones are told")
  func versions() throws {
    #expect(try ResticTool(parsing: "restic 0.14.0 compiled with go1.19.8 on linux/amd64\n").isRecent)
    #expect(try !ResticTool(parsing: "restic 0.14.0 compiled with go1.19.8 on linux/amd64\n").keepsHoles)
    #expect(try ResticTool(parsing: "restic 0.18.0-dev (compiled manually) compiled with go1.24").keepsHoles)
    #expect(try !ResticTool(parsing: "restic 0.9.6 compiled with go1.14 on linux/arm").isRecent)
    #expect(throws: FerryError.self) { try ResticTool(parsing: "rustic 0.9") }
  }

  @Test("what restic says becomes an error with a class and a next step")
  func failures() {
    func error(_ lines: String...) -> FerryError { ResticFailure.error("backup", code: 1, lines: lines) }
    #expect(error("Fatal: wrong password or no key found").class == .auth)
    #expect(
      error("Fatal: unable to open config file: Stat: Access Denied.", "Is there a repository at the following location?").class == .auth)
    #expect(error("Fatal: unable to open config file: stat /x/config: no such file or directory").class == .notFound)
    #expect(error("unable to create lock in backend: repository is already locked exclusively by PID 7 on vm").class == .conflict)
    #expect(error("Fatal: write /x: no space left on device").hint.hasPrefix("free space"))
    let away = error("Fatal: unable to open repository at sftp:b:/r: unable to start the sftp session, error: unexpected EOF")
    #expect(away.class == .peer && away.message.contains("cannot be reached"), "restic 0.18 says so of an sshd that is away")
    #expect(ResticFailure.lines(#"{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}"#) == ["Fatal: wrong password"])
  }

  @Test("a deposit is the same when it comes back from a snapshot's tags, whatever it holds; tags that are not whole are none")
  func proof() throws {
    let deposit: JSONValue = [
      "root": "00ff", "entries": 20200, "time": .double(1795314857.75), "name": "a, b=\"c\" % ü\n ", "": "", "a.b=c,": .null,
      "offer": ["form": ["owners": true, "attributes": "all"], "none": [:], "list": [1, "two", ["three": .double(3.5)]]],
    ]
    let tags = ResticProof.tags(deposit)
    #expect(tags.contains("proof.offer.form.attributes=\"all\"") && tags.contains("proof.root=\"00ff\""))
    for tag in tags { #expect(!tag.contains(where: { ", \n".contains($0) }) && tag.utf8.allSatisfy { $0 < 0x7f }) }
    #expect(try ResticProof.deposit(in: ["ferry", "run=1"] + tags.reversed()) == deposit)
    #expect(try ResticProof.deposit(in: ["ferry", "run=1"]) == nil)
    #expect(throws: FerryError.self) { try ResticProof.deposit(in: tags + ["proof.root"]) }
    #expect(throws: FerryError.self) { try ResticProof.deposit(in: ["proof.root=\"00"]) }
  }

  @Test("a listing is turned back into the bytes of its paths, names that are no text among them")
  func listing() throws {
    let json = """
      {"paths":["/srv/a"],"struct_type":"snapshot"}
      {"path":"/a","struct_type":"node"}
      {"path":"/a/new\\nline","struct_type":"node"}
      {"path":"/a/\\ufffd","struct_type":"node"}
      """
    let lines = try ResticListing.decode(json: Array(json.utf8))
    let plain = Array("snapshot 1 of [/srv/a]:\n/a\n/a/new\nline\n/a/".utf8) + [0xff, 10]
    #expect(try ResticListing.parse(lines, plain: plain) == [Array("a".utf8), Array("a/new\nline".utf8), Array("a/".utf8) + [0xff]])
    #expect(throws: FerryError.self) { try ResticListing.parse([ResticListing.Line(path: "a")], plain: nil) }
  }
}
