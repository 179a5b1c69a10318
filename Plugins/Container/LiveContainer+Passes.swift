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
  private static let lastAhead = "ahead"

  func transfer(_ pass: Pass) throws -> PassReport {
    guard pass.isFinal else { return try transferAhead(pass) }
    let size = try Self.size(of: archive)
    try context.tell(Parcel(size: size, leans: leaningOn()), on: pass.channel)
    try ChannelBytes(pass.channel, context).send(file: archive, size)
    return PassReport(bytes: size, entries: 1, changed: 1)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    guard pass.isFinal else { return try receiveAhead(pass) }
    let parcel = try context.hear(Parcel.self, on: pass.channel)
    guard parcel.leans == (try context.kv.get(Self.lastAhead, as: Int.self)) else {
      throw FerryError(.internal, "the checkpoint leans on memory of pass \(parcel.leans ?? -1), which is not what was received")
    }
    try receive(parcel, into: archive, on: pass.channel)
    return PassReport(bytes: parcel.size, entries: 1)
  }

  /// The pass that the checkpoint leans on: the last one that has taken memory.
  func leaningOn() throws -> Int? { try context.kv.get(Self.lastAhead) }

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
    try podman.run(
      ["checkpoint", "--pre-checkpoint", "--export", ahead, "--compress", "none", "--ignore-rootfs", "--ignore-volumes", "--file-locks"]
        + connections + [container.id])
    let size = try Self.size(of: ahead)
    message.memory = Parcel(size: size)
    try context.tell(message, on: pass.channel)
    try ChannelBytes(pass.channel, context).send(file: ahead, size)
    try Files.remove(ahead)
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
}
