import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("Nodes and plugins") struct NodeAndPluginTests {
  @Test(
    "unseal and activate ask for a person's word about the other end",
    arguments: [("unseal", "the destination"), ("activate", "the source")])
  func fence(act: String, other: String) throws {
    let desk = try Desk()
    let outcome = try desk.ferry("node", act, "nope")
    #expect(outcome.code == 2)
    #expect(outcome.errors.contains("--i-have-fenced-the-other you vouch that \(other)") && outcome.errors.contains("nothing was changed"))
    #expect(try desk.ferry("node", act, "nope", "--i-have-fenced-the-other").code == 10)
  }

  @Test("a source whose controller is gone is brought back by a person at the node")
  func thaw() throws {
    let desk = try Desk(service: true)
    let running = try desk.start("run", desk.manifest, "--hold-before", "verify")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let run = try desk.newest()
    running.send(SIGKILL)
    #expect(running.child.wait() == 128 + SIGKILL)
    #expect(!Files.exists(desk.folder("a.serves")))
    #expect(try desk.ferry("node", "status", "--home", desk.folder("a/ferry")).output.contains("quiesced"))
    let thawed = try desk.ferry("node", "thaw", run, "--home", desk.folder("a/ferry"))
    #expect(thawed.code == 0 && Files.exists(desk.folder("a.serves")), "\(thawed.errors)")
    #expect(try desk.ferry("status").output.contains("interrupted"))
    #expect(try desk.ferry("rollback", run).code == 0)
  }

  @Test("the locks of a run whose processes are gone are explained, and given up with --yes")
  func unlock() throws {
    let desk = try Desk()
    let running = try desk.start("run", desk.manifest, "--hold-before", "copy")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let run = try desk.newest()
    running.send(SIGKILL)
    running.child.wait()
    try waitFor("the agents to end") { try desk.ferry("unlock", run).output.components("is gone") == 2 }
    let outcome = try desk.ferry("unlock", run, "--yes")
    #expect(outcome.code == 0 && outcome.output.hasSuffix("the locks of run \(run) are given up\n"), "\(outcome.errors)")
    #expect(try desk.ferry("unlock", run).code == 10)
  }

  @Test("pinned plugins are what is loaded, and a changed one is refused")
  func pin() throws {
    let desk = try Desk()
    let pinned = try desk.ferry("plugins", "pin")
    #expect(pinned.code == 0 && pinned.output.contains("now pins 1 plugin"), "\(pinned.errors)")
    #expect(try JSONValue(parsing: desk.folder.read("lib/ferry.lock"))["example.so"]?.string?.count == 64)
    #expect(try desk.ferry("check", desk.manifest).code == 0)
    let file = try Descriptor.open(desk.folder("lib/plugins/example.so"), O_WRONLY | O_APPEND)
    try file.write([0])
    file.close()
    #expect(try desk.ferry("plugins", "list").output.contains("not the pinned one"))
    #expect(try desk.ferry("plugins", "describe", "example-file").code == 10)
    #expect(try desk.ferry("plugins", "pin").code == 0)
    #expect(
      try desk.ferry("plugins", "describe", "example-file").output.contains("from.file  string, needed  absolute path of a regular file"))
  }

  @Test("a file that is no plugin fails its test, and one that is passes")
  func pluginTest() throws {
    let desk = try Desk()
    #expect(try desk.ferry("plugins", "test", desk.folder("lib/plugins/example.so")).code == 0)
    let wrong = try desk.folder.write("wrong.so", "no library")
    let outcome = try desk.ferry("plugins", "test", wrong)
    #expect(outcome.code == 4 && outcome.errors.contains("wrong.so"), "\(outcome.errors)")
  }

  @Test("--plugins names folders, and without plugins the error says where they were looked for")
  func folders() throws {
    let desk = try Desk()
    let empty = desk.folder("none")
    try Files.makeFolder(empty)
    #expect(try desk.ferry("plugins", "list", "--plugins", empty).output == "there are no plugins in \(empty)\n")
    #expect(try desk.ferry("plugins", "list", "--plugins", empty, "--plugins", desk.folder("lib/plugins")).output.contains("example-file"))
    #expect(try desk.ferry("check", desk.manifest, "--plugins", empty).code == 2)
  }
}

extension String {
  /// How often a text is in this one.
  fileprivate func components(_ text: String) -> Int { ranges(of: text).count }
}
