import FerrySystem
import Glibc
import TestSupport

/// Hosts for tests on one machine: a network namespace each, with folders of its own where a host has its own, a real sshd, and a link to every
/// other host and to this one. Each pair can be cut off from each other. Gone with the last reference.
///
/// A host shares the file system otherwise: a test sees what happens on each. Needs root, `ip` and `sshd`.
public final class TestHosts: Sendable {
  /// Where this machine stands among the hosts, as an address has it.
  static let controller = 1

  /// The test's folder, which all hosts see.
  public let folder: TemporaryFolder
  /// All of them, in the order that they were named in.
  public let hosts: [TestHost]
  /// For ssh's `-F`: the key, the known hosts, nothing of this machine's. A link that is cut is noticed after ten seconds.
  public let sshConfig: String
  private let network: TestNetwork
  private let wires = Lock<[TestWire]>([])

  /// Makes and boots hosts. `ferry` is the program that `ferry` is there, with those plugins; nil: there is none.
  public init(_ names: [String], in folder: TemporaryFolder, ferry: String? = Products.ferry, plugins: String? = nil) throws {
    self.folder = folder
    // A user of a host reaches what is theirs inside; what others must not read has modes of its own.
    guard chmod(folder.path, 0o711) == 0 else { throw FerryError(errno: errno, "cannot open \(folder.path)") }
    network = try TestNetwork()
    sshConfig = folder("ssh_config")
    try TestHosts.makeKey(folder("key"))
    var made: [TestHost] = []
    for (index, name) in names.enumerated() {
      let host = try TestHost(name, number: index + 2, network: network, folder: folder("hosts/\(name)"), key: folder("key.pub"))
      if let ferry { try host.install(ferry: ferry, plugins: plugins) }
      made.append(host)
    }
    hosts = made
    try folder.write(
      "ssh_config",
      """
      Host *
        IdentityFile \(folder("key"))
        IdentitiesOnly yes
        UserKnownHostsFile \(folder("known_hosts"))
        GlobalKnownHostsFile /dev/null
        StrictHostKeyChecking yes
        ConnectTimeout 5
        ServerAliveInterval 3
        ServerAliveCountMax 3
      """)
    try forgetNobody()
    for host in hosts { try boot(host) }
  }

  deinit { for host in hosts { host.kill() } }

  /// A host by its name.
  public subscript(_ name: String) -> TestHost {
    get throws {
      guard let host = hosts.first(where: { $0.name == name }) else { throw FerryError(.internal, "there is no test host \(name)") }
      return host
    }
  }

  /// Writes the known hosts anew: all of them, as they are.
  public func forgetNobody() throws {
    try folder.write("known_hosts", try hosts.map { host in "\(host.address),\(host.address6) \(try host.publicKey())\n" }.joined())
  }

  /// Ends all that runs on a host, as a power cut does, and boots it again. Its folders stay; it has another boot id.
  public func reboot(_ name: String) throws {
    let host = try self[name]
    host.kill()
    try boot(host)
  }

  private func boot(_ host: TestHost) throws {
    try host.start()
    try network.link(TestNetwork.End(number: TestHosts.controller, pid: nil), host.end)
    for other in hosts where other !== host && other.isUp { try network.link(other.end, host.end) }
  }

  // MARK: Links

  /// Cuts two hosts off from each other; nil is this machine. Packets vanish, as with a pulled cable: nobody is told.
  public func cut(_ one: String?, _ other: String?) throws { try network.setCut(true, end(one), end(other)) }

  /// Mends what was cut.
  public func mend(_ one: String?, _ other: String?) throws { try network.setCut(false, end(one), end(other)) }

  /// Makes a link as bad as a test wants it, in both directions, until one of the hosts boots.
  public func impair(_ one: String?, _ other: String?, _ quality: TestWire.Quality) throws {
    let wire = try network.link(end(one), end(other), through: quality)
    wires.withLock { $0.append(wire) }
  }

  private func end(_ name: String?) throws -> TestNetwork.End {
    try name.map { try self[$0].end } ?? TestNetwork.End(number: TestHosts.controller, pid: nil)
  }

  // MARK: What is needed

  /// Why there can be no hosts here, or nil. Found out by trying, once.
  public static let unavailable: String? = {
    if geteuid() != 0 { return "test hosts need root" }
    for program in ["ip", "ssh", "ssh-keygen", "nsenter", "unshare", "mount"] where (try? Programs.find(program)) == nil {
      return "test hosts need '\(program)'"
    }
    if !Files.exists(TestHost.sshd) { return "test hosts need \(TestHost.sshd)" }
    guard
      let trial = try? Command(["unshare", "--net", "--mount", "--uts", "ip", "link", "add", "near", "type", "veth", "peer", "name", "far"])
        .run()
    else {
      return "test hosts need namespaces"
    }
    return trial.succeeded ? nil : "test hosts need namespaces and veth links: \(trial.reason)"
  }()

  /// Whether there can be hosts here; says once why not. For `.enabled(if:)`.
  public static let available: Bool = {
    if let unavailable { print("skipped: \(unavailable)") }
    return unavailable == nil
  }()

  /// Makes a key pair without a passphrase.
  public static func makeKey(_ path: String) throws {
    let outcome = try Command(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path]).run()
    guard outcome.succeeded else { throw FerryError(.internal, "ssh-keygen: \(outcome.reason)") }
  }
}
