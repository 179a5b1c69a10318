import FerryPluginKit
import Glibc

private let module = exportModule(name: "ExampleFile", version: "1.0", vendor: "Example", providers: [ExampleFile.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }

/// One regular file: its content and its mode.
///
/// At the destination it is received under a name of the run's own beside its target and gets its real name in `activate`; what was there before is
/// kept under another such name until `release`.
final class ExampleFile: StateProvider {
  static let id = "example-file"
  static let summary = "moves one regular file: content and mode"
  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {"from": {"$ref": "#/$defs/end"}, "to": {"$ref": "#/$defs/end"}},
     "$defs": {"end": {"type": "object", "required": ["file"], "additionalProperties": false, "properties":
       {"file": {"type": "string", "pattern": "^/(.*[^/])?$", "description": "absolute path of a regular file"}}}}}
    """

  private struct Config: Decodable {
    struct Endpoint: Decodable { var file: String }
    /// The item's `from` at the source, its `to` at the destination.
    var endpoint: Endpoint
  }

  private let context: ProviderContext
  private let path: String
  /// At the destination: received whole, being received, what was there before.
  private let staged: String
  private let part: String
  private let kept: String
  /// What a cancelled call may be waiting for.
  private let channel = Lock<Descriptor?>(nil)

  init(_ context: ProviderContext) throws {
    self.context = context
    path = try context.decodeConfig(Config.self).endpoint.file
    let name = path.split(separator: "/").last ?? ""
    staged = "\(Files.parent(of: path))/.\(name).ferry-\(context.run)"
    part = "\(staged).part"
    kept = "\(staged).kept"
  }

  func check() throws -> CheckReport {
    if context.side == .source { return CheckReport(bytes: try open(path).size, entries: 1) }
    let folder = Files.parent(of: path)
    try perform("write into \(folder)") { access(folder, W_OK) }
    if Files.exists(path) { _ = try open(path) }
    var report = CheckReport()
    report.room = Files.room(in: folder)
    return report
  }

  func prepare() throws -> Offer { Offer(.private) }
}

// MARK: The two halves of a pass

extension ExampleFile {
  /// On the channel: blocks of a length (4 bytes, big endian) and as many bytes, a block of length 0, and the mode as 4 bytes.
  private static let block = 65536

  func transfer(_ pass: Pass) throws -> PassReport {
    try during(pass) { channel in
      let (file, mode, size) = try open(path)
      var bytes: Int64 = 0
      while case let block = try file.read(upTo: Self.block), !block.isEmpty {
        try send(Self.bytes(of: UInt32(block.count)) + block, to: channel)
        bytes += Int64(block.count)
        context.progress(bytes: bytes, of: size, of: 1)
      }
      try send(Self.bytes(of: 0) + Self.bytes(of: mode), to: channel)
      return PassReport(bytes: bytes, entries: 1, changed: 1)
    }
  }

  func receive(_ pass: Pass) throws -> PassReport {
    try during(pass) { channel in
      try Files.remove(part)
      let file = try Descriptor.open(part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
      var bytes: Int64 = 0
      while case let length = try number(from: channel), length > 0 {
        guard length <= Self.block else { throw FerryError(.peer, "the channel of \(path) carries garbage") }
        try file.write(receive(Int(length), from: channel))
        bytes += Int64(length)
        context.progress(bytes: bytes)
      }
      let mode = try number(from: channel) & 0o7777
      try perform("write \(part)") { fchmod(file.number, mode) }
      try perform("sync \(part)") { fsync(file.number) }
      // Under its staged name the file is always whole.
      try perform("stage \(staged)") { rename(part, staged) }
      try Files.syncFolder(of: staged)
      return PassReport(bytes: bytes, entries: 1)
    }
  }

  /// Cancel comes from another thread: whatever waits for the peer then ends.
  func cancel() { channel.withLock { if let channel = $0 { shutdown(channel.number, Int32(SHUT_RDWR)) } } }

  private func during(_ pass: Pass, _ work: (Descriptor) throws -> PassReport) throws -> PassReport {
    // The channel is the host's, and closed by it.
    let copy = Descriptor(dup(try pass.channel))
    channel.withLock { $0 = copy }
    defer { channel.withLock { $0 = nil } }
    try context.checkCancellation()
    return try work(copy)
  }

  private func send(_ bytes: [UInt8], to channel: Descriptor) throws {
    do { try channel.write(bytes) } catch { throw lost(error) }
  }

  private func receive(_ count: Int, from channel: Descriptor) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      let more: [UInt8]
      do { more = try channel.read(upTo: count - bytes.count) } catch { throw lost(error) }
      // The end of a channel never means success.
      guard !more.isEmpty else { throw FerryError(.peer, "the channel of \(path) ended in the middle of the file") }
      bytes += more
    }
    return bytes
  }

  private func number(from channel: Descriptor) throws -> UInt32 { try receive(4, from: channel).reduce(0) { $0 << 8 | UInt32($1) } }

  private static func bytes(of number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

  private func lost(_ error: any Error) -> FerryError {
    FerryError(.peer, "the channel of \(path) broke: \(FerryError.wrap(error).message)")
  }
}

// MARK: Proof

extension ExampleFile {
  /// FNV-1a over 64 bits, over the content, then the size and the mode as 8 bytes each, little endian. It finds faults, not forgeries.
  func digest(_ request: DigestRequest) throws -> DigestReport {
    guard request.algorithm != .sha256 else {
      throw FerryError(.unsupported, "example-file knows no sha256, only fnv1a-64", hint: "leave 'digest' out of the manifest")
    }
    let isStaged = context.side == .destination && request.target == .staged
    let (file, mode, size) = try open(isStaged ? staged : path)
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    func add(_ bytes: [UInt8]) { bytes.withUnsafeBytes { for byte in $0 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 } } }
    var bytes: Int64 = 0
    while case let block = try file.read(upTo: Self.block), !block.isEmpty {
      try context.checkCancellation()
      add(block)
      bytes += Int64(block.count)
      context.progress(bytes: bytes, of: size)
    }
    for number in [UInt64(bytes), UInt64(mode)] { add(withUnsafeBytes(of: number.littleEndian) { Array($0) }) }
    let hex = String(hash, radix: 16)
    let root = String(repeating: "0", count: 16 - hex.count) + hex
    // The ends may call the file differently: in the canonical form it is just the file.
    if let listing = request.listing { try Files.replace(listing, with: Array("\(root)\tfile\n".utf8)) }
    return DigestReport(root: root, entries: 1, bytes: bytes)
  }
}

// MARK: The real name, and the way back

extension ExampleFile {
  /// What `activate` found under the target's name. It is remembered, so that a fresh process can go on or undo it.
  private enum Target: String, Codable { case replaced, created }

  func activate() throws {
    let remembered: Target? = try context.kv.get("activate")
    guard Files.exists(staged) else {
      if remembered != nil { return }
      throw FerryError(.precondition, "nothing was received for \(path)")
    }
    let target = remembered ?? (Files.exists(path) ? .replaced : .created)
    if remembered == nil { try context.kv.put("activate", target) }
    // A second name keeps the old file while the target's name never points at nothing.
    if target == .replaced, !Files.exists(kept) {
      try perform("keep \(path)") { link(path, kept) }
      try Files.syncFolder(of: path)
    }
    try perform("activate \(path)") { rename(staged, path) }
    try Files.syncFolder(of: path)
  }

  func deactivate() throws {
    guard let target: Target = try context.kv.get("activate") else { return }
    if target == .created {
      if !Files.exists(staged), Files.exists(path) { try perform("stage \(path) again") { rename(path, staged) } }
    } else if Files.exists(kept) {
      if !Files.exists(staged), Files.exists(path) { try perform("stage \(path) again") { link(path, staged) } }
      try perform("put back \(path)") { rename(kept, path) }
      // Both names of one file: rename has left them alone.
      try Files.remove(kept)
    }
    try Files.syncFolder(of: path)
    try context.kv.remove("activate")
  }

  func discard() throws { if context.side == .destination { for file in [part, staged] { try Files.remove(file) } } }

  func release() throws {
    try discard()
    if context.side == .destination { try Files.remove(kept) }
  }

  func retire() throws {
    try Files.remove(path)
    try Files.syncFolder(of: path)
  }
}

// MARK: Files

extension ExampleFile {
  /// Opens a regular file and nothing else: no link, no pipe that would block.
  private func open(_ path: String) throws -> (file: Descriptor, mode: UInt32, size: Int64) {
    let file = try Descriptor.open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    var status = stat()
    try perform("look at \(path)") { fstat(file.number, &status) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw FerryError(.conflict, "\(path) is no regular file", hint: "move it away, or choose another path")
    }
    return (file, status.st_mode & 0o7777, Int64(status.st_size))
  }

  /// A system call that answers 0 when it worked.
  private func perform(_ what: String, _ call: () -> Int32) throws {
    guard call() == 0 else { throw FerryError(errno: errno, "cannot \(what)") }
  }
}
