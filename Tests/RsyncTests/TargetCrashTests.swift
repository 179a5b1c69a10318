import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// A crash between any two steps of the target's swap, made by putting the file system into that state by hand.
@Suite struct TargetCrashTests {
  let folder: TemporaryFolder
  let harness: Harness
  var holder: String { folder("b/.state.ferry-run1") }
  var target: String { folder("b/state") }

  init() throws {
    folder = try TemporaryFolder()
    try folder.write("a/state/file", "new")
    try folder.write("b/state/file", "old")
    harness = try Harness(
      product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(folder("a/state"))],
      to: ["path": .string(folder("b/state"))],
      keys: ["replace": true])
    _ = try harness.moveUntilVerified()
    harness.killBoth()
  }

  static let states = ["received", "swapped", "old aside", "old aside, new in place"]

  private func arrange(_ state: String) throws {
    switch state {
    case "swapped": try harness.call(.destination, .activate)
    case "old aside": rename(target, "\(holder)/before")
    case "old aside, new in place":
      rename(target, "\(holder)/before")
      rename("\(holder)/tree", target)
    default: break
    }
    harness.killBoth()
  }

  @Test("activate goes on from there", arguments: states)
  func activates(_ state: String) throws {
    try arrange(state)
    for _ in 0..<2 { try harness.call(.destination, .activate) }
    #expect(try folder.read("b/state/file") == "new")
    try harness.call(.destination, .release)
    #expect(Files.names(in: folder("b")) == ["state"])
  }

  @Test("deactivate and discard go back from there", arguments: states)
  func goesBack(_ state: String) throws {
    try arrange(state)
    try harness.call(.destination, .deactivate)
    harness.killBoth()
    #expect(try folder.read("b/state/file") == "old")
    #expect(try harness.digest(.destination) == harness.digest(.source))
    for _ in 0..<2 { try harness.call(.destination, .discard) }
    #expect(try folder.read("b/state/file") == "old")
    #expect(Files.names(in: folder("b")) == ["state"])
  }

  @Test("discard alone goes back from there", arguments: states)
  func discards(_ state: String) throws {
    try arrange(state)
    try harness.call(.destination, .discard)
    #expect(try folder.read("b/state/file") == "old")
    #expect(Files.names(in: folder("b")) == ["state"])
  }
}
