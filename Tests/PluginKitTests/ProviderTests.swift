import FerryPluginKit
import TestSupport
import Testing

/// A provider that shows what reaches it.
private class Probe: StateProvider {
  class var id: String { "probe" }
  static let summary = "shows what reaches it"
  static let schema = "{}"
  struct Config: Decodable { var depth: Int }
  struct Odd: Error {}

  let context: ProviderContext
  var cancelled = 0

  required init(_ context: ProviderContext) throws {
    if context.config["refuse"] != nil { throw FerryError(.precondition, "not here", hint: "elsewhere") }
    self.context = context
  }
  func check() throws -> CheckReport {
    CheckReport(
      notices: [.init(.warning, "\(context.run) \(context.item) \(context.side)")],
      bytes: Int64(try context.decodeConfig(Config.self).depth))
  }
  func prepare() throws -> Offer { Offer(.inPlace, ["port": 7]) }
  func transfer(_ pass: Pass) throws -> PassReport {
    context.log(
      .warning, "pass \(pass.number) first \(pass.isFirst) final \(pass.isFinal) \(pass.channels) \(pass.offer?["port"]?.int ?? 0)")
    context.progress(bytes: 5)
    return PassReport(bytes: 1, entries: 2, changed: 3, unread: ["x"])
  }
  func receive(_ pass: Pass) throws -> PassReport { PassReport(bytes: Int64(try pass.channel), entries: 0) }
  func digest(_ request: DigestRequest) throws -> DigestReport {
    DigestReport(root: "\(request.algorithm) \(request.target) \(request.isFull) \(request.listing ?? "-")", entries: 0, bytes: 0)
  }
  func activate() throws { throw FerryError(.conflict, "in use", hint: "stop it") }
  func deactivate() throws { throw Odd() }
  func discard() throws { _ = try context.run(Command(["sleep", "1000"])) }
  func release() throws {
    try context.kv.put("state", ["a": 1])
    context.log(.info, "\(try context.kv.get("state", as: [String: Int].self) ?? [:]) \(try context.secret("password").count)")
    try context.kv.remove("state")
    context.log(.info, "\(try context.kv.bytes("state")?.count ?? -1)")
    try context.kv.put("refused", 1)
  }
  func cancel() { cancelled += 1 }
}

private final class Other: Probe {
  override class var id: String { "other" }
}

private let module = exportModule(name: "Probes", version: "1.2", vendor: "Tests", providers: [Probe.self, Other.self])

@Suite("A provider in Swift")
struct ProviderTests {
  private let probe: ferry_provider

  init() throws { probe = try #require(module.pointer.pointee.providers[0]?.pointee) }

  @Test("the module has the form of the header")
  func form() throws {
    let table = module.pointer.pointee
    #expect(table.struct_size == UInt32(MemoryLayout<ferry_module>.size) && table.abi_minor == FERRY_ABI_MINOR)
    #expect(table.provider_count == 2)
    #expect(String(cString: table.name) == "Probes" && String(cString: table.version) == "1.2")
    #expect(String(cString: probe.id) == "probe")
    #expect(String(cString: try #require(table.providers[1]).pointee.id) == "other")
  }

  @Test("check sees side, run, item and its typed config")
  func check() throws {
    let reply = try Driver(probe, side: .destination, config: #"{"depth": 3}"#).call(\.check)
    #expect(reply["bytes"] == 3)
    #expect(reply["notices"]?.array?.first?["text"] == "run1 pages destination")
  }

  @Test("a config of another shape is invalid")
  func config() throws {
    #expect(throws: FerryError.self) { try Driver(probe, config: #"{"depth": "x"}"#).call(\.check) }
  }

  @Test("an offer carries the provider's own keys from one end to the other")
  func offer() throws {
    let offer = try Driver(probe, side: .destination).call(\.prepare)
    #expect(offer == ["target": "in-place", "port": 7])
    let source = try Driver(probe)
    #expect(try source.call(\.prepare, json: #"{"offer": {"target": "in-place", "port": 7}}"#) == [:])
    #expect(throws: FerryError(.internal, "the offer has no 'target'")) { try source.call(\.prepare) }
  }

  @Test("a pass carries its number, flags, channels and the offer")
  func pass() throws {
    let source = try Driver(probe)
    let flags = UInt32(FERRY_FIRST_PASS) | UInt32(FERRY_FINAL_PASS)
    let reply = try source.call(
      \.transfer, flags: flags, pass: 4, channels: [7, 8], json: #"{"offer": {"target": "private", "port": 9}}"#)
    #expect(reply == ["bytes": 1, "entries": 2, "changed": 3, "unread": ["x"]])
    #expect(source.host.log == ["2 pass 4 first true final true [7, 8] 9"])
    #expect(source.host.progress == [5])
    #expect(try source.call(\.receive, channels: [7])["bytes"] == 7)
    #expect(throws: FerryError.self) { try source.call(\.receive) }
  }

  @Test("unknown flags are refused")
  func flags() throws {
    let error = #expect(throws: FerryError.self) { try Driver(probe).call(\.transfer, flags: 64) }
    #expect(error?.class == .unsupported)
  }

  @Test("a digest request carries algorithm, target, listing and whether to read all again")
  func digest() throws {
    let driver = try Driver(probe)
    #expect(try driver.call(\.digest)["root"] == "xxh3 staged false -")
    #expect(try driver.call(\.digest, json: #"{"offer": {}}"#)["root"] == "xxh3 staged false -", "an empty offer is none")
    let json = #"{"algorithm": "sha256", "target": "active", "listing": "/l"}"#
    #expect(try driver.call(\.digest, flags: UInt32(FERRY_FULL_DIGEST), json: json)["root"] == "sha256 active true /l")
    let error = #expect(throws: FerryError.self) { try driver.call(\.digest, json: #"{"algorithm": "md5"}"#) }
    #expect(error?.class == .unsupported)
  }

  @Test("an error keeps its class, message and hint; any other error is a bug")
  func errors() throws {
    let driver = try Driver(probe)
    #expect(throws: FerryError(.conflict, "in use", hint: "stop it")) { try driver.call(\.activate) }
    let odd = #expect(throws: FerryError.self) { try driver.call(\.deactivate) }
    #expect(odd?.class == .internal)
    #expect(throws: FerryError(.precondition, "not here", hint: "elsewhere")) { try Driver(probe, config: #"{"refuse": 1}"#) }
  }

  @Test("what a provider leaves out does nothing, and retire says that it cannot")
  func defaults() throws {
    let driver = try Driver(probe)
    #expect(try driver.call(\.freeze) == [:])
    #expect(try driver.call(\.thaw) == [:])
    let error = #expect(throws: FerryError.self) { try driver.call(\.retire) }
    #expect(error?.class == .unsupported)
    #expect(error?.message.contains("'probe'") == true)
  }

  @Test("memory and secrets are typed, and what the host refuses is an error")
  func services() throws {
    let driver = try Driver(probe)
    driver.host.secrets["password"] = [UInt8](repeating: 65, count: 10_000)
    let error = #expect(throws: FerryError.self) { try driver.call(\.release) }
    #expect(error?.class == .invalid)
    #expect(driver.host.log == ["1 [\"a\": 1] 10000", "1 -1"])
    driver.host.secrets = [:]
    let missing = #expect(throws: FerryError.self) { try driver.call(\.release) }
    #expect(missing?.class == .notFound)
  }

  @Test("a host without a service is said at once")
  func missingService() throws {
    let host = StubHost()
    host.withoutService = "ferry.kv/1"
    let error = #expect(throws: FerryError.self) { try Driver(probe, host: host) }
    #expect(error?.class == .unsupported)
    #expect(error?.message.contains("ferry.kv/1") == true)
  }

  @Test("cancel ends a command that runs through the context, and the next call runs again")
  func cancel() throws {
    nonisolated(unsafe) let driver = try Driver(probe)
    let result = Lock<FerryError?>(nil)
    let done = Signal()
    Threads.detach {
      do { try driver.call(\.discard) } catch { result.withLock { $0 = FerryError.wrap(error) } }
      done.raise()
    }
    try waitFor("the call to end") {
      driver.cancel()
      return done.wait(atMost: .milliseconds(20))
    }
    #expect(result.withLock { $0 }?.class == .cancelled)
    #expect(try driver.call(\.freeze) == [:])
  }
}
