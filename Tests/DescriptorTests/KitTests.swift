import FerrySystem
import TestSupport
import Testing

/// `ferry plugins test --run`: the conformance kit as a vendor meets it.
@Suite struct KitTests {
  @Test("a provider that forgets what it owes is told which promise and whose rule", .timeLimit(.minutes(10)))
  func broken() throws {
    let folder = try TemporaryFolder()
    // A digest without contents and modes takes different states for the same.
    let text = String(decoding: try Files.read("\(Products.repository)/Plugins/Archive/archive.yaml"), as: UTF8.self)
      .replacing("!all,type,mode,uid,gid,size,time,link,device,sha256", with: "!all,type")
    let path = try folder.write("odd.yaml", text, mode: 0o644)
    let outcome = try Command([Products.ferry, "plugins", "test", path, "--run"]).run()
    #expect(outcome.code != 0)
    #expect(outcome.output.contains("broken  a digest tells every state from every other"))
    #expect(outcome.output.contains("the rule: docs/abi.md#digest"))
    #expect(outcome.output.contains("kept    a run goes forward again after deactivate"), "\(outcome.output)")
    #expect(outcome.errors.contains("not kept"), "\(outcome.errors)")
  }
}
