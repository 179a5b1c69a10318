import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("Exit codes are frozen") struct ExitCodeTests {
  @Test("0: a run that is done, with a summary of what its receipt proves")
  func done() throws {
    let desk = try Desk(service: true)
    let outcome = try desk.ferry("run", desk.manifest, "--max-downtime", "30s")
    #expect(outcome.code == 0, "\(outcome.errors)")
    #expect(outcome.output.contains("[9/9] retire    done"))
    #expect(outcome.output.contains("moved settings to b   downtime "))
    #expect(outcome.output.contains("(budget 30s): stop "))
    #expect(outcome.output.contains("verified 1 of 1 entry, 0 differ, 0 missing   sent "))
    #expect(outcome.output.contains("receipt  run \(try desk.newest()) · ferry verify "))
    #expect(outcome.errors == "")
    #expect(!Files.exists(desk.folder("a/data")) && Files.exists(desk.folder("b/data")))
  }

  @Test("1: a run that failed, and the source serves as before")
  func failed() throws {
    let desk = try Desk(service: true)
    try desk.folder.write("a-stop-fails", "")
    let outcome = try desk.ferry("run", desk.manifest)
    #expect(outcome.code == 1, "\(outcome.errors)")
    #expect(outcome.output.contains("[4/9] quiesce   failed: "))
    #expect(outcome.errors.hasPrefix("error: ") && outcome.errors.contains("the source serves as before"))
    #expect(Files.exists(desk.folder("a.serves")) && !Files.exists(desk.folder("b/data")))
  }

  @Test(
    "2: a command that is used wrongly",
    arguments: [
      ["frob"], ["run"], ["run", "m", "--set", "x"], ["run", "m", "--max-downtime", "soon"], ["status", "--follow"],
      ["run", "m", "--hold-before", "lunch"],
    ])
  func usage(arguments: [String]) throws {
    let outcome = try Desk().run([Products.ferry] + arguments)
    #expect(outcome.code == 2)
    #expect(outcome.errors.hasPrefix("error: ") && outcome.errors.contains("Usage: ferry") && outcome.output == "")
  }

  @Test("2: a bad manifest, every error with its line and a caret")
  func badManifest() throws {
    let desk = try Desk(more: "frob: 1\nlimits: { parallel: -1 }\n")
    let outcome = try desk.ferry("run", desk.manifest)
    #expect(outcome.code == 2)
    #expect(outcome.errors.contains("move.yaml:11:1: unknown key 'frob'"), "\(outcome.errors)")
    #expect(outcome.errors.contains("frob: 1\n") && outcome.errors.contains("\n^^^^\n"))
    #expect(outcome.errors.contains("move.yaml:12:"))
    #expect(outcome.errors.hasSuffix("error: the manifest has 2 errors; nothing was changed\n"))
    let result = try #require(try desk.ferry("check", desk.manifest, "--json").lines().last)
    #expect(result["exit"] == 2 && result["diagnostics"]?.array?.count == 2)
  }

  @Test("2: a wait before a phase that the mode does not have")
  func noSuchPhase() throws {
    let desk = try Desk(mode: "copy")
    let outcome = try desk.ferry("run", desk.manifest, "--hold-before", "seal")
    #expect(outcome.code == 2 && outcome.errors.contains("a run in mode 'copy' has no such phase"), "\(outcome.errors)")
  }

  @Test("4: a check that found an error, and nothing is changed")
  func checkFailed() throws {
    let desk = try Desk()
    try Files.remove(desk.folder("a/data"))
    for act in ["check", "plan", "run"] {
      let outcome = try desk.ferry(act, desk.manifest)
      #expect(outcome.code == 4, "\(act): \(outcome.errors)")
      #expect(outcome.errors.hasPrefix("error: ") && outcome.errors.contains("nothing was changed"))
    }
  }

  @Test("5: a run that stops once the destination serves; resume finishes it")
  func resumable() throws {
    let desk = try Desk()
    let running = try desk.start("run", desk.manifest, "--hold-before", "retire")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let (run, data) = (try desk.newest(), try desk.folder.read("a/data"))
    // What was received is not what is about to be removed.
    try desk.folder.write("a/data", "changed after the seal\n")
    #expect(try desk.ferry("proceed", run).code == 0)
    #expect(running.child.wait() == 5, "\(running.told)")
    #expect(running.told.contains("run \(run) can be resumed") && running.told.contains("`ferry resume \(run)`"))
    try desk.folder.write("a/data", data)
    let again = try desk.start("resume", run)
    try waitFor("the run to wait") { try again.output().contains("waiting for a person") }
    #expect(try desk.ferry("proceed", run).code == 0)
    #expect(again.child.wait() == 0, "\(again.told)")
    #expect(try again.output().contains("moved settings to b"))
    #expect(try desk.ferry("resume", run).code == 4)
  }

  @Test("6: a destination that is not what was received any more")
  func mismatch() throws {
    let desk = try Desk()
    #expect(try desk.ferry("run", desk.manifest).code == 0)
    let run = try desk.newest()
    #expect(try desk.ferry("verify", run).code == 0)
    try desk.folder.write("receipt.json", try desk.ferry("receipt", run).output)
    try desk.folder.write("b/data", "something else\n")
    let outcome = try desk.ferry("verify", desk.folder("receipt.json"))
    #expect(outcome.code == 6)
    #expect(outcome.output.contains("file: not as received") && outcome.errors.hasPrefix("error: 1 of 1 items is not what run"))
  }

  @Test("a receipt is enough to verify by, on the destination itself as well, and its machine is not taken for another")
  func elsewhere() throws {
    let desk = try Desk()
    #expect(try desk.ferry("run", desk.manifest).code == 0)
    let receipt = try desk.ferry("receipt", try desk.newest()).output
    try desk.folder.write("receipt.json", receipt)
    try Files.remove(desk.folder("state"))
    let outcome = try desk.ferry("verify", desk.folder("receipt.json"))
    #expect(outcome.code == 0 && outcome.output == "file: 1 entry, all as received\n", "\(outcome.errors)")
    let host = try #require(try JSONValue(parsing: receipt)["destination"]?["host"]?.string)
    try desk.folder.write("receipt.json", receipt.replacing("\"host\" : \"\(host)\"", with: "\"host\" : \"elsewhere\""))
    let stranger = try desk.ferry("verify", desk.folder("receipt.json"))
    #expect(stranger.code == 4 && stranger.errors.contains("was received on elsewhere, and this is \(host)"), "\(stranger.errors)")
    #expect(try desk.ferry("verify", desk.folder("receipt.json"), "--node", "local").code == 0)
    try desk.folder.write("b/data", "something else\n")
    #expect(try desk.ferry("verify", desk.folder("receipt.json"), "--node", "local").code == 6)
  }

  @Test("7: a source that could not be brought back: a person is needed, and rollback is the way")
  func incomplete() throws {
    let desk = try Desk(service: true)
    try desk.folder.write("a-start-fails", "")
    let running = try desk.start("run", desk.manifest, "--hold-before", "verify")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let run = try desk.newest()
    #expect(try desk.ferry("cancel", run).code == 0)
    #expect(running.child.wait() == 7, "\(running.told)")
    let said = try running.errors()
    #expect(said.contains("still to do: ") && said.contains("ferry rollback \(run)"))
    #expect(try desk.ferry("cleanup", run).code == 4)
    try Files.remove(desk.folder("a-start-fails"))
    let back = try desk.ferry("rollback", run)
    #expect(back.code == 0 && Files.exists(desk.folder("a.serves")), "\(back.errors)")
  }

  @Test(
    "10: a run that there is not",
    arguments: ["status", "logs", "resume", "rollback", "cancel", "proceed", "cutover", "receipt", "verify", "cleanup", "unlock"])
  func notFound(command: String) throws {
    let outcome = try Desk().ferry(command, "nope")
    #expect(outcome.code == 10)
    #expect(outcome.errors.hasPrefix("error: ") && outcome.errors.contains("run 'nope'"))
  }

  @Test("11: a target that another run owns; unlock tells whose it is and keeps what is alive")
  func locked() throws {
    let desk = try Desk()
    let running = try desk.start("run", desk.manifest, "--hold-before", "copy")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let run = try desk.newest()
    let second = try desk.ferry("run", desk.manifest)
    #expect(second.code == 11, "\(second.errors)")
    #expect(second.errors.contains("belongs to run \(run)") && second.errors.contains("nothing was changed"))
    let asked = try desk.ferry("unlock", run)
    #expect(asked.code == 2 && asked.output.contains("which is alive") && asked.errors.contains("--yes"))
    #expect(try desk.ferry("unlock", run, "--yes").code == 11)
    #expect(try desk.ferry("proceed", run).code == 0)
    #expect(running.child.wait() == 0, "\(running.told)")
  }

  @Test("130: Ctrl-C takes the run back", arguments: [SIGINT, SIGTERM])
  func interrupted(signal: Int32) throws {
    let desk = try Desk(service: true)
    let running = try desk.start("run", desk.manifest, "--hold-before", "verify")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    running.send(signal)
    #expect(running.child.wait() == 130, "\(running.told)")
    #expect(try running.errors().contains("the source serves as before"))
    #expect(Files.exists(desk.folder("a.serves")) && !Files.exists(desk.folder("b/data")))
  }

  @Test("5: a second Ctrl-C leaves at once, and says how to go on")
  func leftAtOnce() throws {
    let desk = try Desk(service: true)
    let running = try desk.start("run", desk.manifest, "--hold-before", "verify")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let run = try desk.newest()
    try desk.folder.write("a-start-waits", "")
    running.send(SIGINT)
    try waitFor("the run to go back") { Files.exists(desk.folder("a-start-asked")) }
    running.send(SIGINT)
    #expect(running.child.wait() == 5)
    #expect(try running.errors().contains("`ferry resume \(run)` goes on, `ferry rollback \(run)` undoes it"))
    try Files.remove(desk.folder("a-start-waits"))
    #expect(try desk.ferry("status", run).output.contains("interrupted"))
    #expect(try desk.ferry("rollback", run).code == 0)
    #expect(Files.exists(desk.folder("a.serves")))
  }
}
