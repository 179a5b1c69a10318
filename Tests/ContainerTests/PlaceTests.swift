import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

@Suite("Where containers go", .enabled(if: TestEngine.available)) struct PlaceTests {
  @Test("what a container needs and the destination lacks is said before anything is made", arguments: TestEngine.Kind.allCases)
  func lacking(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let (name, folder) = (Pair.name("needy"), try TemporaryFolder())
    try Files.makeFolder(folder("site"))
    try from.run(
      "create", "--name", name, "--network", "none", "--volume", "\(name)-data:/data", "--volume", "\(folder("site")):/site", "box",
      "/bin/sh")
    let before = try to.inventory(name)
    func refusal(_ target: JSONValue = [:]) throws -> String {
      let move = try Move(from, to, name, to: target)
      try move.harness.prepare()
      defer { try? move.giveUp() }
      return failure { try move.harness.pass() }?.message ?? ""
    }
    #expect(try refusal().contains("there is no volume \(name)-data, which is mounted at /data"))
    try to.run("volume", "create", "\(name)-other")
    try rename(folder("site"), to: folder("elsewhere"))
    #expect(
      try refusal(["mounts": ["/data": .string("\(name)-other")]]).contains("there is no \(folder("site")), which is mounted at /site"))
    #expect(try to.inventory(name) == before)
    let move = try Move(from, to, name, to: ["mounts": ["/data": .string("\(name)-other"), "/site": .string(folder("elsewhere"))]])
    try move.run()
    let mounts = try to.inspect(name)["Mounts"]?.array ?? []
    #expect(mounts.contains { $0["Name"]?.string == "\(name)-other" } && mounts.contains { $0["Source"]?.string == folder("elsewhere") })
    try move.giveUp()
    #expect(try to.inventory(name) == before)
  }

  private func rename(_ old: String, to new: String) throws {
    guard Glibc.rename(old, new) == 0 else { throw FerryError(errno: errno, "cannot rename \(old)") }
  }

  @Test("a container of that name is replaced only if told, and is back when the run is given up", arguments: TestEngine.Kind.allCases)
  func replaced(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Pair.name("twice")
    try from.run("create", "--name", name, "--network", "none", "--label", "whose=ours", "box", "/bin/sh")
    try to.start(name, ["--label", "whose=theirs"])
    func whose() throws -> String? { try to.inspect(name)["Config"]?["Labels"]?["whose"]?.string }
    #expect(try Move(from, to, name).notices(.destination).first?.contains("has a container \(name) already") == true)
    let move = try Move(from, to, name, keys: ["replace": true])
    #expect(try move.notices(.destination) == [] && move.notices(.destination, "warning").count == 1)
    #expect(failure { try move.run() }?.message.contains("runs, and another is to have its name") == true)
    try to.run("stop", "--time", "5", name)
    for _ in 0..<2 { try move.harness.call(.destination, .activate) }
    #expect(try whose() == "ours")
    try move.giveUp()
    #expect(try whose() == "theirs")
    let again = try Move(from, to, name, keys: ["replace": true])
    try again.run()
    try again.harness.call(.destination, .release)
    #expect(try whose() == "ours" && !to.inventory(name).contains { $0 != name })
  }

  @Test("volumes that nobody named are called after the container and their place", arguments: TestEngine.Kind.allCases)
  func anonymous(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Pair.name("nameless")
    try from.run("create", "--name", name, "--network", "none", "--volume", "/var/cache", "box", "/bin/sh")
    try from.run("create", "--name", "\(name)-2", "--network", "none", "--volumes-from", name, "box", "/bin/sh")
    for volume in ["\(name)-var-cache", "\(name)-2-var-cache"] { try to.run("volume", "create", volume) }
    for container in [name, "\(name)-2"] {
      let move = try Move(from, to, container)
      try move.run()
      let mounts = try to.inspect(container)["Mounts"]?.array ?? []
      #expect(mounts.count == 1 && mounts[0]["Name"]?.string == "\(container)-var-cache")
    }
  }

  @Test("a container that shares another's network finds that one at the destination", arguments: TestEngine.Kind.allCases)
  func shared(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Pair.name("shared")
    try from.start("\(name)-main")
    try from.run("create", "--name", name, "--network", "container:\(name)-main", "box", "/bin/sh")
    let move = try Move(from, to, name)
    try move.harness.prepare()
    #expect(failure { try move.harness.pass() }?.message.contains("is to share a namespace with the container \(name)-main") == true)
    let main = try Move(from, to, "\(name)-main")
    try main.harness.prepare()
    try main.harness.pass()
    // The other one waits under a name of the run, too.
    try move.harness.pass(final: true)
    #expect(try move.differences() == [])
    try main.harness.call(.destination, .activate)
    try move.harness.call(.destination, .activate)
    #expect(try move.differences() == [])
    let id = try to.run("container", "inspect", "--format", "{{.Id}}", "\(name)-main")
    #expect(try to.inspect(name)["HostConfig"]?["NetworkMode"]?.string == "container:\(id)")
  }

  @Test("settings can be left behind, and ports can be others")
  func without() throws {
    let (from, to) = try Pair.of(.docker)
    let name = Pair.name("less")
    try from.run(
      "create", "--name", name, "--network", "host", "--device", "/dev/null:/dev/extra", "--publish", "127.0.0.1:8080:80", "box", "/bin/sh")
    let move = try Move(from, to, name, to: ["ports": ["8080": "18080"]], keys: ["without": ["HostConfig.Devices"]])
    #expect(try move.notices(.source, "warning").contains { $0.contains("HostConfig.Devices of \(name) stays behind") })
    try move.run()
    let host = try to.inspect(name)["HostConfig"]
    #expect(host?["Devices"]?.array?.isEmpty != false)
    #expect(host?["PortBindings"]?["80/tcp"]?.array?.first?["HostPort"]?.string == "18080")
  }

  @Test(
    "networks that are not there are made, with their addresses, and joined under the same names; ports are published there; with the run they go",
    arguments: TestEngine.Kind.allCases)
  func networks(_ kind: TestEngine.Kind) throws {
    let (from, to) = try Pair.of(kind)
    let name = Pair.name("joined")
    let subnet = "10.\(UInt8.random(in: 64...127)).\(UInt8.random(in: 0...255))"
    try from.run("network", "create", "--internal", "--subnet", "\(subnet).0/25", "--label", "of=shop", "\(name)-front")
    try from.run("network", "create", "\(name)-back")
    try from.run(
      "create", "--name", name, "--network", "\(name)-front", "--network-alias", "web", "--publish", "127.0.0.1:8080:80", "--expose",
      "9000/udp",
      "box", "/bin/sh")
    try from.run("network", "connect", "--alias", "api", "\(name)-back", name)
    try from.run("create", "--name", "\(name)-fixed", "--network", "\(name)-front", "--ip", "\(subnet).9", "box", "/bin/sh")
    let before = try to.inventory(name)
    let move = try Move(from, to, name, to: ["networks": .object(["\(name)-back": .string("\(name)-rear")]), "ports": ["8080": "18080"]])
    try move.harness.prepare()
    try move.harness.pass(final: true)
    let differences = try move.differences()
    #expect(differences == [])
    let made = try to.inspect("\(name).ferry-run1")
    let networks = made["NetworkSettings"]?["Networks"]
    #expect(networks?["\(name)-front"]?["Aliases"]?.array?.contains("web") == true)
    #expect(networks?["\(name)-rear"]?["Aliases"]?.array?.contains("api") == true)
    #expect(made["HostConfig"]?["PortBindings"]?["80/tcp"] == [["HostIp": "127.0.0.1", "HostPort": "18080"]])
    let exposed = kind == .docker ? made["Config"]?["ExposedPorts"] : made["HostConfig"]?["PortBindings"]
    #expect(exposed?.object?.keys.contains("9000/udp") == true)
    let front = try to.run("network", "inspect", "\(name)-front")
    #expect(front.contains("\(subnet).0/25") && front.contains(#""of": "shop""#) && front.contains(#"nternal": true"#), "\(front)")

    let fixed = try Move(from, to, "\(name)-fixed")
    try fixed.harness.prepare()
    try fixed.harness.pass(final: true)
    #expect(try fixed.differences() == [])
    if kind == .docker {
      let place = try to.inspect("\(name)-fixed.ferry-run1")["NetworkSettings"]?["Networks"]?["\(name)-front"]
      #expect(place?["IPAMConfig"]?["IPv4Address"]?.string == "\(subnet).9")
    } else {
      // No inspect shows it; Podman keeps it for itself, and says so when another asks for it.
      #expect(try to.run("container", "inspect", "--format", "{{json .Config}}", "\(name)-fixed.ferry-run1").contains("Hostname"))
    }
    try fixed.giveUp()
    try move.giveUp()
    #expect(try to.inventory(name) == before)
  }
}
