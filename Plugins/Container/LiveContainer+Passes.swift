import FerryEngineKit
import Glibc

/// What travels: image and networks and, where the kernel tracks memory, most of it, while the processes run; the checkpoint once they are stopped.
extension LiveContainer {
  /// Source to destination, in a hot pass.
  private struct Ahead: Codable {
    /// The source's processor, as criu writes it down.
    var processor: [UInt8]?
    /// The memory as it is now, if it can be taken.
    var memory: Parcel?
  }

  /// A file that follows.
  private struct Parcel: Codable {
    var size: Int64
    /// The pass in which the memory was sent that this one leaves out.
    var leans: Int?
  }

  /// The pass whose memory lies at each end.
  static let lastAhead = "ahead"
  /// The pass whose memory the checkpoint lacks.
  static let leaning = "leaning"
  /// Whether Podman was told to take memory ahead.
  private static let taken = "taken"

  func transfer(_ pass: Pass) throws -> PassReport {
    guard pass.isFinal else { return try transferAhead(pass) }
    let size = try Self.size(of: archive)
    try context.tell(Parcel(size: size, leans: leansOn()), on: pass.channel)
    try ChannelBytes(pass.channel, context).send(file: archive, size)
    return PassReport(bytes: size, entries: 1, changed: 1)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    guard pass.isFinal else { return try receiveAhead(pass) }
    let parcel = try context.hear(Parcel.self, on: pass.channel)
    if let leans = parcel.leans {
      guard try context.kv.get(Self.lastAhead, as: Int.self) == leans else {
        throw FerryError(.internal, "the checkpoint leans on memory of pass \(leans), which is not what was received")
      }
      try context.kv.put(Self.leaning, leans)
    } else {
      try context.kv.remove(Self.leaning)
    }
    try receive(parcel, into: archive, on: pass.channel)
    return PassReport(bytes: parcel.size, entries: 1)
  }

  /// The pass that the checkpoint leans on: the last one that has taken memory. Nil where the checkpoint is whole.
  func leansOn() throws -> Int? { try context.kv.get(Self.leaning) }

  private func transferAhead(_ pass: Pass) throws -> PassReport {
    var report = try ContainerSource(provider: base).transfer(pass)
    var message = Ahead()
    if config.ignoreCpu != true { message.processor = try CheckpointHost.processorImage(context) }
    guard try CheckpointHost.tracksMemory(context), let container = try sourceContainer() else {
      report.method = "no memory: the kernel does not track it"
      try context.tell(message, on: pass.channel)
      return report
    }
    // What a broken-off pass has taken is nothing to lean on.
    try context.kv.remove(Self.lastAhead)
    try context.kv.put(Self.taken, true)
    do {
      try podman.run(
        ["checkpoint", "--pre-checkpoint", "--export", ahead, "--compress", "none", "--ignore-rootfs", "--ignore-volumes", "--file-locks"]
          + connections + [container.id])
    } catch let error as FerryError where error.class == .io {
      // Not every runtime can. The container runs on, and its checkpoint can have all of it.
      report.method = "no memory: \(error.message)"
      context.log(.warning, "no memory of \(container.name) goes ahead, so all of it travels while nobody serves: \(error.message)")
      try context.tell(message, on: pass.channel)
      return report
    }
    let size = try Self.size(of: ahead)
    message.memory = Parcel(size: size)
    try context.tell(message, on: pass.channel)
    // It stays here too: both ends' are compared.
    try ChannelBytes(pass.channel, context).send(file: ahead, size)
    try context.kv.put(Self.lastAhead, pass.number)
    // It is taken anew each time, so it is no delta that further passes could make smaller.
    if pass.isFirst { report.bytes += size }
    report.method = "memory ahead"
    return report
  }

  private func receiveAhead(_ pass: Pass) throws -> PassReport {
    var report = try ContainerDestination(provider: base).receive(pass, making: false)
    let message = try context.hear(Ahead.self, on: pass.channel)
    if let image = message.processor { try CheckpointHost.refuseProcessor(image, context) }
    try context.kv.remove(Self.lastAhead)
    guard let memory = message.memory else { return report }
    try receive(memory, into: ahead, on: pass.channel)
    try context.kv.put(Self.lastAhead, pass.number)
    if pass.isFirst { report.bytes += memory.size }
    return report
  }

  /// Podman keeps what it took ahead beside the container, until it is restored or removed: one that was never stopped is neither.
  func forgetAhead() throws {
    guard context.side == .source, try context.kv.get(Self.taken, as: Bool.self) == true else { return }
    try podman.settle()
    if let container = try sourceContainer(), container.isRunning,
      let folder = try base.engine().podmanInspect(container.id)["StaticDir"]?.string
    {
      for name in ["pre-checkpoint", "devshm-checkpoint.tar"] { try TreeRemoval.remove("\(folder)/\(name)") }
    }
    try context.kv.remove(Self.taken)
  }

  private func receive(_ parcel: Parcel, into path: String, on channel: Int32) throws {
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
    var received: Int64 = 0
    try ChannelBytes(channel, context).receive(parcel.size) { bytes in
      try file.write(Array(bytes))
      received += Int64(bytes.count)
      context.progress(bytes: received, of: parcel.size)
    }
    guard fsync(file.number) == 0 else { throw FerryError(errno: errno, "cannot write \(path)") }
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    guard Files.exists(archive) else {
      throw FerryError(.precondition, "the memory of \(name) runs on: there is no checkpoint to compare any more")
    }
    let hash = ContentDigest(request.algorithm == .sha256 ? .sha256 : .xxh3)
    var (listing, size): (String, Int64) = ("", 0)
    for (path, called) in try (leansOn() == nil ? [] : [(ahead, "ahead")]) + [(archive, "checkpoint")] {
      let file = try Descriptor.open(path, O_RDONLY)
      var blocks: [UInt8] = []
      while case let block = try file.read(upTo: 4 << 20), !block.isEmpty {
        try context.checkCancellation()
        blocks += Array(hash.hex(of: block).utf8)
        size += Int64(block.count)
      }
      listing += "\(hash.hex(of: blocks))\t\(called)\n"
    }
    if let path = request.listing { try Files.replace(path, with: Array(listing.utf8)) }
    return DigestReport(root: hash.hex(of: Array(listing.utf8)), entries: 1, bytes: size)
  }

  private static func size(of path: String) throws -> Int64 {
    var status = stat()
    guard stat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(path)") }
    return Int64(status.st_size)
  }
}
