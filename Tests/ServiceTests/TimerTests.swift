@testable import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("A schedule on a systemd that runs", .enabled(if: !Manager.missing)) struct TimerTests {
  private let manager: Manager
  private var folder: TemporaryFolder { manager.folder }

  init() throws {
    manager = try Manager()
    try folder.write("password", "a word\n", mode: 0o600)
    try folder.write("site/file", "content")
    try folder.write("plugins/none", "")
    try Files.replace(folder("plugins/restic.so"), with: Files.read("\(Products.folder)/libferry-plugin-restic.so"), mode: 0o755)
    // A dump that waits to be told, so that a schedule is at work for as long as the test likes.
    try folder.write(
      "hooks/copy/source/10-dump",
      "#!/bin/sh\ncat > /dev/null\n: > '\(folder("dumping"))'\nwhile [ -e '\(folder("hold"))' ]; do sleep 0.1; done\n", mode: 0o755)
    for name in ["hooks", "hooks/copy", "hooks/copy/source"] { chmod(folder(name), 0o755) }
    try folder.write(
      "site.yaml",
      """
      ferry: 1
      name: site
      source: { node: local, name: a, home: a/home }
      destination: { node: local, name: b, home: b/home }
      hooks: hooks
      state:
        - name: site
          provider: restic
          from: { path: '\(folder("site"))' }
          to: { path: '\(folder("restored"))' }
          repository: '\(folder("vault"))'
          secrets: { password: { file: '\(folder("password"))' } }

      """)
  }

  /// `ferry` as a user of that manager has it.
  private func ferry(_ arguments: String...) throws -> Command.Outcome {
    try Command(
      [Products.ferry] + arguments,
      environment: manager.environment.mapValues { $0 }.merging(["FERRY_STATE": folder("state"), "FERRY_PLUGINS": folder("plugins")]) {
        $1
      },
      timeout: .seconds(120)
    ).run()
  }

  private func status() throws -> JSONValue { try JSONValue(parsing: try ferry("schedule", "list", "--json").output) }

  @Test(
    "its timer goes off, the backup is there, the list tells how it went and when it goes on, and a second one is told that it is busy: 11")
  func fires() async throws {
    try await Threads.run {
      try folder.write("hold", "")
      let added = try ferry("schedule", "add", "often", folder("site.yaml"), "--on-calendar", "*:*:0/20", "--user")
      try #require(added.code == 0, "\(added)")
      try waitFor("the timer to go off", seconds: 180) { Files.exists(folder("dumping")) }
      #expect(try manager.state("ferry-schedule-often.service") == "activating")
      let busy = try ferry("schedule", "run", "often")
      #expect(busy.code == 11 && busy.errors.contains("is at work already"), "\(busy)")
      let first = try ferry("schedule", "list").output
      #expect(first.contains("last  never") && first.contains("next  when what is at work has ended"), "\(first)")
      try Files.remove(folder("hold"))
      try waitFor("its end", seconds: 120) { try status()["last"] != nil }
      let last = try status()
      #expect(last["last"]?["exit"] == 0, "\(last)")
      let listed = try ferry("schedule", "list").output
      #expect(listed.contains("done") && listed.contains("often  *:*:0/20"), "\(listed)")
      try waitFor("a next run in the list") { try status()["next"]?.string?.isEmpty == false }
      let received = try ferry("receive", folder("site.yaml"), "--snapshot", "latest")
      #expect(received.code == 0, "\(received)")
      #expect(try folder.read("restored/file") == "content")

      let removed = try ferry("schedule", "remove", "often")
      #expect(removed.code == 0, "\(removed)")
      #expect(try manager.systemctl("show", "--property=LoadState", "--value", "ferry-schedule-often.timer").output == "not-found\n")
      #expect(Files.names(in: folder("config/systemd/user")).filter { $0.contains("ferry") } == [])
      #expect(try ferry("schedule", "list").output.contains("no schedule"))
    }
  }

  @Test("one that is off has no next run, and runs when it is told to; a backup that fails is what the list says")
  func off() async throws {
    try await Threads.run {
      let added = try ferry("schedule", "add", "off", folder("site.yaml"), "--on-calendar", "daily", "--user", "--disabled")
      try #require(added.code == 0, "\(added)")
      #expect(try status()["next"] == nil)
      #expect(try ferry("schedule", "list").output.contains("next  not by itself"))
      try Files.remove(folder("site"))
      let failed = try ferry("schedule", "run", "off")
      #expect(failed.code == 4, "\(failed)")
      let listed = try ferry("schedule", "list").output
      #expect(listed.contains("failed (4)"), "\(listed)")
      // It is switched on by being added again.
      #expect(try ferry("schedule", "add", "off", folder("site.yaml"), "--on-calendar", "daily", "--user").code == 0)
      #expect(try status()["next"]?.string?.contains("00:00:00") == true)
      #expect(try ferry("schedule", "add", "off", folder("site.yaml"), "--on-calendar", "whenever", "--user").code == 2)
    }
  }
}
