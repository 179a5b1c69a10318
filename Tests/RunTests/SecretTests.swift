@testable import Ferry
import FerrySystem
import Testing
import RunSupport
import TestSupport

@Suite("A secret stays a secret") struct SecretTests {
  @Test("no file, log, event or output of a run holds a secret's value, however it was referred to")
  func canary() async throws {
    let world = try World()
    let canaries = ["env": "canary-a1b2c3", "file": "canary-d4e5f6", "command": "canary-0a9b8c"]
    try world.folder.write("secret-file", (canaries["file"] ?? "") + "\n", mode: 0o600)
    try world.folder.write("secret-command", "#!/bin/sh\necho \(canaries["command"] ?? "")\n", mode: 0o755)
    let secrets =
      "secrets: { one: { env: CANARY }, two: { file: '\(world.folder("secret-file"))' }, three: { command: ['\(world.folder("secret-command"))'] } }"
    let manifest = try world.manifestFile()
    try world.folder.write(
      "world.yaml", world.folder.read("world.yaml").replacing("provider: example-file", with: "provider: example-file\n    \(secrets)"))
    let outcome = try await Threads.run { try world.command(["run", manifest, "--json"], environment: ["CANARY": canaries["env"]]).run() }
    #expect(outcome.code == 0, "\(outcome.output) \(outcome.errors)")
    for value in canaries.values {
      #expect(!(outcome.output + outcome.errors).contains(value))
      let found = try Command(["grep", "-rl", value, world.folder("state"), world.folder("a"), world.folder("b")]).run()
      #expect(found.output == "", "\(value) lies in a file")
    }
  }

  @Test("a secret that cannot be found fails before anything is changed, and names the reference only")
  func missing() async throws {
    let world = try World()
    let manifest = world.manifest { $0.state[0].secrets = ["key": .env("FERRY_TEST_NO_SUCH_VARIABLE")] }
    let result = try? await world.run(manifest)
    #expect(result == nil || result?.exit == .auth)
    #expect(world.serves("a") && !Files.exists(world.folder("b/home")))
  }
}
