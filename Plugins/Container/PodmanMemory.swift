import FerryEngineKit
import Glibc

/// A running Podman container with its memory: its processes go on at the destination where they were.
///
/// `freeze` is the stop: a checkpoint, which stays at the source until the run is over, so that `thaw` goes on from it. The archive of it is what the
/// final pass moves; `activate` restores it. The container must not be among the services: a stop would end what is to go on.
final class PodmanMemoryProvider: StateProvider {
  static let id = "podman-memory"
  static let summary = "moves a running Podman container with its memory: its processes go on where they were (CRIU)"
  static let schema = MemoryConfig.schema

  private let context: ProviderContext
  private let config: MemoryConfig
  private let base: ContainerProvider
  private var name: String { config.endpoint.container }
  /// It holds whatever the processes had in memory: nobody else may read it.
  private var archive: String { "\(context.temporaryFolder)/checkpoint.tar" }

  /// How far the source's container is stopped.
  private enum Stage: String, Codable { case freezing, frozen }
  private static let stage = "stage"
  private static let restoring = "restoring"

  private struct Parcel: Codable { var size: Int64 }

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    base = try ContainerProvider(context, .podman)
  }

  func check() throws -> CheckReport {
    try base.report { report, engine in
      let host = try CheckpointHost.here(context)
      report.versions["criu"] = host.criu
      report.versions["kernel"] = host.kernel
      guard context.side == .source else {
        if try engine.container(name) != nil { throw exists() }
        return
      }
      let container = try base.container(name)
      guard container.isRunning else { throw notRunning() }
      report.entries = 1
      let tracks = try context.run(Command(["criu", "check", "--feature", "mem_dirty_track"], timeout: .seconds(60))).succeeded
      report.notices.append(
        .init(
          .warning,
          "all memory of \(name) travels while nobody serves: "
            + (tracks ? "Ferry takes no checkpoints ahead" : "this kernel does not track which of it changes, so none can go ahead")))
    }
  }

  private func exists() -> FerryError {
    FerryError(.conflict, "Podman has a container \(name) already; nothing was changed", hint: "choose another name with `to`")
  }
  private func notRunning() -> FerryError {
    FerryError(
      .precondition, "the container \(name) does not run, so it has no memory to move",
      hint: "start it; it must not stand under `services`, which would stop it before its memory is taken")
  }

  func prepare() throws -> Offer {
    var keys = try JSONValue(encoding: ContainerMapping(base.config.endpoint))
    keys["host"] = try JSONValue(encoding: CheckpointHost.here(context))
    return Offer(.private, keys.object ?? [:])
  }

  func prepare(for offer: Offer) throws {
    let here = try CheckpointHost.here(context)
    guard let there = try offer["host"]?.decode(CheckpointHost.self) else { throw FerryError(.internal, "the offer names no host") }
    if let obstacle = here.obstacle(to: there, ignoringProcessor: config.ignoreCpu == true) { throw obstacle }
    if CheckpointHost.numbers(there.kernel).lexicographicallyPrecedes(CheckpointHost.numbers(here.kernel)) {
      context.log(
        .warning, "the destination's kernel \(there.kernel) is older than \(here.kernel): what it lacks keeps processes from going on")
    }
    try ContainerSource(provider: base).prepare()
  }

  // MARK: Passes

  func transfer(_ pass: Pass) throws -> PassReport {
    // While the container runs: its image and its networks.
    guard pass.isFinal else { return try ContainerSource(provider: base).transfer(pass) }
    let channel = try pass.channel
    let size = try Self.size(of: archive)
    try context.tell(Parcel(size: size), on: channel)
    try ChannelBytes(channel, context).send(file: archive, size)
    return PassReport(bytes: size, entries: 1, changed: 1)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    guard pass.isFinal else { return try ContainerDestination(provider: base).receive(pass, making: false) }
    let channel = try pass.channel
    let parcel = try context.hear(Parcel.self, on: channel)
    let file = try Descriptor.open(archive, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    var received: Int64 = 0
    try ChannelBytes(channel, context).receive(parcel.size) { bytes in
      try file.write(Array(bytes))
      received += Int64(bytes.count)
      context.progress(bytes: received, of: parcel.size)
    }
    guard fsync(file.number) == 0 else { throw FerryError(errno: errno, "cannot write \(archive)") }
    return PassReport(bytes: received, entries: 1)
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let size: Int64
    do { size = try Self.size(of: archive) } catch {
      throw FerryError(.precondition, "the memory of \(name) runs on: there is no checkpoint to compare any more")
    }
    let hash = ContentDigest(request.algorithm == .sha256 ? .sha256 : .xxh3)
    let file = try Descriptor.open(archive, O_RDONLY)
    var blocks: [UInt8] = []
    while case let block = try file.read(upTo: 4 << 20), !block.isEmpty {
      try context.checkCancellation()
      blocks += Array(hash.hex(of: block).utf8)
    }
    let root = hash.hex(of: blocks)
    if let listing = request.listing { try Files.replace(listing, with: Array("\(root)\tcheckpoint\n".utf8)) }
    return DigestReport(root: root, entries: 1, bytes: size)
  }

  private static func size(of path: String) throws -> Int64 {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(path)") }
    return Int64(status.st_size)
  }

  // MARK: Stopping and going on

  private func podman(_ arguments: [String]) throws {
    let outcome = try context.run(Command((config.endpoint.podman ?? ["podman"]) + ["container"] + arguments, timeout: .seconds(600)))
    guard outcome.succeeded else {
      let said = outcome.errors.split(separator: "\n").last { $0.contains("rror") } ?? outcome.errors.split(separator: "\n").last
      throw FerryError(
        .io, "`podman container \(arguments[0])` of \(name) failed: \(said.map(String.init) ?? outcome.reason)",
        hint: "criu's own words are in the dump.log or restore.log that Podman names")
    }
  }

  private var connections: [String] { config.connections == .keep ? ["--tcp-established"] : [] }

  private func sourceContainer() throws -> EngineContainer? {
    guard let note = try ContainerNote.read(context) else { return nil }
    return try base.engine().container(note.container)
  }

  func freeze() throws {
    if try context.kv.get(Self.stage, as: Stage.self) == .frozen, Files.exists(archive) { return }
    guard let container = try sourceContainer(), container.isRunning else { throw notRunning() }
    try context.kv.put(Self.stage, Stage.freezing)
    try? Files.remove(archive)
    do {
      try podman(
        ["checkpoint", "--export", archive, "--compress", "none", "--ignore-volumes", "--file-locks"] + connections + [container.id])
    } catch let error as FerryError where config.connections != .keep && error.message.contains("onnect") {
      throw FerryError(error.class, error.message, hint: "established connections? `connections: keep` keeps them")
    }
    try context.kv.put(Self.stage, Stage.frozen)
  }

  func thaw() throws {
    guard try context.kv.get(Self.stage, as: Stage.self) != nil, let container = try sourceContainer() else { return }
    if !container.isRunning { try podman(["restore", "--file-locks"] + connections + [container.id]) }
    try context.kv.remove(Self.stage)
  }

  func activate() throws {
    let engine = try base.engine()
    if let container = try engine.container(name) {
      guard try context.kv.get(Self.restoring, as: Bool.self) == true else { throw exists() }
      if container.isRunning { return }
      try podman(["rm", "--force", container.id])
    }
    try context.kv.put(Self.restoring, true)
    try podman(["restore", "--import", archive, "--name", name, "--ignore-volumes", "--file-locks"] + connections)
    guard try engine.container(name)?.isRunning == true else {
      throw FerryError(.io, "the container \(name) was restored and does not run", hint: "`podman logs \(name)` may say why")
    }
  }

  func deactivate() throws {
    guard try context.kv.get(Self.restoring, as: Bool.self) == true else { return }
    if try base.engine().container(name) != nil { try podman(["rm", "--force", "--time", "0", name]) }
    try context.kv.remove(Self.restoring)
  }

  func discard() throws {
    if context.side == .destination {
      try deactivate()
      if let record = try ContainerRecord.read(context) { try ContainerFooting(provider: base).remove(record) }
      try ContainerRecord.forget(context)
    }
    try release()
  }

  func release() throws { if Files.exists(archive) { try Files.remove(archive) } }

  func retire() throws { try ContainerSource(provider: base).retire() }
}
