@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import RunSupport
import TestSupport
import Testing

@Suite("Secrets between two hosts", .enabled(if: TestHosts.available)) struct CanaryTests {
  @Test("neither a secret nor a channel's key is in any argument, in a host's environment, in a file, a log or an event")
  func canary() async throws {
    let world = try World(hosts: ["a", "b"])
    let key = Hex.random(32)
    let secrets = ["variable": "canary-\(Hex.random(8))", "file": "canary-\(Hex.random(8))", "command": "canary-\(Hex.random(8))"]
    setenv("FERRY_TEST_CANARY", secrets["variable"] ?? "", 1)
    defer { unsetenv("FERRY_TEST_CANARY") }
    try world.folder.write("secret-file", secrets["file"] ?? "", mode: 0o600)
    try world.folder.write("secret-command", "#!/bin/sh\necho \(secrets["command"] ?? "")\n", mode: 0o755)
    let manifest = world.manifest {
      $0.state[0].secrets = [
        "one": .env("FERRY_TEST_CANARY"), "two": .file(world.folder("secret-file")), "three": .command([world.folder("secret-command")]),
      ]
    }
    let keys = Lock(0)
    var configuration = world.configuration
    configuration.newKey = {
      keys.withLock { $0 += 1 }
      return ChannelKey(hex: key)
    }
    let watcher = Watcher(for: Array(secrets.values) + [key], on: world.hosts?.hosts ?? [])
    let events = Collected<String>()
    let result = try await Ferry.Engine(configuration).run(manifest) { event in
      if let text = try? JSONValue.encode(event) { events.add(String(decoding: text, as: UTF8.self)) }
    }
    let (found, agents) = watcher.end()
    #expect(result.exit == .done, "\(result)")
    #expect(keys.withLock { $0 } > 1, "the key was used")
    #expect(agents > 1, "the hosts' processes were seen")
    #expect(found == [])
    for secret in Array(secrets.values) + [key] {
      #expect(!events.all.contains { $0.contains(secret) })
      // The journal, both hosts' records, caches and homes, and all logs lie here.
      let files = try Command(["grep", "-rl", "--exclude=secret-*", secret, world.folder.path]).run()
      #expect(files.output == "")
    }
  }

  /// Looks at all processes again and again, as `ps` does.
  private final class Watcher: Sendable {
    private let isOver = Lock(false)
    private let ended = Signal()
    private let found = Lock<Set<String>>([])
    private let agents = Lock<Set<Int32>>([])

    init(for words: [String], on hosts: [TestHost]) {
      Threads.detach { [self] in
        repeat {
          look(for: words, on: hosts)
          usleep(10_000)
        } while !isOver.withLock { $0 }
        ended.raise()
      }
    }

    /// What was found, and how many agents were seen on hosts.
    func end() -> (found: Set<String>, agents: Int) {
      isOver.withLock { $0 = true }
      ended.wait()
      return (found.withLock { $0 }, agents.withLock { $0.count })
    }

    private func look(for words: [String], on hosts: [TestHost]) {
      // Here the secret is in the environment of whoever has started ferry, and in nobody else's.
      let onHosts = Set(hosts.flatMap { $0.processes() })
      for pid in Files.names(in: "/proc").compactMap({ Int32($0) }) {
        let arguments = text(pid, "cmdline")
        if onHosts.contains(pid), arguments.contains("agent") { agents.withLock { _ = $0.insert(pid) } }
        let seen = arguments + (onHosts.contains(pid) ? text(pid, "environ") : "")
        for word in words where seen.contains(word) { found.withLock { _ = $0.insert("\(word) in process \(pid): \(arguments)") } }
      }
    }

    private func text(_ pid: Int32, _ file: String) -> String {
      String(decoding: (try? Files.read("/proc/\(pid)/\(file)")) ?? [], as: UTF8.self)
    }
  }
}
