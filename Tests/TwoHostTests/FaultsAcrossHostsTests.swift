import FerrySystem
import HostSupport
import RunSupport
import Testing

/// The matrix of RunTests with a host for each node. What begins a phase is struck in any case, every point with FERRY_ALL_POINTS=1.
@Suite("Whatever dies on two hosts", .serialized, .enabled(if: TestHosts.available)) struct FaultsAcrossHostsTests {
  @Test("the run, a resume or a rollback ends with one end serving all that was accepted", arguments: FaultMatrix.Victim.allCases)
  func move(victim: FaultMatrix.Victim) async throws {
    let matrix = FaultMatrix(victim, hosts: ["a", "b"], sampled: Environment.all["FERRY_ALL_POINTS"] == nil)
    let complaints = try await Threads.run { try matrix.complaints() }
    #expect(complaints == [])
  }
}
