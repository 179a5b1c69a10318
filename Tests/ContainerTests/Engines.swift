import Ferry
import FerrySystem
import PluginHarness
import TestSupport

/// Two engines of each kind, with a storage of their own each, that the tests share.
enum Pair {
  static let docker = Result { (from: try TestEngine(.docker), to: try TestEngine(.docker)) }
  static let podman = Result { (from: try TestEngine(.podman), to: try TestEngine(.podman)) }
  static func of(_ kind: TestEngine.Kind) throws -> (from: TestEngine, to: TestEngine) {
    try kind == .docker ? docker.get() : podman.get()
  }

  /// A name that no other test has.
  static func name(_ word: String) -> String { "\(word)-\(UInt32.random(in: 0 ... .max))" }
}

extension TestEngine {
  /// What its API says of a container: Docker's form.
  func inspect(_ container: String) throws -> JSONValue { try ask("/containers/\(container)/json") }

  /// What Podman's own API says of it.
  func podmanInspect(_ container: String) throws -> JSONValue { try ask("/v4.0.0/libpod/containers/\(container)/json") }

  /// What its API says.
  func ask(_ path: String) throws -> JSONValue {
    var command = Command(["curl", "--silent", "--fail", "--unix-socket", folder("s"), "http://engine\(path)"], timeout: .seconds(60))
    command.output = .capture(limit: 16 << 20)
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.internal, "\(kind) \(path): \(outcome.reason)") }
    return try JSONValue(parsing: outcome.output)
  }

  /// What there is of containers, images and networks whose names begin so: other tests have others.
  func inventory(_ name: String) throws -> [String] {
    try ["ps --all --format {{.Names}}", "images --format {{.Repository}}:{{.Tag}}", "network ls --format {{.Name}}"].flatMap { line in
      try run(line.split(separator: " ").map(String.init)).split(separator: "\n").map { String($0).replacing("localhost/", with: "") }
        .filter { $0.hasPrefix(name) }.sorted()
    }
  }
}

/// A container that moves from one engine to another, without the core.
struct Move {
  let folder: TemporaryFolder
  let harness: Harness

  init(_ from: TestEngine, _ to: TestEngine, _ name: String, to other: JSONValue = [:], keys: [String: JSONValue] = [:]) throws {
    folder = try TemporaryFolder()
    var target = other
    if target["container"] == nil { target["container"] = .string(name) }
    target["engine"] = .string(to.address)
    harness = try Harness(
      product: "container", provider: "\(from.kind)-container", folder: folder,
      from: ["container": .string(name), "engine": .string(from.address)], to: target, keys: keys)
  }

  /// What `check` says of one end; only errors unless told.
  func notices(_ side: Side, _ severity: String = "error") throws -> [String] {
    try harness.call(side, .check)["notices"]?.array?.filter { $0["severity"]?.string == severity }.compactMap { $0["text"]?.string } ?? []
  }

  /// All of it, with a proof.
  func run() throws {
    let digests = try harness.moveUntilVerified()
    guard digests.source["root"] == digests.destination["root"] else {
      throw FerryError(.internal, "the ends differ: \(try differences())")
    }
    try harness.call(.destination, .activate)
  }

  /// The settings in which the ends differ.
  func differences() throws -> [String] {
    func lines(_ side: Side) throws -> Set<Substring> {
      _ = try harness.digest(side, listing: folder("listing-\(side)"))
      return Set(try folder.read("listing-\(side)").split(separator: "\n"))
    }
    let paths = try lines(.source).symmetricDifference(lines(.destination)).map { String($0.split(separator: "\t")[1]) }
    return Set(paths).sorted()
  }

  func giveUp() throws {
    harness.killBoth()
    for call in [ProviderCall.deactivate, .discard] { try harness.call(.destination, call) }
    try harness.call(.source, .discard)
  }
}
