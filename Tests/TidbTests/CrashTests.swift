import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@testable import TidbBrPlugin

extension Tidb {
  /// SIGKILL for both ends at every act that changes something outside: each statement, each call of br and of TiCDC, just before and just after
  /// it had its effect. The contract stops there, so nothing depends on time.
  @Suite(.enabled(if: !Clusters.areReal, "needs the stand-in, and real clusters were given")) struct CrashTests {
    /// The acts of a whole run that follows, in their order.
    private static func acts() throws -> [String] {
      let migration = try Migration(mode: "follow")
      try migration.contract.control(["do": "pause", "event": 0, "when": "never"])
      try migration.run { try migration.write(10) }
      return try migration.contract.events
    }

    /// Runs until both ends are killed at an act; nil if the run does not have so many.
    private func killed(at number: Int, _ when: String) throws -> Migration? {
      let migration = try Migration(mode: "follow")
      try migration.contract.control(["do": "pause", "event": .int(Int64(number)), "when": .string(when)])
      let over = Lock(false)
      let done = Signal()
      Threads.detach {
        _ = try? migration.run()
        over.withLock { $0 = true }
        done.raise()
      }
      try waitFor("act \(number)") { try over.withLock { $0 } || migration.contract.control(["do": "paused"]) == true }
      let wasReached = try migration.contract.control(["do": "paused"]) == true
      if wasReached { migration.harness.killBoth() }
      try migration.contract.control(["do": "resume"])
      done.wait()
      migration.harness.killBoth()
      return wasReached ? migration : nil
    }

    @Test("a run that is killed at any act goes on in new processes, and nothing is done twice that must not be")
    func resumes() throws {
      let acts = try Self.acts()
      #expect(acts.count >= 12, "\(acts)")
      let activation = try #require(acts.firstIndex { $0.contains("DROP DATABASE IF EXISTS `ferry_follows`") })
      for number in 1...acts.count {
        guard let migration = try killed(at: number, "after") else { continue }
        let act = acts[number - 1]
        do {
          if number <= activation {
            try migration.harness.call(.source, .thaw)
            try migration.write(11)
            try migration.run { try migration.write(12) }
          } else {
            // What is proven is not copied again: only the end is done again.
            try migration.harness.call(.destination, .activate)
            for side in [Side.destination, .source] { try migration.harness.call(side, .release) }
          }
        } catch {
          Issue.record("after '\(act)': \(error)")
          continue
        }
        #expect(try migration.isEqual(), "after '\(act)'")
        #expect(try migration.residue() == nil, "after '\(act)'")
        // The pause began to count anew: what is counted is what both sessions did.
        let backups = try migration.contract.events.filter { $0.contains("br backup") }.count
        #expect(backups <= 1, "after '\(act)'")
      }
    }

    @Test("a statement that a killed process left running is ended before another begins", arguments: ["BACKUP", "RESTORE"])
    func leftBehind(_ verb: String) throws {
      let migration = try Migration(keys: ["tool": "sql"])
      let side = verb == "BACKUP" ? "source" : "target"
      try migration.contract.defect(side, ["slow": 20])
      Threads.detach { _ = try? migration.run() }
      func isRunning() throws -> Bool {
        try migration.contract.look(side)["running"]?.array?.contains { $0.string?.hasPrefix(verb) == true } == true
      }
      // With its first table done it has read how slow it is to be.
      try waitFor(verb) {
        try migration.contract.look(side)["tasks"]?.array?.contains { task in
          if case .double(let percent)? = task.array?.last { percent > 0 } else { false }
        } == true
      }
      migration.harness.killBoth()
      #expect(try isRunning())
      try migration.contract.defect(side, ["slow": .null])
      try migration.run()
      #expect(try migration.isEqual())
      #expect(try !isRunning())
      #expect(try migration.contract.events.contains { $0.hasPrefix("\(side): KILL TIDB QUERY") })
      #expect(try migration.residue() == nil)
    }

    @Test("a run that is killed before any act goes back in new processes, and the source is as it was")
    func goesBack() throws {
      let acts = try Self.acts()
      // Just before an act is just after the one before it: every second of these places is also one of the other test.
      for number in stride(from: 1, through: acts.count, by: 2) {
        guard let migration = try killed(at: number, "before") else { continue }
        try migration.undo()
        #expect(try migration.residue() == nil, "before '\(acts[number - 1])'")
        #expect(try migration.contract.variable("source", "tidb_restricted_read_only") == "OFF", "before '\(acts[number - 1])'")
        #expect(try migration.contract.rows("target") == [:], "before '\(acts[number - 1])'")
        #expect(try migration.contract.rows("source").object?.count == 3)
      }
    }
  }
}
