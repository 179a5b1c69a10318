import FerrySystem
import Glibc

/// Another host, through the system's `ssh`: the user's own configuration, keys, jump hosts and known hosts count. The first stream's ssh is a
/// master that further streams share, as long as the other host's limit of sessions allows; then there is another one.
final class SSHTransport: NodeTransport {
  /// Below the default of sshd's MaxSessions, 10: a person's own sessions count as well.
  static let sessionsOfMaster = 8
  /// What a login may take, with all its noise.
  static let patience: Duration = .seconds(90)

  let name: String
  let address: SSHAddress
  var usesSudo: Bool { spec.become == .sudo }
  private let spec: NodeSpec
  private let configuration: Engine.Configuration
  /// Of the control sockets.
  var folder: String { place.path }
  private let place: TransientFolder
  private let state = Lock(State())
  /// One login at a time: the next stream may share it.
  private let starting = Lock(())
  private let deploying = Lock(())
  private let known = Lock<InstalledTree?>(nil)

  /// A session's place on a login.
  private struct Seat: Sendable {
    var number: Int
    var socket: Int
    var isMaster: Bool
  }
  private struct State {
    /// Sessions that each control socket has now.
    var sessions: [Int: Int] = [:]
    /// The seats that are taken, and by whom; nil: by one that is about to start.
    var seats: [Int: NodeProcess?] = [:]
    var seat = 0
    var socket = 0
    var closed = false
  }

  init(_ spec: NodeSpec, configuration: Engine.Configuration) throws {
    self.spec = spec
    self.configuration = configuration
    name = spec.name
    address = try SSHAddress(spec.node)
    place = try Self.makeControlFolder()
    try Files.replace("\(folder)/config", with: Array(Self.settings(configuration.sshConfig).utf8))
  }

  func start(_ arguments: [String]) throws -> NodeProcess {
    let deployment = spec.deploy ? Deployment(transport: self, tree: try tree()) : nil
    let body = deployment?.script(arguments) ?? RemoteScript.ferry(arguments)
    for attempt in 1...2 {
      let (process, word) = try run(script(body))
      if word == "ready" { return process }
      process.end()
      guard let deployment, attempt == 1 else { break }
      try deploying.withLock { _ in try deployment.send(to: word) }
    }
    throw SSHFailure(self).missingFerry()
  }

  /// A script for this node, as root where the manifest says so.
  func script(_ body: String) throws -> RemoteScript { try RemoteScript(body, sudo: usesSudo) }

  private func tree() throws -> InstalledTree {
    try known.withLock { known in
      if let tree = known { return tree }
      let tree = try InstalledTree.of(configuration.executable)
      known = tree
      return tree
    }
  }

  func close() {
    let processes = state.withLock { state in
      state.closed = true
      return state.seats.values.compactMap { $0 }
    }
    for process in processes { process.end(grace: .seconds(10)) }
    // Those that share a login have it by now. A command that ends does not wait for anybody, and must leave nothing.
    place.remove()
  }

  /// Runs a script on the node; returns once its marker has come, with what stood behind it.
  func run(_ script: RemoteScript) throws -> (process: NodeProcess, word: String) {
    // Those that come while a login is under way wait for it, and then share it side by side.
    let (seat, started) = try starting.withLock { _ in
      let seat = try takeSeat()
      return (seat, seat.isMaster ? try begin(script, seat) : nil)
    }
    return try started ?? begin(script, seat)
  }

  private func begin(_ script: RemoteScript, _ seat: Seat) throws -> (process: NodeProcess, word: String) {
    let process: NodeProcess
    do {
      process = try NodeProcess.spawn(
        command(seat), environment: [FaultInjection.variable: nil], quiet: configuration.quiet, onEnd: { [weak self] in self?.leave(seat) })
    } catch {
      leave(seat)
      throw error
    }
    let isClosed = state.withLock { state in
      if state.seats[seat.number] != nil { state.seats[seat.number] = process }
      return state.closed
    }
    do {
      if isClosed { throw FerryError(.cancelled, "the connection to \(name) is closed") }
      // A stranger's shell may be gone already: what it has said tells more than a broken pipe.
      try? process.send(script.line)
      return (process, try word(after: script.marker, from: process, within: Self.patience))
    } catch {
      process.end(grace: .zero)
      throw error
    }
  }

  private func command(_ seat: Seat) -> [String] {
    [
      "ssh", "-F", "\(folder)/config", "-T", "-a", "-x", "-S", "\(folder)/\(seat.socket)", "-o",
      "ControlMaster=\(seat.isMaster ? "yes" : "no")",
      "-o", "ControlPersist=no", "-o", "BatchMode=yes", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none",
      "-o", "PermitLocalCommand=no", "-o", "LogLevel=ERROR",
    ] + address.arguments + [RemoteScript.loader]
  }

  /// What the user says comes first and so wins; ours is for what nobody has said.
  private static func settings(_ config: String?) -> String {
    let files = config.map { [$0] } ?? ["~/.ssh/config", "/etc/ssh/ssh_config"]
    return files.map { "Include \"\($0)\"\n" }.joined() + "Host *\n  ConnectTimeout 20\n  ServerAliveInterval 15\n  ServerAliveCountMax 3\n"
  }

  // MARK: Masters

  private func takeSeat() throws -> Seat {
    try state.withLock { state in
      guard !state.closed else { throw FerryError(.cancelled, "the connection to \(name) is closed") }
      state.seat += 1
      let free = state.sessions.filter { $0.value > 0 && $0.value < Self.sessionsOfMaster }.keys.min()
      if free == nil { state.socket += 1 }
      let seat = Seat(number: state.seat, socket: free ?? state.socket, isMaster: free == nil)
      state.sessions[seat.socket, default: 0] += 1
      state.seats[seat.number] = .some(nil)
      return seat
    }
  }

  private func leave(_ seat: Seat) {
    state.withLock { state in
      state.sessions[seat.socket, default: 1] -= 1
      state.seats.removeValue(forKey: seat.number)
    }
  }

  /// For this user alone, and short: a socket's address holds 107 bytes, and ssh adds 17 to it for a moment.
  private static func makeControlFolder() throws -> TransientFolder {
    let runtime = Environment.all["XDG_RUNTIME_DIR"] ?? ""
    let base = !runtime.isEmpty && runtime.utf8.count < 60 && access(runtime, W_OK) == 0 ? runtime : "/tmp"
    return try TransientFolder("\(base)/ferry-ssh", orSay: "cannot make a folder for ssh's control socket in \(base)")
  }

  // MARK: The first word

  /// Reads up to the marker's line, byte by byte behind the noise, so that nothing of the stream proper is taken.
  func word(after marker: String, from process: NodeProcess, within patience: Duration) throws -> String {
    let deadline = ContinuousClock.now + patience
    var noise: [UInt8] = []
    var line: [UInt8] = []
    while true {
      var ready = pollfd(fd: process.stream.number, events: Int16(POLLIN), revents: 0)
      let left = ContinuousClock.now.duration(to: deadline).components.seconds
      guard left > 0, poll(&ready, 1, Int32(left) * 1000) == 1 else {
        if left > 0, errno == EINTR { continue }
        throw SSHFailure(self, noise: noise + line).late(patience)
      }
      guard let byte = try? process.stream.read(upTo: 1).first else { throw SSHFailure(self, noise: noise + line).of(process) }
      guard byte == 10 else {
        line.append(byte)
        if line.count > 1 << 16 { line.removeFirst(1 << 15) }
        continue
      }
      let text = String(decoding: line, as: UTF8.self)
      if let found = text.firstRange(of: marker + " ") { return String(text[found.upperBound...]).filter { $0 != "\r" } }
      noise = Array((noise + line + [10]).suffix(2048))
      line = []
    }
  }
}
