import FerryPluginKit
import FerryTree
import Glibc

/// Moves the variables of a file, by name.
final class EnvFileProvider: StateProvider {
  static let id = "env-file"
  static let summary = "moves the variables of a NAME=value file, by name; comments and order stay"
  static let schema = EnvFileConfig.schema

  private let context: ProviderContext
  private let config: EnvFileConfig
  private let target: StagedFolder

  /// What the destination offers: names are no secrets, values are.
  private struct Terms: Codable { var excluded: [String] }
  /// The line before the file's bytes.
  private struct Header: Codable {
    var bytes: Int
    var mode: UInt32
  }
  private static let limit = 8 << 20

  init(_ context: ProviderContext) throws {
    self.context = context
    config = try context.decodeConfig()
    let kv = context.kv
    target = StagedFolder(
      path: config.endpoint.file, run: context.run,
      memory: .init(get: { try kv.get("received") }, put: { try kv.put("received", $0) }))
  }

  private var dialect: EnvironmentText.Dialect { config.dialect ?? .systemd }
  private func read(_ path: String) throws -> EnvironmentText {
    EnvironmentText(try Files.read(path, limit: Self.limit), dialect: dialect)
  }

  func check() throws -> CheckReport {
    var report = CheckReport()
    let path = config.endpoint.file
    if context.side == .source {
      do {
        let bytes = try Files.read(path, limit: Self.limit)
        (report.bytes, report.entries) = (Int64(bytes.count), Int64(EnvironmentText(bytes, dialect: dialect).names.count))
      } catch {
        report.notices.append(.init(.error, FerryError.wrap(error).message, hint: "`from.file` is a file at the source"))
      }
      return report
    }
    if let obstacle = target.fileObstacle { report.notices.append(.init(.error, obstacle.message, hint: obstacle.hint)) }
    report.room = target.room
    return report
  }

  func prepare() throws -> Offer {
    try target.prepare()
    let path = config.endpoint.file
    let existing = Files.exists(path) ? try read(path).names : []
    let terms = Terms(excluded: config.excluded(mode: context.manifest?.mode, existing: existing).sorted())
    return Offer(.private, try JSONValue(encoding: terms).object ?? [:])
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let bytes = try Files.read(config.endpoint.file, limit: Self.limit)
    var status = stat()
    guard stat(config.endpoint.file, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(config.endpoint.file)") }
    let stream = Descriptor(dup(try pass.channel))
    try stream.write(try JSONValue.encode(Header(bytes: bytes.count, mode: status.st_mode & 0o777)) + [10] + bytes)
    let names = Int64(EnvironmentText(bytes, dialect: dialect).names.count)
    return PassReport(bytes: Int64(bytes.count), entries: names, changed: names)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let (header, bytes) = try take(try pass.channel)
    let excluded = try terms(pass.offer)
    let path = config.endpoint.file
    let own = Files.exists(path) ? try read(path) : EnvironmentText([], dialect: dialect)
    let result = own.merged(
      from: EnvironmentText(bytes, dialect: dialect), replacing: (config.merge ?? .replace) == .replace, excluded: excluded)
    let fresh = "\(target.holder)/fresh"
    var status = stat()
    let replaced = stat(path, &status) == 0
    try Files.replace(fresh, with: result.bytes, mode: replaced ? status.st_mode & 0o7777 : header.mode)
    // A new file belongs to whom its folder belongs to: a module's user, say.
    if !replaced, stat(Files.parent(of: path), &status) != 0 { throw FerryError(errno: errno, "cannot look at the folder of \(path)") }
    if geteuid() == 0, chown(fresh, status.st_uid, status.st_gid) != 0 { throw FerryError(errno: errno, "cannot give \(fresh) its owner") }
    chmod(fresh, replaced ? status.st_mode & 0o7777 : header.mode)
    try target.adopt(fresh)
    return PassReport(bytes: Int64(bytes.count), entries: Int64(result.names.count))
  }

  /// Sorted by name: the variables that count, each with what stands behind its equals sign.
  func digest(_ request: DigestRequest) throws -> DigestReport {
    let excluded = try terms(request.offer)
    let path = context.side == .source ? config.endpoint.file : try target.current(active: request.target == .active)
    let text = try read(path)
    let names = text.names.filter { !excluded.contains($0) }.sorted()
    let hash = ContentDigest(request.algorithm == .sha256 ? .sha256 : .xxh3)
    var lines = ""
    var bytes: Int64 = 0
    for name in names {
      let value = Array(text.entry(name)?.value ?? [])
      bytes += Int64(value.count)
      lines += "\(hash.hex(of: Array("\(name)=".utf8) + value))\t\(name)\n"
    }
    if let listing = request.listing { try Files.replace(listing, with: Array(lines.utf8)) }
    // The file itself is an entry, so that one of which nothing is missing is not taken for an empty one.
    return DigestReport(root: hash.hex(of: Array(lines.utf8)), entries: Int64(names.count) + 1, bytes: bytes)
  }

  func activate() throws { try target.activate() }
  func deactivate() throws { try target.deactivate() }
  func discard() throws { if context.side == .destination { try target.discard() } }
  func release() throws { if context.side == .destination { try target.release() } }

  func retire() throws {
    guard unlink(config.endpoint.file) == 0 || errno == ENOENT else {
      throw FerryError(errno: errno, "cannot remove \(config.endpoint.file)")
    }
    try Files.syncFolder(of: config.endpoint.file)
  }

  private func terms(_ offer: Offer?) throws -> Set<String> {
    guard let terms = try offer?.decode(Terms.self) else { throw FerryError(.internal, "the call came without an offer") }
    return Set(terms.excluded)
  }

  private func take(_ channel: Int32) throws -> (Header, [UInt8]) {
    let stream = Descriptor(dup(channel))
    var bytes: [UInt8] = []
    var header: Header?
    while true {
      try context.checkCancellation()
      if header == nil, let end = bytes.firstIndex(of: 10) {
        header = try JSONValue.decode(Header.self, from: Array(bytes[..<end]))
        bytes.removeFirst(end + 1)
      }
      if let header, bytes.count >= header.bytes {
        guard bytes.count == header.bytes else { throw FerryError(.peer, "the source sent more than it announced") }
        return (header, bytes)
      }
      guard bytes.count <= Self.limit else { throw FerryError(.peer, "the source sends more than \(Self.limit) bytes") }
      let more = try stream.read(upTo: 65536)
      guard !more.isEmpty else { throw FerryError(.peer, "the source ended before its file did") }
      bytes += more
    }
  }
}
