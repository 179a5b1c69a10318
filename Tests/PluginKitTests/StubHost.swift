import FerryPluginKit

/// The host's side of the line, in memory: what a plugin's tables are driven with.
final class StubHost: @unchecked Sendable {
  let table = UnsafeMutablePointer<ferry_host>.allocate(capacity: 1)
  var failure: (message: String, hint: String)?
  var reply: String?
  var memory: [String: [UInt8]] = [:]
  var secrets: [String: [UInt8]] = [:]
  var log: [String] = []
  var progress: [UInt64] = []
  var withoutService: String?
  private let log1: UnsafeMutablePointer<ferry_log> = .allocate(capacity: 1)
  private let progress1: UnsafeMutablePointer<ferry_progress> = .allocate(capacity: 1)
  private let kv1: UnsafeMutablePointer<ferry_kv> = .allocate(capacity: 1)
  private let secret1: UnsafeMutablePointer<ferry_secret> = .allocate(capacity: 1)
  private let tmp1: UnsafeMutablePointer<ferry_tmp> = .allocate(capacity: 1)

  init() {
    table.initialize(to: ferry_host())
    table.pointee.struct_size = UInt32(MemoryLayout<ferry_host>.size)
    table.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    table.pointee.fail = { StubHost.of($0).failure = (text($1), text($2)) }
    table.pointee.reply = { StubHost.of($0).reply = text($1) }
    table.pointee.get_service = { StubHost.of($0).service(text($1)) }
    log1.initialize(to: ferry_log())
    log1.pointee.write = { StubHost.of($0).log.append("\($1) \(text($2))") }
    progress1.initialize(to: ferry_progress())
    progress1.pointee.report = { StubHost.of($0).progress.append($1?.pointee.bytes ?? 0) }
    kv1.initialize(to: ferry_kv())
    kv1.pointee.get = { copy(StubHost.of($0).memory[text($1)], $2, $3, $4) }
    kv1.pointee.put = { host, key, value, length in
      if text(key) == "refused" { return 1 }
      StubHost.of(host).memory[text(key)] = Array(UnsafeRawBufferPointer(start: value, count: Int(length)))
      return 0
    }
    kv1.pointee.remove = { host, key in
      StubHost.of(host).memory[text(key)] = nil
      return 0
    }
    secret1.initialize(to: ferry_secret())
    secret1.pointee.get = { copy(StubHost.of($0).secrets[text($1)], $2, $3, $4) }
    tmp1.initialize(to: ferry_tmp())
    tmp1.pointee.path = { _ in nil }
  }

  deinit {
    table.deallocate()
    log1.deallocate()
    progress1.deallocate()
    kv1.deallocate()
    secret1.deallocate()
    tmp1.deallocate()
  }

  static func of(_ host: UnsafePointer<ferry_host>?) -> StubHost {
    guard let context = host?.pointee.context else { preconditionFailure("a host without its context") }
    return Unmanaged<StubHost>.fromOpaque(context).takeUnretainedValue()
  }

  private func service(_ name: String) -> UnsafeRawPointer? {
    if name == withoutService { return nil }
    return switch name {
    case "ferry.log/1": UnsafeRawPointer(log1)
    case "ferry.progress/1": UnsafeRawPointer(progress1)
    case "ferry.kv/1": UnsafeRawPointer(kv1)
    case "ferry.secret/1": UnsafeRawPointer(secret1)
    case "ferry.tmp/1": UnsafeRawPointer(tmp1)
    default: nil
    }
  }
}

private func text(_ pointer: UnsafePointer<CChar>?) -> String { pointer.map { String(cString: $0) } ?? "" }

private func copy(
  _ value: [UInt8]?, _ buffer: UnsafeMutableRawPointer?, _ capacity: UInt64, _ length: UnsafeMutablePointer<UInt64>?
) -> ferry_status {
  guard let value else { return ErrorClass.notFound.status }
  length?.pointee = UInt64(value.count)
  buffer?.copyMemory(from: value, byteCount: min(value.count, Int(capacity)))
  return 0
}

/// One instance of a provider, called as a host calls it.
final class Driver {
  let host: StubHost
  let provider: ferry_provider
  private var pointer: UnsafeMutableRawPointer?

  init(_ provider: ferry_provider, side: Side = .source, config: String = "{}", host: StubHost = StubHost()) throws {
    self.host = host
    self.provider = provider
    var made: UnsafeMutableRawPointer?
    let status: ferry_status = "run1".withCString { run in
      "pages".withCString { name in
        config.withCString { config in
          var item = ferry_item()
          item.struct_size = UInt32(MemoryLayout<ferry_item>.size)
          item.side = Int32(side == .source ? FERRY_SOURCE : FERRY_DESTINATION)
          item.run = run
          item.name = name
          item.config = config
          item.provider = provider.id
          return provider.create(host.table, &item, &made)
        }
      }
    }
    guard status == 0 else { throw FerryError(ErrorClass(status: status), host.failure?.message ?? "", hint: host.failure?.hint ?? "") }
    pointer = made
  }

  deinit { if let pointer { provider.destroy(pointer) } }

  /// Calls and returns the reply, or throws what the provider said.
  @discardableResult func call(
    _ function: KeyPath<ferry_provider, ferry_call?>, flags: UInt32 = 0, pass: UInt32 = 0, channels: [Int32] = [], json: String = "{}"
  ) throws -> JSONValue {
    host.failure = nil
    host.reply = nil
    guard let function = provider[keyPath: function] else { throw FerryError(.internal, "the member is NULL") }
    let status = json.withCString { json in
      channels.withUnsafeBufferPointer { channels in
        var args = ferry_args()
        args.struct_size = UInt32(MemoryLayout<ferry_args>.size)
        args.flags = flags
        args.pass = pass
        args.channel_count = UInt32(channels.count)
        args.channels = channels.baseAddress
        args.json = json
        return function(pointer, &args)
      }
    }
    guard status == 0 else { throw FerryError(ErrorClass(status: status), host.failure?.message ?? "", hint: host.failure?.hint ?? "") }
    return try JSONValue(parsing: host.reply ?? "{}")
  }

  func cancel() { provider.cancel(pointer) }
}
