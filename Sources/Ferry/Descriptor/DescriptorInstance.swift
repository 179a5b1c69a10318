import CFerry
import FerrySystem
import Glibc

/// One provider of a descriptor: gives its steps their values, and does what the ABI asks of a provider around them.
final class DescriptorInstance: HostedInstance, @unchecked Sendable {
  private let binding: NativeBinding
  private let provider: PluginDescriptor.Provider
  private let instructions: HostInstructions
  private let services: HostServices
  private let place: DescriptorPlace?
  /// Values that live as long as this process, and what they owe.
  private var kept: [String: NativeValue] = [:]
  private let debts = NativeDebts()
  private struct Running {
    var isCancelled = false
    var stream: DescriptorStream?
  }
  private let running = Lock(Running())
  private struct Progress {
    var report = ProgressReport(bytes: 0, bytesTotal: 0, entries: 0, entriesTotal: 0)
    var stepsCountBytes = false
  }
  private let progress = Lock(Progress())

  init(
    _ binding: NativeBinding, _ provider: PluginDescriptor.Provider, _ instructions: HostInstructions, _ services: HostServices
  ) throws {
    self.binding = binding
    self.provider = provider
    self.instructions = instructions
    self.services = services
    guard let wanted = provider.place, case .name(let path) = wanted.path.kind else {
      place = nil
      return
    }
    place = try DescriptorPlace(
      wanted.kind, path: Self.configured(path, instructions.config)?.string ?? "", instructions, services.memory)
  }

  func perform(_ call: HostCall, _ channels: [Descriptor]) throws -> JSONValue {
    defer { channels.forEach { $0.close() } }
    services.startCall()
    running.withLock { $0 = Running() }
    progress.withLock { $0 = Progress() }
    try refuse(call)
    do {
      let reply = try answer(call, channels)
      services.flushProgress()
      try call.call.validate(reply, side: instructions.side)
      return reply
    } catch {
      running.withLock { $0.stream = nil }
      if running.withLock({ $0.isCancelled }) { throw FerryError(.cancelled, "\(call.call.rawValue) was cancelled") }
      throw error
    }
  }

  func cancel() -> Bool {
    running.withLock { running in
      running.isCancelled = true
      running.stream?.abandon()
    }
    return true
  }

  func destroy() { _ = debts.settleAll() }

  private func refuse(_ call: HostCall) throws {
    let known: PassFlags = call.call == .digest ? [.fullDigest] : [.first, .final]
    guard call.flags.isSubset(of: known) else {
      throw FerryError(.unsupported, "\(call.call.rawValue) has flags that this host does not know: \(call.flags.rawValue)")
    }
    if call.arguments["deferred"] == .bool(true) || !ProviderCall.descriptorAbilities.contains(call.call) {
      throw FerryError(
        .unsupported, "provider '\(provider.id)' cannot be deferred: a descriptor keeps nothing between the two halves of a run",
        hint: "`ferry run` moves the state at once")
    }
  }

  // MARK: Calls

  private func answer(_ call: HostCall, _ channels: [Descriptor]) throws -> JSONValue {
    switch call.call {
    case .transfer, .receive: return try pass(call, channels)
    case .digest: return try digest(call)
    case .check:
      var reply = try place?.check() ?? [:]
      for (name, value) in try run(call) { reply[name] = value }
      return reply
    case .prepare:
      try place?.prepare()
      try run(call)
      return instructions.side == .destination ? ["target": place == nil ? "in-place" : "private"] : [:]
    default:
      try place?.perform(call.call)
      try run(call)
      return [:]
    }
  }

  private func pass(_ call: HostCall, _ channels: [Descriptor]) throws -> JSONValue {
    guard let channel = channels.first else { throw FerryError(.internal, "a pass needs a channel") }
    let stream = try DescriptorStream(channel, isSending: call.call == .transfer) { [self] bytes in
      report { if !$0.stepsCountBytes { $0.report.bytes = bytes } }
    }
    defer { stream.close() }
    let isLate = running.withLock { running in
      running.stream = stream
      return running.isCancelled
    }
    if isLate { throw FerryError(.cancelled, "\(call.call.rawValue) was cancelled") }
    var counts: [String: JSONValue] = [:]
    let work = { [self] in
      do { counts = try run(call, ["channel": .number(Int64(stream.end.number))]) } catch {
        // A library that has lost its stream knows less of it than the stream.
        throw stream.failure ?? error
      }
      try stream.finish()
    }
    if call.call == .receive, let place { try place.receive(work) } else { try work() }
    if counts["bytes"] == nil { counts["bytes"] = .int(Int64(clamping: stream.bytes)) }
    return .object(counts)
  }

  /// The root is the SHA-256 of what the steps write.
  private func digest(_ call: HostCall) throws -> JSONValue {
    let path = "\(instructions.folder)/tmp/digest"
    let file = try Descriptor.open(path, O_RDWR | O_CREAT | O_TRUNC)
    unlink(path)
    var reply = try run(call, ["digest": .number(Int64(file.number))])
    lseek(file.number, 0, SEEK_SET)
    let root = try SHA256.hex(of: file)
    guard lseek(file.number, 0, SEEK_END) > 0 else { throw FerryError(.internal, "the steps of 'digest' wrote nothing") }
    if let listing = call.arguments["listing"]?.string {
      // A file is one entry, whatever its bytes are.
      if place?.kind == .file { try Files.replace(listing, with: Array("\(root)\tfile\n".utf8)) } else { try list(file, to: listing) }
    }
    reply["root"] = .string(root)
    for name in ["entries", "bytes"] where reply[name] == nil { reply[name] = 0 }
    reply["algorithm"] = "sha256"
    return .object(reply)
  }

  /// A line of what was written is an entry, and its first word the path: so most libraries list things.
  private func list(_ file: Descriptor, to path: String) throws {
    lseek(file.number, 0, SEEK_SET)
    var bytes: [UInt8] = []
    while case let more = try file.read(upTo: 1 << 18), !more.isEmpty { bytes += more }
    let lines = bytes.split(separator: 10).map { line in
      (path: String(decoding: line.prefix { $0 != 32 && $0 != 9 }, as: UTF8.self), digest: SHA256.hex(Array(line)))
    }
    let text = lines.sorted { ($0.path, $0.digest) < ($1.path, $1.digest) }.map { "\($0.digest)\t\($0.path)\n" }.joined()
    try Files.replace(path, with: Array(text.utf8))
  }

  // MARK: Steps

  /// Runs an ability's steps, if it has any, and answers what they have counted.
  @discardableResult private func run(_ call: HostCall, _ values: [String: NativeValue] = [:]) throws -> [String: JSONValue] {
    guard let steps = provider.abilities[call.call], !steps.isEmpty else { return [:] }
    var names = kept.merging(values) { $1 }
    names["item"] = .text(instructions.item)
    names["run"] = .text(instructions.run)
    names["folder"] = .text("\(instructions.folder)/tmp")
    names["source"] = .number(instructions.side == .source ? 1 : 0)
    names["pass"] = .number(Int64(call.pass))
    names["final"] = .number(call.flags.contains(.final) ? 1 : 0)
    if let place, [.check, .transfer, .receive, .freeze, .thaw, .digest].contains(call.call),
      call.call != .check || instructions.side == .source
    {
      names["state"] = .text(try place.state(for: call.call, active: call.arguments["target"]?.string == "active"))
    }
    let frame = NativeStepFrame(names) { [self] name, sum in
      report { progress in
        if name == "bytes" { (progress.report.bytes, progress.stepsCountBytes) = (UInt64(clamping: sum), true) }
        if name == "entries" { progress.report.entries = UInt64(clamping: sum) }
      }
    }
    let runner = NativeStepRunner(
      binding, keep: provider.keep, resolve: { [self] in try resolve($0) },
      remember: { [services] name, value in
        guard value.isTrue || !value.words.isEmpty else { return try services.memory.remove("kv.\(name)") }
        try services.memory.put("kv.\(name)", Array(value.words.utf8))
      }, isCancelled: { [running] in running.withLock { $0.isCancelled } }, kept: debts)
    defer { for name in provider.keep { kept[name] = frame[name] } }
    try runner.run(steps, frame)
    var counts: [String: JSONValue] = [:]
    for name in NativeStepChecker.counters { if let sum = frame.count(name) { counts[name] = .int(sum) } }
    return counts
  }

  private func report(_ change: (inout Progress) -> Void) {
    services.progress(
      progress.withLock { progress in
        change(&progress)
        return progress.report
      })
  }

  private func resolve(_ path: [String]) throws -> NativeValue {
    switch path[0] {
    case "secrets":
      guard let secret = services.secret(path[1]) else {
        throw FerryError(.invalid, "item '\(instructions.item)' has no secret '\(path[1])'", hint: "name it under the item's 'secrets'")
      }
      return .text(String(decoding: secret, as: UTF8.self))
    case "kv":
      guard let value = try services.memory.get("kv.\(path[1])") else { return .null }
      let text = String(decoding: value, as: UTF8.self)
      return Int64(decimal: text).map { .number($0) } ?? .text(text)
    default: return NativeValue(Self.configured(path, instructions.config))
    }
  }

  private static func configured(_ path: [String], _ config: JSONValue) -> JSONValue? {
    let keys = path[0] == "config" ? path.dropFirst() : path[...]
    return keys.reduce(Optional(config)) { $0?[$1] }
  }
}
