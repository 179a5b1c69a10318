import Glibc

/// Makes the module that a plugin exports; a plugin's whole export is
///
///     private let module = exportModule(name: "Example", version: "1.0", vendor: "Me", providers: [MyProvider.self])
///     @c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }
///
/// The tables live as long as the process, as the ABI demands.
public func exportModule(name: String, version: String, vendor: String, providers: [any StateProvider.Type]) -> ExportedModule {
  let tables = providers.map { UnsafePointer(forever($0.table)) as UnsafePointer<ferry_provider>? }
  let list = UnsafeMutablePointer<UnsafePointer<ferry_provider>?>.allocate(capacity: max(1, tables.count))
  list.initialize(from: tables, count: tables.count)
  var module = ferry_module()
  module.struct_size = UInt32(MemoryLayout<ferry_module>.size)
  module.abi_minor = FERRY_ABI_MINOR
  module.name = forever(text: name)
  module.version = forever(text: version)
  module.vendor = forever(text: vendor)
  module.provider_count = UInt32(tables.count)
  module.providers = UnsafePointer(list)
  exported.withLock { exported in for type in providers { exported[type.id] = type } }
  return ExportedModule(pointer: UnsafePointer(forever(module)))
}

/// A module in the form that C reads.
public struct ExportedModule: @unchecked Sendable {
  /// What `ferry_module_v1` returns.
  public let pointer: UnsafePointer<ferry_module>
}

/// A C function cannot carry a Swift type, so `create` finds it by the provider's id. One plugin per process: no two can meet here.
private let exported = Lock<[String: any StateProvider.Type]>([:])

private func forever<Value>(_ value: Value) -> UnsafeMutablePointer<Value> {
  let memory = UnsafeMutablePointer<Value>.allocate(capacity: 1)
  memory.initialize(to: value)
  return memory
}

private func forever(text: String) -> UnsafePointer<CChar>? { strdup(text).map { UnsafePointer($0) } }

extension StateProvider {
  fileprivate static var table: ferry_provider {
    var table = ferry_provider()
    table.struct_size = UInt32(MemoryLayout<ferry_provider>.size)
    table.id = forever(text: id)
    table.summary = forever(text: summary)
    table.schema = forever(text: schema)
    table.create = { host, item, result in
      guard let host, let item, let result else { return ErrorClass.internal.status }
      do {
        result.pointee = Unmanaged.passRetained(try Instance(host: host, item: item.pointee)).toOpaque()
        return 0
      } catch {
        let failure = FerryError.wrap(error)
        host.pointee.fail(host, failure.message, failure.hint)
        return failure.class.status
      }
    }
    table.destroy = { pointer in if let pointer { Unmanaged<Instance>.fromOpaque(pointer).release() } }
    table.check = { pointer, args in Instance.call(pointer, args) { try JSONValue(encoding: $0.check()) } }
    table.prepare = { pointer, args in
      Instance.call(pointer, args) { call in
        if call.isDeferred { return try call.prepareDeferred().json }
        if call.context.side == .destination { return try call.provider.prepare().json }
        try call.provider.prepare(for: Offer(json: call.arguments["offer"] ?? .null))
        return [:]
      }
    }
    table.transfer = { pointer, args in Instance.call(pointer, args) { try JSONValue(encoding: $0.transfer()) } }
    table.receive = { pointer, args in Instance.call(pointer, args) { try JSONValue(encoding: $0.receive()) } }
    table.freeze = { pointer, args in Instance.perform(pointer, args) { try $0.freeze() } }
    table.thaw = { pointer, args in Instance.perform(pointer, args) { try $0.thaw() } }
    table.digest = { pointer, args in Instance.call(pointer, args) { try JSONValue(encoding: $0.provider.digest($0.digestRequest())) } }
    table.activate = { pointer, args in Instance.perform(pointer, args) { try $0.activate() } }
    table.deactivate = { pointer, args in Instance.perform(pointer, args) { try $0.deactivate() } }
    table.discard = { pointer, args in Instance.perform(pointer, args) { try $0.discard() } }
    table.release = { pointer, args in Instance.perform(pointer, args) { try $0.release() } }
    table.retire = { pointer, args in Instance.perform(pointer, args) { try $0.retire() } }
    table.cancel = { pointer in if let pointer { Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue().cancel() } }
    table.get_extension = { pointer, name in
      guard let pointer, let name else { return nil }
      let provider = Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue().provider
      switch String(cString: name) {
      case "ferry.deferred/1": return provider is any DeferringProvider ? UnsafeRawPointer(deferral.pointer) : nil
      case "ferry.follow/1": return provider is any FollowingProvider ? UnsafeRawPointer(following.pointer) : nil
      default: return nil
      }
    }
    return table
  }
}

private struct Following: @unchecked Sendable { let pointer: UnsafePointer<ferry_follow> }

private let following: Following = {
  var table = ferry_follow()
  table.struct_size = UInt32(MemoryLayout<ferry_follow>.size)
  table.wind_up = { pointer in
    guard let pointer else { return }
    (Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue().provider as? any FollowingProvider)?.windUp()
  }
  return Following(pointer: UnsafePointer(forever(table)))
}()

private struct Deferral: @unchecked Sendable { let pointer: UnsafePointer<ferry_deferred> }

/// The same for every provider: whose call it is, is told by the instance.
private let deferral: Deferral = {
  var table = ferry_deferred()
  table.struct_size = UInt32(MemoryLayout<ferry_deferred>.size)
  table.deposit = { pointer, args in
    Instance.call(pointer, args) { ["snapshot": .string(try $0.deferring.deposit($0.arguments["deposit"] ?? [:]))] }
  }
  table.snapshots = { pointer, args in
    Instance.call(pointer, args) { ["snapshots": try JSONValue(encoding: $0.deferring.snapshots($0.manifest()))] }
  }
  table.recall = { pointer, args in
    Instance.call(pointer, args) { try JSONValue(encoding: $0.deferring.recall($0.snapshot(), $0.manifest())) }
  }
  return Deferral(pointer: UnsafePointer(forever(table)))
}()

/// What `self` points at on the other side of the line.
private final class Instance: @unchecked Sendable {
  let context: ProviderContext
  let provider: any StateProvider

  init(host: UnsafePointer<ferry_host>, item: ferry_item) throws {
    let id = String(cString: item.provider)
    guard let type = exported.withLock({ $0[id] }) else { throw FerryError(.internal, "this plugin has no provider '\(id)'") }
    context = try ProviderContext(host: host, item: item)
    provider = try type.init(context)
  }

  func cancel() {
    context.cancellation.cancel()
    provider.cancel()
  }

  struct Call {
    let provider: any StateProvider
    let context: ProviderContext
    let args: ferry_args
    let arguments: JSONValue

    private func has(_ flag: some BinaryInteger) -> Bool { args.flags & UInt32(flag) != 0 }
    /// What has never been prepared has no offer, or an empty one.
    private func offer() throws -> Offer? {
      guard let offer = arguments["offer"], offer.object?.isEmpty != true else { return nil }
      return try Offer(json: offer)
    }

    var isDeferred: Bool { arguments["deferred"]?.bool == true }
    var deferring: any DeferringProvider {
      get throws {
        guard let deferring = provider as? any DeferringProvider else {
          throw FerryError(.unsupported, "provider '\(type(of: provider).id)' cannot be deferred")
        }
        return deferring
      }
    }

    func prepareDeferred() throws -> Offer {
      guard context.side == .destination else { return try deferring.prepareDeferred(digestRequest()) }
      guard let offer = try offer() else { throw FerryError(.internal, "a deferred 'prepare' came without an offer") }
      return try deferring.prepareDeferred(with: offer)
    }
    func check() throws -> CheckReport {
      if isDeferred { return try deferring.checkDeferred() }
      return try arguments["abilities"].map(provider.check(against:)) ?? provider.check()
    }
    func transfer() throws -> PassReport { isDeferred ? try deferring.store(pass()) : try provider.transfer(pass()) }
    func receive() throws -> PassReport { isDeferred ? try deferring.fetch(snapshot()) : try provider.receive(pass()) }

    func snapshot() throws -> String {
      guard let snapshot = arguments["snapshot"]?.string else { throw FerryError(.internal, "the call names no snapshot") }
      return snapshot
    }

    func manifest() throws -> ManifestIdentity? { try arguments["manifest"]?.decode() }

    func pass() throws -> Pass {
      Pass(
        number: Int(args.pass), isFirst: has(FERRY_FIRST_PASS), isFinal: has(FERRY_FINAL_PASS),
        channels: Array(UnsafeBufferPointer(start: args.channels, count: Int(args.channel_count))), offer: try offer(),
        stay: arguments["stay"]?.int.map { .seconds($0) }, manifest: try manifest(),
        deposit: arguments["deposit"])
    }

    func digestRequest() throws -> DigestRequest {
      let algorithm = arguments["algorithm"]?.string ?? DigestRequest.Algorithm.xxh3.rawValue
      guard let known = DigestRequest.Algorithm(rawValue: algorithm) else {
        throw FerryError(.unsupported, "digest algorithm '\(algorithm)' is unknown")
      }
      return DigestRequest(
        algorithm: known, target: arguments["target"]?.string.flatMap(DigestRequest.Target.init) ?? .staged,
        depth: has(FERRY_FULL_DIGEST) ? .full : arguments["depth"]?.string.flatMap(DigestRequest.Depth.init) ?? .sweep,
        listing: arguments["listing"]?.string, offer: try offer())
    }
  }

  static func call(
    _ pointer: UnsafeMutableRawPointer?, _ args: UnsafePointer<ferry_args>?, _ body: (Call) throws -> JSONValue
  ) -> ferry_status {
    guard let pointer, let args else { return ErrorClass.internal.status }
    let instance = Unmanaged<Instance>.fromOpaque(pointer).takeUnretainedValue()
    instance.context.startCall()
    do {
      let known = UInt32(FERRY_FIRST_PASS) | UInt32(FERRY_FINAL_PASS) | UInt32(FERRY_FULL_DIGEST)
      guard args.pointee.flags & ~known == 0 else {
        throw FerryError(.unsupported, "the call has flags that this plugin does not know: \(args.pointee.flags & ~known)")
      }
      let arguments = try JSONValue(parsing: String(cString: args.pointee.json))
      instance.context.take(try arguments["manifest"]?.decode())
      instance.context.reply(
        try body(Call(provider: instance.provider, context: instance.context, args: args.pointee, arguments: arguments)))
      return 0
    } catch {
      var failure = FerryError.wrap(error)
      // What breaks after a cancel (a line that closed, a daemon that ended) broke of it.
      if instance.context.cancellation.isCancelled { failure = FerryError(.cancelled, failure.message, hint: failure.hint) }
      instance.context.fail(failure)
      return failure.class.status
    }
  }

  static func perform(
    _ pointer: UnsafeMutableRawPointer?, _ args: UnsafePointer<ferry_args>?, _ body: (any StateProvider) throws -> Void
  ) -> ferry_status {
    call(pointer, args) {
      try body($0.provider)
      return [:]
    }
  }
}
