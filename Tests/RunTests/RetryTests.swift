@testable import Ferry
import FerrySystem
import Glibc
import RunSupport
import TestSupport
import Testing

@Suite("`retry:` waits for what waiting can mend") struct RetryTests {
  @Test("a node that is lost, and when it is found again refuses, is not waited for")
  func refused() async throws {
    let world = try World()
    // A ferry of another release: what it says is no passing trouble.
    let program = try world.folder.write(
      "ferry",
      "#!/bin/sh\n[ -e '\(world.folder("other"))' ] && { echo 'ferry: Exec format error' >&2; exit 126; }\nexec '\(Products.ferry)' \"$@\"\n",
      mode: 0o755)
    let engine = try Engine(
      Engine.Configuration(executable: program, stateFolder: world.folder("state"), pluginFolders: [world.folder("plugins")]))
    let session = try engine.start(
      .run(
        world.manifest {
          $0.retry = .seconds(3600)
          $0.cutover.holdBefore = [.quiesce]
        }))
    while let event = session.next(), event.kind != .waiting {}
    try world.folder.write("other", "")
    for pid in world.processes() { kill(pid, SIGKILL) }
    try waitFor("all agents to be gone") { world.processes().isEmpty }
    // A run that waits may have seen it already.
    try? engine.proceed(session.run)
    var tries = 0
    while let event = session.next() { tries += event.kind == .notice && event.text?.contains("trying again") == true ? 1 : 0 }
    let result = try await session.result
    // The loss itself is worth one more try; the refusal is not.
    #expect(tries == 1)
    #expect(result.exit == .incomplete && result.error?.class == .unsupported, "\(result)")
    try Files.remove(world.folder("other"))
    #expect(try await engine.rollback(session.run).status == .undone)
    #expect(try world.complaints(serving: "a") == [])
  }
}
