import FerrySystem
import RunSupport
import Testing

/// SIGKILL at every point of the journal, one point a run. Across hosts the same is in TwoHostTests.
@Suite("Whatever dies, at whatever point", .serialized) struct FaultTests {
  @Test("the run, a resume or a rollback ends with one end serving all that was accepted", arguments: FaultMatrix.Victim.processes)
  func move(victim: FaultMatrix.Victim) async throws { try await expectNoComplaints(FaultMatrix(victim)) }

  @Test("a copy that loses its controller leaves the source serving")
  func copy() async throws { try await expectNoComplaints(FaultMatrix(.controller, mode: "copy")) }

  @Test("a compensation that loses its controller is finished by the next session")
  func compensation() async throws { try await expectNoComplaints(FaultMatrix(.controller, failing: true)) }

  private func expectNoComplaints(_ matrix: FaultMatrix) async throws {
    let complaints = try await Threads.run { try matrix.complaints() }
    #expect(complaints == [])
  }
}
