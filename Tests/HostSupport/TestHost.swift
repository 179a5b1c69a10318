import FerrySystem
import Glibc
import TestSupport

/// One host: namespaces for network, mounts and its name, held by a process; sshd; root and a user `mover`, who may use sudo if the test says so.
public final class TestHost: Sendable {
  static let sshd = "/usr/sbin/sshd"

  /// What the test and the host itself call it.
  public let name: String
  /// Its address, the same from everywhere.
  public let address: String
  /// Its IPv6 address, the same from everywhere.
  public let address6: String
  /// What is the host's own: `home` (root's), `mover`, `etc`, `bin` (its /usr/local/bin), `cache` (its /var/cache), `lib` (its /var/lib).
  public let folder: String
  private let number: Int
  private let holder = Lock<ChildProcess?>(nil)
  private let boots = Lock(0)

  /// The address of root there, for a manifest.
  public var node: String { "ssh://root@\(address)" }
  /// The same by its IPv6 address.
  public var node6: String { "ssh://root@[\(address6)]" }

  init(_ name: String, number: Int, network: TestNetwork, folder: String, key: String) throws {
    self.name = name
    self.number = number
    self.folder = folder
    address = network.address(number)
    address6 = network.address6(number)
    for part in ["home", "mover", "etc", "bin", "cache", "lib"] { try Files.makeFolder("\(folder)/\(part)", mode: 0o755) }
    guard chown("\(folder)/mover", 4242, 4242) == 0 else { throw FerryError(errno: errno, "cannot give \(folder)/mover away") }
    try write(
      "etc/passwd",
      "root:x:0:0:root:\(folder)/home:/bin/sh\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\nmover:x:4242:4242::\(folder)/mover:/bin/sh\n")
    try write("etc/shadow", "root:*:19000:0:99999:7:::\nsshd:*:19000:0:99999:7:::\nmover:*:19000:0:99999:7:::\n", mode: 0o600)
    try write("etc/authorized_keys", String(decoding: Files.read(key), as: UTF8.self))
    try TestHosts.makeKey("\(folder)/etc/host_key")
    try configureSSHD()
  }

  /// Writes sshd's configuration; it counts from the next start on. `more` goes first, and so wins.
  public func configureSSHD(_ more: String = "") throws {
    try write(
      "etc/sshd_config",
      """
      \(more)
      HostKey \(folder)/etc/host_key
      AuthorizedKeysFile \(folder)/etc/authorized_keys
      PidFile none
      UsePAM no
      StrictModes no
      PasswordAuthentication no
      KbdInteractiveAuthentication no
      UseDNS no
      LogLevel VERBOSE

      """)
  }

  /// Makes a program of this machine the host's `ferry`.
  public func install(ferry: String, plugins: String?) throws {
    let variable = plugins.map { "FERRY_PLUGINS='\($0)' " } ?? ""
    try program("ferry", "#!/bin/sh\n\(variable)exec '\(ferry)' \"$@\"\n")
  }

  /// Puts a program into the host's /usr/local/bin.
  public func program(_ name: String, _ text: String) throws { try write("bin/\(name)", text, mode: 0o755) }

  /// Writes a file of the host's own folder, in place: some are mounted over others.
  public func write(_ path: String, _ text: String, mode: UInt32 = 0o644) throws {
    let file = try Descriptor.open("\(folder)/\(path)", O_WRONLY | O_CREAT | O_TRUNC, mode: mode)
    try file.write(Array(text.utf8))
    guard fchmod(file.number, mode) == 0 else { throw FerryError(errno: errno, "cannot write \(path)") }
  }

  /// Its ssh host key, as known_hosts has it.
  public func publicKey() throws -> String {
    String(decoding: try Files.read("\(folder)/etc/host_key.pub"), as: UTF8.self).split(separator: " ").prefix(2).joined(separator: " ")
  }

  // MARK: Running

  /// A command that runs on the host, as root.
  public func command(_ arguments: [String]) throws -> Command {
    guard let pid = holder.withLock({ $0?.pid }) else { throw FerryError(.internal, "\(name) is down") }
    var command = Command(
      ["nsenter", "-t", "\(pid)", "-n", "-m", "-u", "--"] + arguments, environment: ["HOME": "\(folder)/home", "TMPDIR": nil])
    command.timeout = .seconds(300)
    return command
  }

  /// The TCP ports of IPv4 that somebody on the host listens at now.
  public func listening() -> [UInt16] {
    guard let pid = holder.withLock({ $0?.pid }), let table = try? Files.read("/proc/\(pid)/net/tcp") else { return [] }
    return String(decoding: table, as: UTF8.self).split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      // The state 0A is LISTEN; an address is HEX:PORT.
      guard words.count > 3, words[3] == "0A", let port = words[1].split(separator: ":").last else { return nil }
      return UInt16(port, radix: 16)
    }
  }

  /// Whether it was booted and not killed since.
  public var isUp: Bool { holder.withLock { $0 != nil } }
  var end: TestNetwork.End { TestNetwork.End(number: number, pid: holder.withLock { $0?.pid }) }

  func start() throws {
    let boot = boots.withLock { boots in
      defer { boots += 1 }
      return boots
    }
    if boot > 0 { try write("etc/boot_id", "\(try String(decoding: Files.read("/proc/sys/kernel/random/uuid"), as: UTF8.self))") }
    try write("etc/boot", script(boot: boot), mode: 0o755)
    let (read, write) = try Descriptor.pipe()
    let child = try spawn(["unshare", "--net", "--mount", "--uts", "/bin/sh", "\(folder)/etc/boot"], output: write)
    write.close()
    guard String(decoding: try read.read(upTo: 64), as: UTF8.self).hasPrefix("up") else {
      throw FerryError(.internal, "\(name) does not boot")
    }
    holder.withLock { $0 = child }
    try startSSHD()
  }

  /// Starts sshd, which must not run.
  public func startSSHD() throws {
    guard let pid = holder.withLock({ $0?.pid }) else { return }
    let (read, write) = try Descriptor.pipe()
    _ = try spawn(
      ["nsenter", "-t", "\(pid)", "-n", "-m", "-u", "--", TestHost.sshd, "-D", "-e", "-f", "\(folder)/etc/sshd_config"], output: write)
    write.close()
    var said = ""
    while !said.contains("Server listening on :: ") {
      let more = try read.read(upTo: 4096)
      guard !more.isEmpty else { throw FerryError(.internal, "sshd of \(name) does not start: \(said)") }
      said += String(decoding: more, as: UTF8.self)
    }
    // Read on: a full pipe would stop it.
    Threads.detach { while let more = try? read.read(upTo: 4096), !more.isEmpty {} }
  }

  /// Ends sshd and every session of it.
  public func stopSSHD() { kill { $0.hasPrefix("sshd") || $0.hasPrefix("ssh") } }

  /// Ends all that runs on the host, at once.
  public func kill() {
    kill { _ in true }
    holder.withLock { $0 = nil }
  }

  /// Kills the host's processes of that command: those in its network namespace, and so nobody else's.
  private func kill(_ which: (String) -> Bool) {
    guard let pid = holder.withLock({ $0?.pid }), let mine = TestHost.namespace(pid), mine != TestHost.namespace(getpid()) else { return }
    // Kept open: once it is gone, its number may be that of another test's host.
    guard let kept = try? Descriptor.open("/proc/\(pid)/ns/net", O_RDONLY) else { return }
    defer { kept.close() }
    for _ in 0..<400 {
      let victims = TestHost.processes(in: mine).filter { pid in
        (try? Files.read("/proc/\(pid)/comm")).map { which(String(decoding: $0, as: UTF8.self)) } ?? false
      }
      if victims.isEmpty { return }
      for victim in victims { _ = Glibc.kill(victim, SIGKILL) }
      usleep(5000)
    }
  }

  /// What runs on the host now.
  public func processes() -> [Int32] { holder.withLock { $0?.pid }.flatMap { Self.namespace($0) }.map { Self.processes(in: $0) } ?? [] }

  private static func processes(in network: String) -> [Int32] {
    Files.names(in: "/proc").compactMap { Int32($0) }.filter { namespace($0) == network }
  }

  private static func namespace(_ pid: Int32) -> String? {
    var buffer = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/\(pid)/ns/net", &buffer, buffer.count - 1)
    return length > 0 ? String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }

  private func script(boot: Int) -> String {
    """
    set -e
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs tmpfs /dev/shm
    mkdir /run/sshd
    for file in passwd shadow; do mount --bind '\(folder)/etc/'$file /etc/$file; done
    mount --bind '\(folder)/bin' /usr/local/bin
    mount --bind '\(folder)/cache' /var/cache
    mount --bind '\(folder)/lib' /var/lib
    [ \(boot) = 0 ] || mount --bind '\(folder)/etc/boot_id' /proc/sys/kernel/random/boot_id
    if [ -e '\(folder)/etc/rc' ]; then . '\(folder)/etc/rc'; fi
    hostname '\(name)'
    ip link set lo up
    echo up
    exec sleep 1000000
    """
  }

  /// A process that dies with this one: started by a thread that waits for it.
  private func spawn(_ arguments: [String], output: Descriptor) throws -> ChildProcess {
    let result = Lock<Result<ChildProcess, any Error>?>(nil)
    let started = Signal()
    let copy = Descriptor(fcntl(output.number, F_DUPFD_CLOEXEC, 3))
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    Threads.detach {
      let outcome = Result {
        try ChildProcess.spawn(
          // A host inherits nothing from this machine.
          ["env", "-i", "HOME=/", "PATH=\(path)"] + arguments, directory: "/",
          descriptors: [0: null.number, 1: copy.number, 2: copy.number], ties: .thread)
      }
      copy.close()
      result.withLock { $0 = outcome }
      started.raise()
      if case .success(let child) = outcome { child.wait() }
    }
    started.wait()
    guard let outcome = result.withLock({ $0 }) else { throw FerryError(.internal, "no process") }
    return try outcome.get()
  }
}
