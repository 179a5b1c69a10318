@testable import Ferry
import FerrySystem
import Testing
import RunSupport
import TestSupport

@Suite("A run that is done can be rolled back for as long as its manifest says") struct RollbackTests {
  /// A copy onto a file that is there already, without services.
  private func done(in world: World, _ change: (inout Manifest) -> Void = { $0.services = [] }) async throws -> RunResult {
    try world.folder.write("b/ledger", "before\n")
    let result = try await world.run(
      world.manifest(.copy) {
        $0.rollbackFor = .seconds(7 * 86400)
        change(&$0)
      })
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.folder.read("b/ledger").contains("first"))
    return result
  }

  @Test("what was there before is back, and nothing is left")
  func back() async throws {
    let world = try World()
    let result = try await done(in: world)
    let until = try #require(result.receipt?.rollbackUntil)
    #expect(until > (result.receipt?.ended ?? until))
    let undone = try await world.engine.rollback(result.run)
    #expect(undone.status == .undone && undone.exit == .done, "\(undone.remaining)")
    #expect(try world.folder.read("b/ledger") == "before\n")
    #expect(Files.names(in: world.folder("b")).filter { $0 != "home" } == ["ledger"])
    #expect(NodeStore(home: world.home("b")).locks(of: result.run).isEmpty)
  }

  @Test("what has changed since is not thrown away without leave")
  func changed() async throws {
    let world = try World()
    let result = try await done(in: world)
    try world.folder.write("b/ledger", "first\nand more\n")
    let refused = try await world.engine.rollback(result.run)
    #expect(refused.error?.class == .conflict)
    #expect(try world.engine.find(result.run).status == .done)
    #expect(try world.folder.read("b/ledger") == "first\nand more\n")
    let undone = try await world.engine.rollback(result.run, discardDestinationWrites: true)
    #expect(undone.status == .undone, "\(undone.remaining)")
    #expect(try world.folder.read("b/ledger") == "before\n")
  }

  @Test("a destination that serves goes on serving, unless its writes may go")
  func serving() async throws {
    let world = try World()
    let result = try await done(in: world) { _ in }
    let refused = try await world.engine.rollback(result.run)
    #expect(refused.error?.class == .conflict)
    #expect(world.serves("b") && world.serves("a"))
    let undone = try await world.engine.rollback(result.run, discardDestinationWrites: true)
    #expect(undone.status == .undone, "\(undone.remaining)")
    #expect(!world.serves("b") && world.serves("a"))
    #expect(try world.folder.read("b/ledger") == "before\n")
  }

  @Test("until then nobody else gets the target; cleanup gives up the way back, and it")
  func cleanup() async throws {
    let world = try World()
    let result = try await done(in: world)
    let second = try await world.run(world.manifest(.copy) { $0.services = [] })
    #expect(second.exit == .locked)
    try await world.engine.cleanup(result.run)
    #expect(Files.names(in: world.folder("b")).filter { $0 != "home" } == ["ledger"])
    await #expect(throws: FerryError.self) { try await world.engine.rollback(result.run) }
    let third = try await world.run(world.manifest(.copy) { $0.services = [] })
    #expect(third.exit == .done, "\(third.error?.description ?? "")")
  }

  @Test("without `rollback-for` a run that is done stays done")
  func never() async throws {
    let world = try World()
    let result = try await done(in: world) {
      $0.services = []
      $0.rollbackFor = nil
    }
    #expect(result.receipt?.rollbackUntil == nil)
    await #expect(throws: FerryError.self) { try await world.engine.rollback(result.run) }
  }
}
