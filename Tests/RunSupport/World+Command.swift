@testable import Ferry
import FerrySystem
import Glibc
import TestSupport

/// The same world through the `ferry` command: processes that can be killed.
extension World {
  /// The manifest as a file.
  package func manifestFile(_ mode: String = "move", extra: String = "") throws -> String {
    func act(_ name: String) -> String { "[/bin/sh, -c, 'exec \"$SERVICE\" \"$END\" \(name)']" }
    return try folder.write(
      "world.yaml",
      """
      ferry: 1
      name: world
      mode: \(mode)
      source: \(place("a"))
      destination: \(place("b"))
      services:
        - name: ledger
          command: { stop: \(act("stop")), start: \(act("start")), status: \(act("status")), hold: \(act("hold")), release: \(act("release")) }
          healthy: \(act("status"))
          source: { environment: { SERVICE: '\(folder("service"))', END: a } }
          destination: { environment: { SERVICE: '\(folder("service"))', END: b } }
      state:
        - name: ledger
          provider: example-file
          from: { file: '\(folder("a/ledger"))' }
          to: { file: '\(folder("b/ledger"))' }
      \(extra)

      """)
  }

  private func place(_ name: String) -> String {
    let node = node(name)
    return "{ node: '\(node.node)', name: \(name)\(node.home == nil ? "" : ", home: \(name)/home") }"
  }

  package func command(_ arguments: [String], environment: [String: String?] = [:]) -> Command {
    var command = Command([Products.ferry] + arguments, environment: environment, timeout: .seconds(240))
    command.environment["FERRY_STATE"] = folder("state")
    command.environment["FERRY_PLUGINS"] = folder("plugins")
    command.environment["FERRY_SSH_CONFIG"] = configuration.sshConfig
    command.output = .capture(limit: 1 << 20)
    command.errors = .capture(limit: 1 << 16)
    return command
  }

  /// Runs `ferry` and waits for it.
  @discardableResult package func ferry(_ arguments: String..., fault: String? = nil) throws -> Command.Outcome {
    try command(arguments, environment: ["FERRY_FAULT": fault]).run()
  }

  /// Runs `ferry`, which waits at the first point of that name for `meanwhile`; `afterwards` is done while it goes on. Answers how it ended.
  package func ferry(
    _ arguments: String..., at point: String, _ meanwhile: @escaping @Sendable () throws -> Void,
    afterwards: @escaping @Sendable () throws -> Void = {}
  ) throws -> Command.Outcome {
    let hold = folder("hold-\(Hex.random(4))")
    let command = command(arguments, environment: ["FERRY_FAULT": "hold:\(hold)@\(point)"])
    let ended = Lock<Command.Outcome?>(nil)
    _ = try Threads.map([true, false]) { isFerry in
      if isFerry {
        let outcome = try command.run()
        return ended.withLock { $0 = outcome }
      }
      try waitFor("ferry to reach \(point)", seconds: 120) { Files.exists(hold) || ended.withLock { $0 != nil } }
      guard Files.exists(hold) else { return }
      do { try meanwhile() } catch {
        try? Files.remove(hold)
        throw error
      }
      try Files.remove(hold)
      try afterwards()
    }
    guard let outcome = ended.withLock({ $0 }) else { throw FerryError(.internal, "ferry did not end") }
    return outcome
  }

  /// Whether the one run of this world has said these words.
  package func hasSaid(_ words: String) throws -> Bool {
    guard let run = try onlyRun() else { return false }
    return ((try? folder.read("state/runs/\(run.id)/events.jsonl")) ?? "").contains(words)
  }

  /// Runs `ferry` on a node that is a host, as a person there does.
  package func ferry(on name: String, _ arguments: String...) throws -> Command.Outcome {
    guard let host = try hosts?[name] else { throw FerryError(.internal, "\(name) is no host") }
    return try host.command(["/usr/local/bin/ferry"] + arguments).run()
  }

  /// The one run of this world.
  package func onlyRun() throws -> RunEntry? { try SQLiteJournal(path: folder("state/journal.sqlite")).runs().first }

  /// Processes that mention this world: agents, hosts and watchdogs that nobody has ended.
  package func processes() -> [Int32] {
    Files.names(in: "/proc").compactMap { Int32($0) }.filter { pid in
      // Cheap first: most processes of a machine are not ferry's.
      guard let name = try? Files.read("/proc/\(pid)/comm"), name == Array("ferry\n".utf8), ProcessIdentity(pid: pid) != nil else {
        return false
      }
      return ["cmdline", "environ"].contains { kind in
        let bytes = (try? Files.read("/proc/\(pid)/\(kind)")) ?? []
        return String(decoding: bytes, as: UTF8.self).contains(folder.path)
      }
    }
  }
}
