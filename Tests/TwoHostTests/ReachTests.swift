@testable import Ferry
import FerrySystem
import Glibc
import HostSupport
import TestSupport
import Testing

@Suite("A node over ssh is reached, or there is one clear reason why not", .enabled(if: TestHosts.available)) struct ReachTests {
  @Test("an agent answers over IPv4 and IPv6, from another host, behind whatever a login shell prints", arguments: ["4", "6"])
  func reach(version: String) throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.write("home/.profile", "echo not for you\n")
    try host.program("chatty", "#!/bin/sh\necho 'welcome to b'; printf 'no line feed'; exec /bin/sh \"$@\"\n")
    try host.write(
      "etc/passwd",
      String(decoding: Files.read("\(host.folder)/etc/passwd"), as: UTF8.self).replacing(
        "/home:/bin/sh", with: "/home:/usr/local/bin/chatty"))
    let node = try site.connect(version == "4" ? host.node : host.node6)
    defer { node.close() }
    #expect(node.hello.host == "b" && node.hello.protocol == AgentProtocolVersion.current)
    #expect(node.hello.home == "/var/lib/ferry")
  }

  @Test("twenty streams share as few logins as sshd's limit of sessions allows, and ferry's control sockets are nobody else's")
  func masters() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.program("ferry", "#!/bin/sh\nexec cat\n")
    let transport = try SSHTransport(NodeSpec(node: host.node, name: "b"), configuration: site.configuration)
    defer { transport.close() }
    let streams = try Threads.map(Array(0..<20)) { _ in try transport.start(["link"]) }
    for (index, stream) in streams.enumerated() {
      let text = Array("stream \(index)\n".utf8)
      try stream.stream.write(text)
      #expect(try stream.stream.read(upTo: 64) == text)
    }
    #expect(try site.logins(of: host) == 3)
    // The end of a stream that others share ends nobody else's.
    streams[0].end()
    try streams[1].stream.write([65, 10])
    #expect(try streams[1].stream.read(upTo: 64) == [65, 10])
  }

  @Test("an sshd that allows fewer sessions on a login than usual gets more logins")
  func fewSessions() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.program("ferry", "#!/bin/sh\nexec cat\n")
    try host.configureSSHD("MaxSessions 1")
    host.stopSSHD()
    try host.startSSHD()
    let transport = try SSHTransport(NodeSpec(node: host.node, name: "b"), configuration: site.configuration)
    defer { transport.close() }
    for _ in 0..<3 {
      let stream = try transport.start(["link"]).stream
      try stream.write([65, 10])
      #expect(try stream.read(upTo: 64) == [65, 10])
    }
  }

  @Test("arguments arrive as they are, whatever they hold")
  func quoting() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.program("ferry", "#!/bin/sh\nfor word; do printf '<%s>' \"$word\"; done\n")
    let words = ["it's", "$HOME `id` \"two\" \\n", "", "*", "-n", "é; exit 3"]
    let transport = try SSHTransport(NodeSpec(node: host.node, name: "b"), configuration: site.configuration)
    defer { transport.close() }
    let process = try transport.start(words)
    var said: [UInt8] = []
    while case let more = try process.stream.read(upTo: 4096), !more.isEmpty { said += more }
    #expect(String(decoding: said, as: UTF8.self) == words.map { "<\($0)>" }.joined())
  }

  // MARK: Reasons

  @Test("a host key that is not known, or not the known one, is told apart, each with its fix")
  func hostKeys() throws {
    let site = try Site(["b", "c"])
    let (b, c) = (try site.hosts["b"], try site.hosts["c"])
    try site.folder.write("known_hosts", "\(b.address) \(try c.publicKey())\n")
    let changed = site.refusal(b.node)
    #expect(
      changed.class == .auth && changed.message.contains("is not the one that is known")
        && changed.hint.contains("ssh-keygen -R \(b.address)"), "\(changed)")
    let unknown = site.refusal(c.node)
    #expect(
      unknown.class == .auth && unknown.message.contains("is not known here") && unknown.hint.contains("ssh root@\(c.address)"),
      "\(unknown)")
  }

  @Test("a key that the host refuses is told with what must work first")
  func refusedKey() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.write("etc/authorized_keys", "")
    let error = site.refusal(host.node)
    #expect(
      error.class == .auth && error.message.contains("refuses this user's key") && error.hint.contains("true` must work without one"),
      "\(error)")
  }

  @Test("a host without sshd, one that is not there, and a name that nobody has are told apart")
  func unreachable() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    host.stopSSHD()
    let silent = site.refusal(host.node)
    #expect(silent.class == .retry && silent.message.contains("no sshd answers"), "\(silent)")
    // ssh says so about a jump host, too.
    let proxy = try site.folder.write(
      "proxy", "#!/bin/sh\necho 'ssh: connect to host b port 22: No route to host' >&2\nexit 1\n", mode: 0o755)
    try site.folder.write("ssh_config", "Host *\n  ProxyCommand \(proxy)\n")
    let gone = site.refusal(host.node)
    #expect(gone.class == .retry && gone.message.contains("cannot be reached"), "\(gone)")
    try site.folder.write("ssh_config", "")
    let nameless = site.refusal("ssh://nobody.invalid")
    #expect(nameless.class == .notFound && nameless.message.contains("nobody.invalid"), "\(nameless)")
  }

  @Test("a host that is cut off does not hold a run for ever")
  func cutOff() throws {
    let site = try Site(["b"])
    try site.hosts.cut(nil, "b")
    try site.folder.write("ssh_config", "\(try site.folder.read("ssh_config"))\n  ConnectTimeout 1\n")
    let error = site.refusal(try site.hosts["b"].node)
    #expect(error.class == .retry && error.message.contains("cannot be reached"), "\(error)")
    try site.hosts.mend(nil, "b")
    try site.connect(site.hosts["b"].node).close()
  }

  @Test("a host without ferry, with a ferry of another protocol, or with one for another machine: each is named")
  func otherFerries() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try Files.remove("\(host.folder)/bin/ferry")
    let missing = site.refusal(host.node)
    #expect(
      missing.class == .notFound && missing.message.contains("there is no ferry on") && missing.hint.contains("deploy: true"), "\(missing)")
    try host.program(
      "ferry", "#!/bin/sh\nread -r line\nprintf '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocol\":0,\"ferry\":\"0.0.9\"}}\\n'\n")
    let old = site.refusal(host.node)
    #expect(
      old.class == .unsupported && old.message.contains("speaks protocol 0 (ferry 0.0.9)") && old.hint.contains("same ferry at both ends"),
      "\(old)")
    // The header of a program for another machine (aarch64).
    var header = try Array(Files.read("/bin/true").prefix(4096))
    header[18] = 0xb7
    header[19] = 0
    try Files.replace("\(host.folder)/bin/ferry", with: header, mode: 0o755)
    let foreign = site.refusal(host.node)
    #expect(foreign.class == .unsupported && foreign.message.contains("another architecture"), "\(foreign)")
  }

  @Test("an account that runs no commands is told with what it said")
  func noShell() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    try host.write(
      "etc/passwd",
      String(decoding: Files.read("\(host.folder)/etc/passwd"), as: UTF8.self).replacing("/home:/bin/sh", with: "/home:/usr/sbin/nologin"))
    let error = site.refusal(host.node)
    #expect(error.class == .unsupported && error.message.contains("login shell") && error.message.contains("not available"), "\(error)")
  }

  @Test("a session that is over leaves no control socket, no process here and none there")
  func nothingLeft() throws {
    let site = try Site(["b"])
    let host = try site.hosts["b"]
    let folder: String
    do {
      let transport = try SSHTransport(NodeSpec(node: host.node, name: "b"), configuration: site.configuration)
      folder = transport.folder
      _ = try transport.start(["agent"])
      _ = try transport.start(["agent"])
      #expect(Files.exists("\(folder)/1"))
      #expect(folder.utf8.count < 80)
      var status = stat()
      #expect(stat(folder, &status) == 0 && status.st_mode & 0o777 == 0o700)
      transport.close()
    }
    #expect(!Files.exists(folder))
    try waitFor("the login has ended") { try site.logins(of: host) == 0 }
  }
}
