@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import TestSupport
import Testing

@Suite("deploy: true", .enabled(if: TestHosts.available && Needs.tree != nil)) struct DeployTests {
  /// A host without ferry, and an engine that runs from an installed tree.
  private static func site() throws -> Site { try Site(["b"], executable: "\(Needs.tree ?? "")/bin/ferry", ferry: nil) }

  private static func trees(_ cache: String) -> [String] { Files.names(in: cache) }

  @Test("ferry brings itself to a host that has none, once: the second time nothing is sent")
  func once() throws {
    let site = try Self.site()
    let host = try site.hosts["b"]
    let cache = "\(host.folder)/cache/ferry"
    let digest = try InstalledTree.of(site.configuration.executable).digest
    let node = try site.connect(host.node, deploy: true)
    #expect(node.hello.host == "b" && node.hello.ferry == ferryVersion)
    #expect(try Command(["readlink", "/proc/\(node.hello.process.pid)/exe"]).run().output == "/var/cache/ferry/\(digest)/bin/ferry\n")
    node.close()
    #expect(Self.trees(cache) == [digest])
    // Whatever would be sent now could not be unpacked.
    try host.program("tar", "#!/bin/sh\nexit 1\n")
    try site.connect(host.node, deploy: true).close()
    let check = try host.command([
      "sh", "-c", "cd /var/cache/ferry/\(digest) && sha256sum -c --quiet SHA256SUMS && find . ! -user root -o -perm /022 ! -type l",
    ]).run()
    #expect(check.succeeded && check.output == "", "\(check)")
    let run = try host.command(["/var/cache/ferry/\(digest)/bin/ferry", "plugins", "list"]).run()
    #expect(run.succeeded && run.output.contains("rsync"), "\(run)")
  }

  @Test("a user's tree lies in the user's cache, and under sudo it is root's")
  func whose() throws {
    let site = try Self.site()
    let host = try site.hosts["b"]
    try site.connect("ssh://mover@\(host.address)", deploy: true).close()
    #expect(Self.trees("\(host.folder)/mover/.cache/ferry").count == 1)
    #expect(!Files.exists("\(host.folder)/cache/ferry"))
    guard Needs.sudo else { return }
    try host.write("etc/sudoers", "root ALL=(ALL) ALL\nmover ALL=(root) NOPASSWD: ALL\n", mode: 0o440)
    try host.write("etc/rc", "mount --bind '\(host.folder)/etc/sudoers' /etc/sudoers\n")
    try site.hosts.reboot("b")
    let node = try site.connect("ssh://mover@\(host.address)", become: .sudo, deploy: true)
    node.close()
    #expect(Self.trees("\(host.folder)/cache/ferry").count == 1)
    let owners = try host.command(["find", "/var/cache/ferry", "!", "-user", "root"]).run()
    #expect(owners.succeeded && owners.output == "", "\(owners)")
  }

  @Test("another architecture and another libc are found before anything is sent")
  func machines() throws {
    let site = try Self.site()
    let host = try site.hosts["b"]
    // PATH of a login has /usr/local/bin first.
    try host.program("uname", "#!/bin/sh\necho riscv64\n")
    let machine = site.refusal(host.node, deploy: true)
    #expect(machine.class == .unsupported && machine.message.contains("is riscv64, this ferry is for"), "\(machine)")
    try Files.remove("\(host.folder)/bin/uname")
    try host.program("getconf", "#!/bin/sh\necho glibc 2.17\n")
    let old = site.refusal(host.node, deploy: true)
    #expect(old.class == .unsupported && old.message.contains("has glibc 2.17, this ferry needs 2."), "\(old)")
    try host.program("getconf", "#!/bin/sh\nexit 1\n")
    try host.program("ldd", "#!/bin/sh\necho 'musl libc (x86_64)' >&2\n")
    let musl = site.refusal(host.node, deploy: true)
    #expect(musl.class == .unsupported && musl.message.contains("has no glibc (musl libc"), "\(musl)")
    #expect(!Files.exists("\(host.folder)/cache/ferry"))
  }

  @Test(
    "a cache that runs no programs, that is full, or that cannot be made leaves nothing behind", arguments: ["noexec", "full", "read-only"])
  func badCache(how: String) throws {
    let site = try Self.site()
    let host = try site.hosts["b"]
    let options = ["noexec": "noexec,size=1g", "full": "size=1m", "read-only": "ro"][how] ?? ""
    let mounted = try host.command(["mount", "-t", "tmpfs", "-o", options, "tmpfs", "/var/cache"]).run()
    #expect(mounted.succeeded, "\(mounted)")
    let error = site.refusal(host.node, deploy: true)
    let words = ["noexec": "runs no programs (noexec)", "full": "is full", "read-only": "Read-only file system"][how] ?? "?"
    #expect(error.message.contains(words) && error.message.contains("/var/cache/ferry"), "\(error)")
    #expect(try host.command(["sh", "-c", "ls -A /var/cache/ferry 2>/dev/null"]).run().output == "")
  }

  @Test("a tree that does not arrive whole is not used")
  func damaged() throws {
    let site = try Self.site()
    let host = try site.hosts["b"]
    try host.program("tar", "#!/bin/sh\n/bin/tar \"$@\" && echo more >> bin/ferry\n")
    let error = site.refusal(host.node, deploy: true)
    #expect(error.message.contains("did not arrive whole"), "\(error)")
    #expect(Self.trees("\(host.folder)/cache/ferry") == [])
    // The way with gzip, and then the one without any packer.
    try Files.remove("\(host.folder)/bin/tar")
    for packer in ["gzip", nil] {
      let without = packer == nil ? ["zstd", "gzip"] : ["zstd"]
      let deployment = Deployment(
        transport: try SSHTransport(NodeSpec(node: host.node, name: "b"), configuration: site.configuration),
        tree: try InstalledTree.of(site.configuration.executable))
      try deployment.send(to: "absent \(try machine()) tar sha256sum \(packer ?? "-") glibc 2.99")
      deployment.transport.close()
      #expect(Self.trees("\(host.folder)/cache/ferry").count == 1, "without \(without)")
      try Files.remove("\(host.folder)/cache/ferry")
    }
  }

  private func machine() throws -> String { try Command(["uname", "-m"]).run().output.filter { !$0.isWhitespace } }

  @Test("a ferry that runs from a build folder says what can be deployed")
  func fromBuildFolder() throws {
    let site = try Site(["b"], ferry: nil)
    let error = site.refusal(try site.hosts["b"].node, deploy: true)
    #expect(
      error.class == .precondition && error.message.contains("does not lie in an installed tree") && error.hint.contains("Scripts/stage"),
      "\(error)")
  }
}
