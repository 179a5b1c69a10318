@testable import Ferry
import FerrySystem
import HostSupport
import RunSupport
import TestSupport
import Testing

@Suite("The plugins of two hosts", .enabled(if: TestHosts.available)) struct PluginTests {
  @Test("that differ are told with both sides' files; one that `ferry.lock` pins otherwise keeps the run from beginning")
  func digests() async throws {
    let world = try World(hosts: ["b"])
    let own = world.folder("plugins/example.so")
    try Files.makeFolder(world.folder("other/plugins"), mode: 0o755)
    try Files.replace(world.folder("other/plugins/example.so"), with: Files.read(own) + [0], mode: 0o755)
    #expect(try await world.engine.check(world.manifest()).notices.filter { $0.text.contains("provider") } == [])

    try world.hosts?["b"].install(ferry: Products.ferry, plugins: world.folder("other/plugins"))
    let notices = try await world.engine.check(world.manifest()).notices
    let told = try #require(notices.first { $0.text.contains("not the same at both ends") })
    let digests = try [own, world.folder("other/plugins/example.so")].map { SHA256.hex(try Files.read($0)).prefix(12) }
    #expect(told.severity == .warning)
    #expect(
      (digests.map(String.init) + ["a has \(own)", "b has \(world.folder("other"))"]).allSatisfy { told.text.contains($0) }, "\(told)")

    try PluginLock(path: world.configuration.lockPath, pins: ["example.so": SHA256.hex(Files.read(own))]).write()
    let result = try await world.run(world.manifest())
    #expect(result.exit == .checkFailed, "\(result)")
    #expect(result.error?.message.contains("on b is not the pinned one") ?? false, "\(result)")
    #expect(world.serves("a"))
  }
}
