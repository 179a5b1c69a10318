import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// A tree that is in use while it is moved.
@Suite struct BusyTests {
  @Test("hot passes go on over files that vanish; the final one is exact")
  func vanishing() throws {
    let folder = try TemporaryFolder()
    for number in 0..<300 { try folder.write("a/state/\(number / 50)/\(number)", "x") }
    try Files.makeFolder(folder("b"))
    let harness = try Harness(
      product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(folder("a/state"))],
      to: ["path": .string(folder("b/state"))])
    try harness.prepare()
    let over = Lock(false)
    let done = Signal()
    let root = folder("a/state")
    Threads.detach {
      var number = 0
      while !over.withLock({ $0 }) {
        number += 1
        let path = "\(root)/\(number % 6)/busy\(number % 500)"
        if number % 3 == 0 { unlink(path) } else { close(open(path, O_WRONLY | O_CREAT, 0o600)) }
      }
      done.raise()
    }
    for _ in 0..<4 { try harness.pass() }
    over.withLock { $0 = true }
    done.wait()
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
  }

  @Test("vanished files are counted in a hot pass and an error in the final one; unreadable ones are named", arguments: [24, 23])
  func losses(_ code: Int) throws {
    let folder = try TemporaryFolder()
    try folder.write("a/state/file", "x")
    try Files.makeFolder(folder("b"))
    // rsync as ever, but with a loss at the source: a real one cannot be timed.
    let real = try Command(["which", "rsync"]).run().output.split(separator: "\n").first.map(String.init) ?? ""
    let said =
      code == 24 ? "file has vanished: \"/x/gone\"" : "rsync: [sender] send_files failed to open \"/x/shut\": Permission denied (13)"
    try folder.write(
      "bin/rsync", "#!/bin/sh\n\(real) \"$@\" || exit\ncase \"$*\" in *--info=progress2*) echo '\(said)' >&2; exit \(code);; esac\n",
      mode: 0o755)
    let harness = try Harness(
      product: "rsync", provider: "rsync", folder: folder, from: ["path": .string(folder("a/state"))],
      to: ["path": .string(folder("b/state"))],
      programs: folder("bin"))
    try harness.prepare()
    let sent = try harness.pass().sent
    #expect(sent["vanished"]?.int == (code == 24 ? 1 : 0))
    #expect(sent["unread"] == (code == 23 ? ["/x/shut"] : nil))
    let error = failure { try harness.pass(final: true) }
    #expect(error?.class == .io)
    #expect(error?.message.contains("code \(code)") == true)
  }
}
