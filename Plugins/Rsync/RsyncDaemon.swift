import FerryPluginKit
import Glibc

/// NethServer's way: an rsync daemon at the destination, with a user and a secret for this pass alone, on one address.
///
/// rsync serves one connection that it is handed as its standard input, so Ferry listens and rsync never does: the port is the kernel's
/// choice, it is open before the source hears of it, and it is closed when the pass ends.
struct RsyncDaemon {
  static let module = "state"
  private static let user = "ferry"

  /// The source's last word.
  struct Ending: Codable { var code: Int32 }

  let context: ProviderContext
  let address: String
  let folder: String

  func serve(on channel: Int32) throws {
    let password = try Self.secret()
    let settings = "\(context.temporaryFolder)/rsyncd.conf"
    let secrets = "\(context.temporaryFolder)/rsyncd.secrets"
    defer { for path in [settings, secrets] { unlink(path) } }
    try Files.replace(secrets, with: Array("\(Self.user):\(password)\n".utf8))
    try Files.replace(settings, with: Array(configuration(secrets).utf8))
    let (listener, port) = try listen()
    try RsyncWire.send(RsyncWire.DaemonAddress(address: address, port: port, user: Self.user, password: password), on: channel)

    let children = Cancellation()
    let codes = Lock<[Int32]>([])
    let gone = Signal()
    var connections = 0
    defer {
      listener.close()
      children.cancel()
      for _ in 0..<connections { gone.wait() }
    }
    let pulse = ChildActivity { [context] read in context.progress(bytes: read) }
    defer { pulse.end() }
    while true {
      var states = [channel, listener.number, context.cancellation.descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      if poll(&states, 3, -1) < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the source") }
      try context.checkCancellation()
      if states[0].revents != 0 { break }
      guard states[1].revents != 0 else { continue }
      let accepted = accept(listener.number, nil, nil)
      // A stranger that holds connections open must not keep the source out for ever, nor fill this node.
      guard accepted >= 0, connections < 64 else {
        if accepted >= 0 { close(accepted) }
        continue
      }
      let connection = Descriptor(accepted)
      connections += 1
      Threads.detach {
        defer { gone.raise() }
        var command = Command(["rsync", "--daemon", "--no-detach", "--config=\(settings)"], environment: RsyncTool.environment)
        command.input = .descriptor(connection.number)
        command.output = .descriptor(connection.number)
        command.cancellation = children
        let code = (try? command.run().code) ?? -1
        connection.close()
        codes.withLock { $0.append(code) }
      }
    }
    let ending = try RsyncWire.receive(Ending.self, on: channel, context)
    guard [0, 23, 24].contains(ending.code) else { throw FerryError(.peer, "rsync failed at the source with code \(ending.code)") }
    // The source's rsync is done once the daemon's has said good-bye; a moment later that one is gone as well.
    for _ in 0..<connections where !gone.wait(atMost: .seconds(10)) { children.cancel() }
    connections = 0
    guard codes.withLock({ $0.contains { $0 == 0 || $0 == ending.code } }) else {
      throw FerryError(.io, "the rsync daemon took no connection to its end")
    }
  }

  private func configuration(_ secrets: String) -> String {
    let isRoot = geteuid() == 0
    return """
      use chroot = \(isRoot ? "yes" : "no")
      \(isRoot ? "uid = 0\ngid = 0" : "")
      numeric ids = yes
      munge symlinks = no
      max verbosity = 0
      log file = /dev/null
      reverse lookup = no
      [\(Self.module)]
        path = \(folder)
        read only = no
        write only = yes
        list = no
        auth users = \(Self.user)
        secrets file = \(secrets)

      """
  }

  private func listen() throws -> (Descriptor, Int) {
    var hints = addrinfo()
    hints.ai_flags = AI_NUMERICHOST | AI_PASSIVE
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(address, nil, &hints, &found) == 0, let info = found?.pointee else {
      throw FerryError(
        .invalid, "'\(address)' is not an address of a network interface", hint: "give `to.address` as a number, such as 10.5.4.1")
    }
    defer { freeaddrinfo(found) }
    let listener = Descriptor(socket(info.ai_family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0))
    guard bind(listener.number, info.ai_addr, info.ai_addrlen) == 0, Glibc.listen(listener.number, 4) == 0 else {
      throw FerryError(errno: errno, "cannot listen on \(address)")
    }
    var bound = sockaddr_storage()
    var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
    let port = withUnsafeMutablePointer(to: &bound) { pointer in
      pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
        // The port has the same place in both families.
        address.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(listener.number, $0, &length) } == 0
          ? Int(UInt16(bigEndian: address.pointee.sin_port)) : 0
      }
    }
    guard port > 0 else { throw FerryError(errno: errno, "cannot learn the port on \(address)") }
    return (listener, port)
  }

  private static func secret() throws -> String {
    let file = try Descriptor.open("/dev/urandom", O_RDONLY)
    let bytes = try file.read(upTo: 24)
    guard bytes.count == 24 else { throw FerryError(.io, "cannot make a secret") }
    let letters = Array("abcdefghijkmnpqrstuvwxyzABCDEFGH23456789".utf8.prefix(32))
    return String(decoding: bytes.map { letters[Int($0 & 31)] }, as: UTF8.self)
  }
}
