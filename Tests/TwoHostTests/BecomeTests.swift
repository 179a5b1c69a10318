@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import TestSupport
import Testing

@Suite("become: sudo", .enabled(if: TestHosts.available && Needs.sudo)) struct BecomeTests {
  private static func site(_ rule: String) throws -> Site {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.write(
      "etc/sudoers", "Defaults env_reset, use_pty\nDefaults secure_path=\"/usr/local/bin:/usr/bin:/bin\"\nroot ALL=(ALL) ALL\n\(rule)\n",
      mode: 0o440)
    try host.write("etc/rc", "mount --bind '\(host.folder)/etc/sudoers' /etc/sudoers\n")
    try site.hosts.reboot("b")
    return site
  }

  @Test("a login that may use sudo without a password runs ferry as root")
  func root() throws {
    let site = try Self.site("mover ALL=(root) NOPASSWD: ALL")
    let node = try site.connect("ssh://mover@\(site.hosts["b"].address)", become: .sudo)
    defer { node.close() }
    #expect(node.hello.home == "/var/lib/ferry", "root's own")
    // A binary-safe stream: sudo with use_pty must not put a terminal between.
    let bytes = (0..<4096).map { UInt8(truncatingIfNeeded: $0) }
    try site.hosts["b"].program("ferry", "#!/bin/sh\nexec cat\n")
    let stream = try node.transport.start(["link"]).stream
    try stream.write(bytes)
    _ = shutdown(stream.number, Int32(SHUT_WR))
    var back: [UInt8] = []
    while case let more = try stream.read(upTo: 65536), !more.isEmpty { back += more }
    #expect(back == bytes)
  }

  @Test("a sudo that asks for a password, or that does not know the user, is one clear error")
  func refused() throws {
    let asks = try Self.site("mover ALL=(root) ALL")
    let node = "ssh://mover@\(try asks.hosts["b"].address)"
    let password = asks.refusal(node, become: .sudo)
    #expect(
      password.class == .auth && password.message.contains("password is required") && password.hint.contains("NOPASSWD"), "\(password)")
    try asks.hosts["b"].write("etc/sudoers", "root ALL=(ALL) ALL\n", mode: 0o440)
    let stranger = asks.refusal(node, become: .sudo)
    #expect(stranger.class == .auth && stranger.hint.contains("NOPASSWD"), "\(stranger)")
  }

  @Test("a local node can be root's, too")
  func local() throws {
    let site = try Site(["b"])
    let node = try site.connect("local", become: .sudo)
    defer { node.close() }
    #expect(node.hello.home == "/var/lib/ferry")
  }
}
