import FerryEngine
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

extension DistantTests {
  /// In turn with those of volumes: they share two engines and count what is left there.
  @Suite("Containers that help") struct Helpers {
    @Test(
      "what a killed process has left is gone when the next one asks the engine; a living one's and another machine's stay",
      arguments: TestEngine.Kind.allCases)
    func left(_ kind: TestEngine.Kind) throws {
      let engine = try DistantTests.the(kind)
      let living = Helper.name
      var parts = living.split(separator: "-").map(String.init)
      // The number of this process, and a start that was not its own.
      parts[4] = "1"
      let dead = parts.joined(separator: "-")
      parts[2] = "cafe"
      let strange = parts.joined(separator: "-")
      parts[5] += "0"
      (parts[2], parts[4]) = (living.split(separator: "-").map(String.init)[2], "1")
      let imageOnly = parts.joined(separator: "-")
      for name in [living, dead, strange, imageOnly] {
        try engine.run("import", TestEngine.image(), "localhost/\(name):latest")
        if name != imageOnly { try engine.run("create", "--network", "none", "--name", name, "localhost/\(name):latest", "/none") }
      }
      func names(_ arguments: String...) throws -> Set<String> {
        Set(try engine.run(arguments).split(separator: "\n").map(String.init)).filter { $0.contains("ferry-helper") }
      }
      #expect(try names("ps", "--all", "--format", "{{.Names}}").count == 3)
      #expect(try names("images", "--format", "{{.Repository}}").count == 4)
      let move = try Move("volume", (engine, ["volume": "none"]), (engine, ["volume": "none", "engine": .string(engine.network)]))
      _ = try move.notices(.destination)
      #expect(try names("ps", "--all", "--format", "{{.Names}}") == [living, strange])
      #expect(try names("images", "--format", "{{.Repository}}") == ["localhost/\(living)", "localhost/\(strange)"])
      for name in [living, strange] {
        try engine.run("rm", name)
        try engine.run("rmi", "localhost/\(name):latest")
      }
    }
  }
}
