import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// A label is an attribute as others are to a kernel without SELinux, so what Ferry does with it can be seen there.
@Suite(
  "SELinux labels",
  .enabled(if: TestEngine.available && !Files.exists("/sys/fs/selinux/enforce"), "under SELinux a label has to be the policy's"))
struct LabelTests {
  private func set(_ label: String, _ path: String) throws {
    let done = try Command(["setfattr", "--no-dereference", "--name", "security.selinux", "--value", label, path]).run()
    #expect(done.succeeded, "\(done.reason)")
  }

  private func label(_ path: String) throws -> String? {
    let found = try Command(["getfattr", "--absolute-names", "--only-values", "--name", "security.selinux", path]).run()
    return found.succeeded ? found.output : nil
  }

  private func fill(_ folder: String) throws {
    try Files.makeFolder("\(folder)/folder")
    try Descriptor.open("\(folder)/folder/file", O_WRONLY | O_CREAT).write([1])
    symlink("file", "\(folder)/folder/link")
    for path in ["", "/folder", "/folder/file", "/folder/link"] {
      try set("system_u:object_r:container_file_t:s0:c1,c2", "\(folder)\(path)")
    }
  }

  private func expectOwn(_ folder: String) throws {
    #expect(try label(folder) == "the target's")
    for path in ["/folder", "/folder/file", "/folder/link"] { #expect(try label("\(folder)\(path)") == nil) }
  }

  @Test("none of a volume's is carried, and what arrives has the target's own", arguments: TestEngine.Kind.allCases)
  func volume(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("labelled")
    for engine in [from, to] { try engine.run("volume", "create", name) }
    try fill(from.mountpoint(name))
    try set("the target's", to.mountpoint(name))
    let move = try Move("volume", (from, ["volume": .string(name)]), (to, ["volume": .string(name)]))
    #expect(try move.notices(.source) == [] && move.notices(.source, "warning") == [])
    try move.run()
    try expectOwn(to.mountpoint(name))
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination, full: true, target: "active"))
    try move.release()
  }

  @Test("none of a layer's is carried, and what arrives has the target's own", arguments: TestEngine.Kind.allCases)
  func layer(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Engines.name("labelled")
    for engine in [from, to] { try engine.run("create", "--name", name, "--network", "none", "box", "/bin/sh") }
    try fill(from.upper(name))
    try set("the target's", to.upper(name))
    let move = try Move("layer", (from, ["container": .string(name)]), (to, ["container": .string(name)]))
    try move.run()
    try expectOwn(to.upper(name))
    #expect(try move.harness.digest(.source, full: true) == move.harness.digest(.destination, full: true, target: "active"))
    try move.release()
  }
}
