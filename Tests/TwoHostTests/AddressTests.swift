import FerrySystem
import Testing

@testable import Ferry

@Suite("The address of a node") struct AddressTests {
  @Test(
    "becomes ssh's own arguments",
    arguments: [
      ("ssh://node2", ["--", "node2"]), ("ssh://root@node2", ["-l", "root", "--", "node2"]),
      ("ssh://a.b-c@node2.example:2222", ["-l", "a.b-c", "-p", "2222", "--", "node2.example"]),
      ("ssh://[fd00::2]", ["--", "fd00::2"]), ("ssh://root@[fd00::2]:22", ["-l", "root", "-p", "22", "--", "fd00::2"]),
    ])
  func arguments(text: String, wanted: [String]) throws { #expect(try SSHAddress(text).arguments == wanted) }

  @Test(
    "that is none, or that would be an option, is refused",
    arguments: [
      "node2", "ssh://", "ssh://@host", "ssh://-oProxyCommand=x", "ssh://-l@host", "ssh://host:0", "ssh://host:99999", "ssh://host:x",
    ])
  func refused(text: String) { #expect(throws: FerryError.self) { try SSHAddress(text) } }

  @Test("A word for a POSIX shell arrives as it was", arguments: ["", "it's", "a b", "$x `id` \\", "''", "-n"])
  func quoted(word: String) throws {
    let outcome = try Command(["/bin/sh", "-c", "printf %s \(RemoteScript.quoted(word))"]).run()
    #expect(outcome.output == word)
  }

  @Test("a line feed in what goes to another node is refused")
  func lineFeed() { #expect(throws: FerryError.self) { try RemoteScript(RemoteScript.ferry(["agent", "--home", "/a\nb"])) } }
}
