@testable import Ferry
import FerrySystem
import Testing
import RunSupport
import TestSupport

@Suite("A run takes a service from one node to another") struct MoveTests {
  @Test("a move ends with the destination serving all that was accepted, and the source's copy gone")
  func move() async throws {
    let world = try World()
    let result = try await world.run(world.manifest())
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.complaints(serving: "b") == [])
    #expect(!Files.exists(world.folder("a/ledger")))
    #expect(try world.record(result.run, .source)?.state == .retired)
    #expect(try world.record(result.run, .destination)?.state == .active)
    let receipt = try #require(result.receipt)
    #expect(receipt.items[0].sourceRoot == receipt.items[0].destinationRoot && !receipt.items[0].sourceRoot.isEmpty)
    #expect(receipt.outage.total > 0)
    #expect(receipt.plugins[0].sha256.count == 64)
  }

  @Test("a copy leaves the source serving, and the destination serves what was there at the cut")
  func copy() async throws {
    let world = try World()
    var manifest = world.manifest(.copy)
    manifest.services[0].destination.name = ""
    let result = try await world.run(manifest)
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.complaints(serving: "a") == [])
    #expect(try world.folder.read("b/ledger").contains("first"))
    #expect(try world.record(result.run, .source)?.state == .serving)
  }

  @Test("a follow run passes on increments until cutover, and then the destination takes over")
  func follow() async throws {
    let world = try World()
    let engine = world.engine
    let written = Lock(0)
    let result = try await world.run(world.manifest(.follow)) { event in
      guard event.kind == .pass, event.phase == .copy else { return }
      let passes = written.withLock { count in
        count += 1
        return count
      }
      if passes < 3 { try? world.write("increment-\(passes)") }
      if passes == 3 { try? engine.cutover(event.run) }
    }
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    #expect(try world.complaints(serving: "b") == [])
    #expect(try world.folder.read("b/ledger").contains("increment-2"))
    #expect(Files.exists(world.folder("a/ledger")), "follow keeps the source's copy")
  }

  @Test("items are one consistent cut, in the order that `after` asks for")
  func items() async throws {
    let world = try World()
    for name in ["one", "two", "three"] { try world.folder.write("a/\(name)", name) }
    let manifest = world.manifest { $0.state += [world.item("one", after: ["three"]), world.item("two"), world.item("three")] }
    let finals = Collected<String>()
    let result = try await world.run(manifest) { if $0.kind == .pass, $0.phase == .final, let item = $0.item { finals.add(item) } }
    #expect(result.exit == .done, "\(result.error?.description ?? "")")
    for name in ["one", "two", "three"] { #expect(try world.folder.read("b/\(name)") == name) }
    #expect(finals.all.count == 4 && finals.all.last == "one")
  }

  @Test("a service is cloned under another name on the same host, by one node")
  func sameHost() async throws {
    let world = try World()
    var manifest = world.manifest(.copy) { $0.destination = $0.source }
    manifest.services[0].destination.name = ""
    let result = try await world.run(manifest)
    #expect(result.exit == .done, "\(result)")
    #expect(try world.complaints(serving: "a") == [])
    #expect(try world.folder.read("b/ledger").contains("first"))
    #expect(Set(Files.names(in: world.folder("a/home/runs/\(result.run)"))) == ["source", "destination"])
  }

  @Test("a check changes nothing and names what is missing")
  func check() async throws {
    let world = try World()
    try Files.remove(world.folder("a/ledger"))
    let report = try await world.engine.check(world.manifest())
    #expect(report.notices.contains { $0.severity == .error && $0.text.contains("ledger") })
    #expect(!Files.exists(world.folder("a/home")) && !Files.exists(world.folder("b/home")))
    let result = try await world.run(world.manifest())
    #expect(result.exit == .checkFailed && result.status == .undone)
    #expect(world.serves("a"))
  }

  @Test("verify proves an untouched destination equal, and reports what has changed since on one that lives")
  func verify() async throws {
    let world = try World()
    var manifest = world.manifest(.copy)
    manifest.services[0].destination.name = ""
    let run = try await world.run(manifest).run
    #expect(try await world.engine.verify(run).isEqual)
    try world.folder.write("b/ledger", "another")
    let verification = try await world.engine.verify(run)
    #expect(!verification.isEqual)
    #expect(verification.items[0].drift?.changed == 1)
  }

  @Test("cleanup leaves nothing of a run on either node")
  func cleanup() async throws {
    let world = try World()
    let run = try await world.run(world.manifest()).run
    try await world.engine.cleanup(run)
    for side in ["a", "b"] {
      #expect(Files.names(in: world.folder("\(side)/home/runs")).flatMap { Files.names(in: world.folder("\(side)/home/runs/\($0)")) } == [])
      #expect(Files.names(in: world.folder("\(side)/home/locks")).filter { $0.hasSuffix(".json") } == [])
    }
    #expect(!Files.exists(world.folder("a/held")), "the hold on the source's service is lifted")
    #expect(!world.serves("a"))
  }
}
