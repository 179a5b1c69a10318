import Ferry
import FerryConformance
import FerrySystem
import TestSupport
import Testing

/// That each check can fail: the teaching plugin with a fault that the check is there to find, and the same without one.
@Suite struct BadPluginTests {
  /// Which fault of Tests/ConformanceTests/Bad/bad.c each check finds.
  static let faults: [(check: String, fault: String)] = [
    ("the file loads with every call", "half"), ("a wrong item is refused", "unsaid"), ("a state moves", "early"),
    ("an empty state moves", "no-empty"), ("what is active can be digested", "remembers"), ("a digest tells every state", "one-root"),
    ("a listing has a line", "no-listing"), ("prepare twice", "prepare-once"), ("flags that nobody knows", "any-flags"),
    ("a full disk ends the pass", "gullible"), ("a run that met a full disk", "no-discard"), ("the undo calls do no harm", "eager-discard"),
    ("a run goes forward again", "no-deactivate"), ("the source is whole until retire", "retire-once"),
    ("what was there before comes back when a run is given up after prepare", "prepare-litters"),
    ("what was there before comes back when a run is given up after a pass", "no-discard"),
    ("what was there before comes back when a run is given up after the final pass", "no-discard"),
    ("what was there before comes back when a run is given up after activate", "no-deactivate"),
    ("a run whose processes are killed after every step", "globals"),
    ("a run whose processes are killed at every checkpoint", "activates-alone"),
    ("a run is undone from every checkpoint", "discards-alone"), ("the source's half of a pass", "deaf"),
    ("the destination's half of a pass", "deaf"), ("a peer of the source", "gullible"), ("a peer of the destination", "gullible"),
    ("a source that is killed", "locks"), ("a destination that is killed", "locks"), ("a channel that is cut", "gullible"),
  ]

  private static let folder = Result { try TemporaryFolder() }
  private static let whole = Result { try build("bad.so") }
  private static let half = Result { try build("half.so", ["-DRECEIVE=NULL", "-Wno-unused-function"]) }

  private static func build(_ name: String, _ options: [String] = []) throws -> PluginFile {
    let path = try folder.get()(name)
    let source = "\(Products.repository)/Tests/ConformanceTests/Bad/bad.c"
    let command = ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I\(Products.repository)/include"] + options
    let outcome = try Command(command + ["-o", path, source], timeout: .seconds(120)).run()
    guard outcome.succeeded else { throw FerryError(.internal, "cc: \(outcome.errors)") }
    return try PluginFile(at: path)
  }

  private func run(_ check: ConformanceCheck, _ fault: String?) throws -> ConformanceCheck.Outcome {
    let plugin = try (fault == "half" ? Self.half : Self.whole).get()
    let folder = try TemporaryFolder()
    return check.run {
      try FileSubject(
        .file, key: "file", folder: folder.path, executable: Products.ferry, plugin: plugin,
        provider: fault == "unsaid" ? "bad-unsaid" : "bad", keys: fault.map { ["fault": .string($0)] } ?? [:], knowsSHA256: false)
    }
  }

  @Test("each check finds the fault that it is there for, and nothing in the same plugin without it", arguments: ConformanceCheck.all)
  func finds(_ check: ConformanceCheck) throws {
    let known = Self.faults.filter { check.name.hasPrefix($0.check) }
    try #require(known.count == 1, "no fault, or more than one, is listed for '\(check.name)'")
    let (good, bad) = (try run(check, nil), try run(check, known[0].fault))
    #expect(good.complaints == [])
    #expect(!bad.complaints.isEmpty || bad.notRun != nil, "\(known[0].fault)")
  }

  @Test("half a contract is refused when it is loaded, and the missing call is named")
  func half() throws {
    let outcome = try Command([Products.ferry, "plugins", "test", Self.half.get().path]).run()
    #expect(!outcome.succeeded && outcome.errors.contains("has a provider 'bad' without receive"), "\(outcome.errors)")
    #expect(outcome.errors.contains("docs/abi.md#required"), "\(outcome.errors)")
  }

  @Test("the report says what is broken, and whose rule it is")
  func report() throws {
    let plugin = try Self.whole.get()
    func report(_ keys: [String: JSONValue]) throws -> ConformanceReport {
      try ConformanceReport.run(ConformanceCheck.all.filter { $0.rule == .flags || $0.rule == .offer }, of: "bad") {
        try FileSubject(
          .file, key: "file", folder: $0, executable: Products.ferry, plugin: plugin, provider: "bad", keys: keys, knowsSHA256: false)
      }
    }
    let broken = try report(["fault": "any-flags"])
    #expect(!broken.isGood && broken.text.contains("broken  flags that nobody knows are refused"))
    #expect(broken.text.contains("the rule: docs/abi.md#flags"))
    #expect(broken.text.contains("kept    prepare twice is prepare once"))
    #expect(try report([:]).isGood)
  }
}
