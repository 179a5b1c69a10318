import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("Output is for who reads it") struct OutputTests {
  @Test("what is no terminal gets lines: no carriage return, no escape")
  func plain() throws {
    let desk = try Desk(service: true)
    let outcome = try desk.ferry("run", desk.manifest)
    #expect(outcome.code == 0)
    #expect(!outcome.output.utf8.contains(13) && !outcome.output.utf8.contains(27))
  }

  @Test("a terminal has its last line rewritten in place, and it is left clean")
  func terminal() throws {
    let desk = try Desk(service: true)
    let outcome = try desk.run(Self.pty + [Products.ferry, "run", desk.manifest])
    #expect(outcome.code == 0)
    #expect(outcome.output.contains("\r[1/9] check     …\u{1B}[K"), "\(outcome.output)")
    #expect(outcome.output.contains("\r\u{1B}[K[1/9] check     done"))
    #expect(outcome.output.contains("moved settings to b"))
  }

  @Test("a dumb terminal is not rewritten")
  func dumb() throws {
    let desk = try Desk(service: true)
    let outcome = try desk.run(["/usr/bin/env", "TERM=dumb"] + Self.pty + [Products.ferry, "run", desk.manifest])
    #expect(outcome.code == 0)
    #expect(!outcome.output.utf8.contains(27) && outcome.output.contains("[1/9] check     done"))
  }

  private static let pty = [
    "/usr/bin/python3", "-c", "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))",
  ]

  @Test("--json is one object a line: the events, then the result")
  func events() throws {
    let desk = try Desk(service: true)
    let outcome = try desk.ferry("run", desk.manifest, "--json")
    let lines = try outcome.lines()
    #expect(lines.first?["kind"] == "session" && lines.last?["kind"] == "result")
    #expect(lines.last?["exit"] == 0 && lines.last?["status"] == "done" && lines.last?["receipt"]?["name"] == "settings")
    let began = lines.filter { $0["kind"] == "phase-began" }.compactMap { $0["phase"]?.string }
    #expect(began == ["check", "prepare", "copy", "quiesce", "final", "verify", "seal", "activate", "retire"])
    #expect(lines.allSatisfy { $0["kind"]?.string != nil && $0["run"] != nil })
    let run = try #require(lines.last?["run"]?.string)
    let logged = try desk.ferry("logs", run, "--json").lines()
    #expect(logged == lines.dropLast().filter { $0["kind"] != "progress" })
  }

  @Test("--json holds for every command, also where it fails")
  func everyCommand() throws {
    let desk = try Desk(service: true)
    #expect(try desk.ferry("check", desk.manifest, "--json").lines().last?["report"]?["items"]?.array?.count == 1)
    #expect(try desk.ferry("plan", desk.manifest, "--json").lines().last?["phases"]?.array?.count == 9)
    #expect(try desk.ferry("run", desk.manifest, "--json").lines().last?["exit"] == 0)
    let run = try desk.newest()
    #expect(try desk.ferry("status", run, "--json").lines() == [desk.ferry("history", "--json").lines()[0]])
    #expect(try desk.ferry("receipt", run, "--json").lines().first?["run"]?.string == run)
    #expect(try desk.ferry("verify", run, "--json").lines().first?["items"]?.array?.count == 1)
    #expect(try desk.ferry("plugins", "list", "--json").lines().first?["module"]?["name"] == "ExampleFile")
    #expect(try desk.ferry("plugins", "describe", "example-file", "--json").lines().first?["id"] == "example-file")
    #expect(try desk.ferry("node", "status", "--home", desk.folder("b/ferry"), "--json").lines().first?["state"] == "active")
    #expect(try desk.ferry("schema", "--json").lines().first?["properties"]?["state"] != nil)
    #expect(try desk.ferry("cleanup", run, "--json").lines() == [["kind": "result", "exit": 0, "run": .string(run)]])
    for wrong in [["status", "nope"], ["run"], ["node", "unseal", "nope"]] {
      let outcome = try desk.run([Products.ferry] + wrong + ["--json"])
      let last = try #require(try outcome.lines().last)
      #expect(last["exit"]?.int == Int64(outcome.code) && last["error"]?["message"] != nil)
    }
  }

  @Test("a reader that goes away, or a stdout that is closed, ends the output and not the run")
  func closedOutput() throws {
    for shell in ["\"$0\" run \"$1\" | head -n 1; exit ${PIPESTATUS[0]}", "\"$0\" run \"$1\" >&-"] {
      let desk = try Desk(service: true)
      let outcome = try desk.run(["/bin/bash", "-c", shell, Products.ferry, desk.manifest])
      #expect(outcome.code == 0, "\(outcome.errors)")
      #expect(Files.exists(desk.folder("b.serves")) && !Files.exists(desk.folder("a/data")))
    }
  }

  @Test("status --follow shows a run of another process to its end, and exits as it ends")
  func follow() throws {
    let desk = try Desk()
    let running = try desk.start("run", desk.manifest, "--hold-before", "copy")
    try waitFor("the run to wait") { try running.output().contains("waiting for a person") }
    let run = try desk.newest()
    #expect(try desk.ferry("status").output.contains(run))
    #expect(try desk.ferry("status", run).output.contains("waiting     before copy; `ferry proceed \(run)` goes on"))
    let watching = try desk.start("status", run, "--follow")
    try waitFor("the watcher to see it") {
      try watching.output().contains("[3/9] copy      waiting for a person; `ferry proceed \(run)` goes on")
    }
    #expect(try desk.ferry("proceed", run).code == 0)
    #expect(running.child.wait() == 0)
    #expect(watching.child.wait() == 0)
    let seen = try watching.output()
    #expect(seen.contains("[9/9] retire    done") && seen.contains("moved settings to b"))
    #expect(try desk.ferry("proceed", run).code == 4)
  }

  @Test("check and plan tell what they saw, and that nothing was changed")
  func dry() throws {
    let desk = try Desk(service: true)
    let check = try desk.ferry("check", desk.manifest)
    #expect(check.code == 0 && check.output.hasSuffix("settings can be run; nothing was changed\n"), "\(check.output)")
    let plan = try desk.ferry("plan", desk.manifest, "--hold-before", "final", "--max-downtime", "5m")
    #expect(
      plan.output.contains("(wait) final") && plan.output.contains("more than 5m00s aborts")
        && plan.output.hasSuffix("nothing was changed\n"))
    #expect(!Files.exists(desk.folder("b/data")) && !Files.exists(desk.folder("b/ferry/runs")))
    #expect(try desk.ferry("history").output == "there are no runs yet\n")
  }
}
