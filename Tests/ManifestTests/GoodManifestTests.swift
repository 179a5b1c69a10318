import FerrySystem
import Testing

@testable import Ferry

/// The shortest manifest that there is.
let minimal = """
  ferry: 1
  name: site
  source: { node: local }
  destination: { node: ssh://root@node2 }
  state:
    - name: site
      provider: rsync
      from: { path: /srv/site }

  """

@Suite("Good manifests")
struct GoodManifestTests {
  static let folder = packageFolder + "/Tests/ManifestTests/Good"

  @Test("the table's defaults are the model's defaults")
  func defaults() throws {
    let manifest = try parse(minimal)
    #expect(manifest.mode == .copy)
    #expect(manifest.cutover == CutoverSpec())
    #expect(manifest.limits == LimitsSpec())
    #expect(manifest.verify == .sweep)
    #expect(manifest.digestAlgorithm == .xxh3)
    #expect(manifest.onFailure == .undo)
    #expect(manifest.hooks == nil && manifest.retry == nil && manifest.warnings.isEmpty)
    #expect(manifest.destination == NodeSpec(node: "ssh://root@node2", name: "ssh://root@node2"))
    let item = try #require(manifest.state.first)
    #expect(item.config == ["from": ["path": "/srv/site"], "to": ["path": "/srv/site"], "transport": "channel", "level": 0])
    #expect(item.position == "m.yaml:6:5")
    #expect(!item.allowEmpty && item.follow == .untilCutover && item.after.isEmpty && item.secrets.isEmpty)
  }

  @Test("every key arrives in the model")
  func everything() throws {
    let text = try Files.read(Self.folder + "/everything.yaml")
    let manifest = try Manifest.parse(
      text: text, file: "m.yaml", folder: Self.folder, parameters: ["target": "node2"], providers: testProviders)
    #expect(manifest.name == "photos" && manifest.mode == .move && manifest.parameters == ["target": "node2", "depth": "3"])
    #expect(manifest.source == NodeSpec(node: "local", name: "a", home: Self.folder + "/state/a"))
    #expect(manifest.destination == NodeSpec(node: "ssh://root@node2:2222", name: "b", home: "/var/lib/ferry"))
    #expect(manifest.services.map(\.name) == ["web", "worker.service", "pages.service", "cache", "app", "proxy"])
    #expect(
      manifest.services.map(\.kind) == [
        .podman(container: "web"), .systemd(unit: "worker.service", user: true), .systemd(unit: "pages.service", user: false),
        .docker(container: "cache"),
        .command(
          stop: ["./bin/app", "stop"], start: ["./bin/app", "start"], status: ["./bin/app", "status"], hold: ["./bin/app", "hold"],
          release: ["./bin/app", "release"]),
        .systemd(unit: "proxy", user: false),
      ])
    #expect(manifest.services[0].source == .init(name: "web1", environment: ["PORT": "8080", "NORWAY": "no"]))
    #expect(manifest.services[0].destination == .init(name: ""))
    #expect(manifest.services[2].user == "wiki1" && manifest.services[2].destination == .init(user: "wiki2"))
    #expect(manifest.services[1].user == nil && manifest.services[1].source.user == nil)
    #expect(manifest.services[0].stopTimeout == .seconds(90))
    #expect(manifest.services[0].startTimeout == .milliseconds(500))
    #expect(manifest.services[0].healthy == ["curl", "-f", "localhost"])
    #expect(manifest.services[0].healthyTimeout == .seconds(3600 + 1800))
    #expect(manifest.services[4].healthy == ["./bin/app", "3"])
    #expect(
      manifest.state[0].secrets == [
        "a": .env("TOKEN"), "b": .file("/etc/secret"), "c": .command(["pass", "show", "x"]),
      ])
    #expect(manifest.state[0].config["level"] == 3)
    #expect(manifest.state[0].config["exclude"] == ["cache/", "*.tmp", "no", "7", "${literal}"])
    #expect(manifest.state[1].after == ["files"] && manifest.state[1].allowEmpty)
    #expect(manifest.state[1].config == ["from": ["volume": "v"], "to": ["volume": "w"], "size": 5, "tags": ["x"], "own": [1, "1", true]])
    #expect(manifest.state[1].config["secrets"] == nil)
    #expect(manifest.cutover.maxDowntime == .seconds(30) && manifest.cutover.onMiss == .proceed)
    #expect(manifest.cutover.holdBefore == [.quiesce, .retire] && manifest.cutover.watchdog == .seconds(120))
    #expect(manifest.cutover.maxPasses == 3)
    #expect(manifest.limits.bandwidth == 200_000_000 && manifest.limits.parallel == 2 && manifest.limits.stall == .seconds(60))
    #expect(manifest.limits.compression == .none)
    #expect(manifest.verify == .full && manifest.digestAlgorithm == .sha256 && manifest.onFailure == .keep)
    #expect(manifest.retry == .seconds(7200) && manifest.hooks == Self.folder)
  }

  @Test("a parsed manifest survives its JSON form")
  func codable() throws {
    let manifest = try Manifest.parse(
      text: Files.read(Self.folder + "/everything.yaml"), file: "m.yaml", folder: Self.folder, parameters: ["target": "node2"],
      providers: testProviders)
    #expect(try JSONValue.decode(Manifest.self, from: JSONValue.encode(manifest)) == manifest)
  }

  @Test("anchors, aliases and merge keys: a map's own key wins, then the first merged")
  func merges() throws {
    let manifest = try Manifest.parse(
      text: Files.read(Self.folder + "/merges.yaml"), file: "m.yaml", folder: Self.folder, providers: testProviders)
    #expect(manifest.state.map { $0.config["transport"]?.string } == ["daemon", "channel", "daemon"])
    #expect(manifest.state.map { $0.config["level"]?.int } == [1, 1, 9])
    #expect(manifest.state[2].config["exclude"] == ["cache/"])
  }

  @Test("a value of --set is text: it becomes no key, no list and no other parameter")
  func noInjection() throws {
    let text = minimal.replacing("name: site\n", with: "name: site\nparameters: { p: {}, q: { default: deep } }\n", maxReplacements: 1)
    let value = "/x\", y: [${q}]\n- {"
    let used = text.replacing("/srv/site }", with: "\"${p}\" }\n    exclude: [\"${q}\"]")
    let manifest = try parse(used, set: ["p": value])
    #expect(manifest.state[0].config["from"] == ["path": .string(value)])
  }

  @Test("a parameter stands in a key as it does in a value")
  func keys() throws {
    let text = minimal.replacing("name: site\n", with: "name: site\nparameters: { p: {} }\n", maxReplacements: 1)
    let manifest = try parse(
      text.replacing("{ path: /srv/site }", with: "{ path: /a, \"${p}-data\": 1, \"$${p}\": 2 }"), set: ["p": "wiki"],
      providers: .permissive)
    #expect(manifest.state[0].config["from"] == ["path": "/a", "wiki-data": 1, "${p}": 2])
  }

  @Test("the digest changes with the text and with a parameter's value")
  func digest() throws {
    let text = minimal.replacing("name: site\n", with: "name: site\nparameters: { p: { default: /a } }\n", maxReplacements: 1)
      .replacing("/srv/site", with: "\"${p}\"")
    let digests = Set([try parse(minimal), try parse(text), try parse(text, set: ["p": "/b"])].map(\.digest))
    #expect(digests.count == 3 && digests.allSatisfy { $0.count == 64 })
    #expect(try parse(text).digest == parse(text, set: ["p": "/a"]).digest)
  }

  @Test("an unused parameter is a warning, and the manifest is good")
  func unused() throws {
    let text = minimal.replacing("name: site\n", with: "name: site\nparameters: { p: { default: a } }\n", maxReplacements: 1)
    #expect(try parse(text).warnings.map(\.headline) == ["m.yaml:3:15: warning: parameter 'p' is never used"])
  }

  @Test("any provider is taken where no plugin is at hand")
  func permissive() throws {
    let manifest = try parse(minimal.replacing("rsync", with: "teleporter"), providers: .permissive)
    #expect(manifest.state[0].config == ["from": ["path": "/srv/site"], "to": ["path": "/srv/site"]])
  }

  @Test("a file that is not there is an error of its own")
  func missing() throws {
    let error = #expect(throws: FerryError.self) { try Manifest.load(path: "/no/such.yaml", providers: testProviders) }
    #expect(error?.class == .notFound)
  }

  static let examples = Files.names(in: packageFolder + "/Manifests").filter { $0.hasSuffix(".yaml") }

  @Test("the worked examples are good", arguments: examples)
  func example(name: String) throws {
    let path = "\(packageFolder)/Manifests/\(name)"
    var parameters: [String: String] = [:]
    // A value of its own for each parameter that has no default: what is asked for is what the errors name.
    do { _ = try Manifest.load(path: path, providers: .permissive) } catch let errors as ManifestErrors {
      for message in errors.diagnostics.map(\.message) where message.hasSuffix("has no value") {
        if let name = message.split(separator: "'").dropFirst().first { parameters[String(name)] = String(name) }
      }
    }
    #expect(throws: Never.self) { try Manifest.load(path: path, parameters: parameters, providers: .permissive) }
  }
}
