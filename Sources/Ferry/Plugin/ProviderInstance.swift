import CFerry
import FerrySystem
import Glibc

/// One provider's instance: translates calls into the ABI's structs and what comes back into replies and errors.
final class ProviderInstance: HostedInstance, @unchecked Sendable {
  private let table: ferry_provider
  private let services: HostServices
  private let side: Side
  private let pointer: UnsafeMutableRawPointer?
  private let id: String

  init(_ plugin: LoadedPlugin, _ instructions: HostInstructions, _ services: HostServices) throws {
    table = try plugin.provider(instructions.provider)
    self.services = services
    side = instructions.side
    id = instructions.provider
    var made: UnsafeMutableRawPointer?
    services.startCall()
    let status = ProviderInstance.withItem(instructions) { [table] item in table.create?(services.host, item, &made) ?? -1 }
    try services.check(status, "provider '\(id)' cannot be set up")
    pointer = made
  }

  /// Runs one call on this thread; the channels are closed when it has returned.
  func perform(_ call: HostCall, _ channels: [Descriptor]) throws -> JSONValue {
    defer { channels.forEach { $0.close() } }
    services.startCall()
    if call.arguments["deferred"] == .bool(true) { _ = try deferral() }
    guard let function = try function(call.call) else { return [:] }
    let numbers = channels.map(\.number)
    let status = call.arguments.text.withCString { json in
      numbers.withUnsafeBufferPointer { buffer in
        var args = ferry_args()
        args.struct_size = UInt32(MemoryLayout<ferry_args>.size)
        args.flags = call.flags.rawValue
        args.pass = UInt32(call.pass)
        args.channel_count = UInt32(buffer.count)
        args.channels = buffer.baseAddress
        args.json = json
        return function(pointer, &args)
      }
    }
    services.flushProgress()
    try services.check(status, "provider '\(id)' failed in \(call.call.rawValue)")
    do {
      let reply = try services.takeReply()
      try call.call.validate(reply, side: side)
      return reply
    } catch {
      throw FerryError(.internal, "provider '\(id)' gave a bad reply to \(call.call.rawValue): \(FerryError.wrap(error).message)")
    }
  }

  /// Asks the running call to end, from any thread. Says whether the provider can be asked.
  func cancel() -> Bool {
    services.cancel()
    guard let cancel = table.cancel else { return false }
    cancel(pointer)
    return true
  }

  func windUp() {
    guard let found = table.get_extension?(pointer, "ferry.follow/1"),
      let own: ferry_follow = try? LoadedPlugin.copy(found.assumingMemoryBound(to: ferry_follow.self), "ferry_follow")
    else { return }
    own.wind_up?(pointer)
  }

  func destroy() { table.destroy?(pointer) }

  private func function(_ call: ProviderCall) throws -> ferry_call? {
    return switch call {
    case .check: table.check
    case .prepare: table.prepare
    case .transfer: table.transfer
    case .receive: table.receive
    case .freeze: table.freeze
    case .thaw: table.thaw
    case .digest: table.digest
    case .activate: table.activate
    case .deactivate: table.deactivate
    case .discard: table.discard
    case .release: table.release
    case .retire: table.retire
    case .deposit: try deferral().deposit
    case .snapshots: try deferral().snapshots
    case .recall: try deferral().recall
    }
  }

  /// What makes a provider able to let its halves run apart in time.
  private func deferral() throws -> ferry_deferred {
    guard let found = table.get_extension?(pointer, "ferry.deferred/1") else {
      throw FerryError(
        .unsupported, "provider '\(id)' cannot be deferred: it keeps nothing between the two halves of a run",
        hint: "`ferry run` moves the state at once")
    }
    let own: ferry_deferred = try LoadedPlugin.copy(found.assumingMemoryBound(to: ferry_deferred.self), "ferry_deferred")
    guard own.deposit != nil, own.snapshots != nil, own.recall != nil else {
      throw FerryError(.internal, "provider '\(id)' has a ferry_deferred with a member that is NULL")
    }
    return own
  }

  private static func withItem<Result>(_ instructions: HostInstructions, _ body: (UnsafePointer<ferry_item>) -> Result) -> Result {
    instructions.run.withCString { run in
      instructions.item.withCString { name in
        instructions.config.text.withCString { config in
          instructions.provider.withCString { provider in
            var item = ferry_item()
            item.struct_size = UInt32(MemoryLayout<ferry_item>.size)
            item.side = Int32(instructions.side == .source ? FERRY_SOURCE : FERRY_DESTINATION)
            item.run = run
            item.name = name
            item.config = config
            item.provider = provider
            return body(&item)
          }
        }
      }
    }
  }
}
