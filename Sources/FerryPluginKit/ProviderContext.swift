import Glibc

/// Which end of the migration an instance plays.
public enum Side: String, Sendable, Codable, CaseIterable {
  case source, destination
}

/// What an instance is about, and what its host does for it. May be used from any thread.
public final class ProviderContext: @unchecked Sendable {
  /// Which end this is.
  public let side: Side
  /// The run's id.
  public let run: String
  /// The item's name in the manifest.
  public let item: String
  /// The item's keys, with `from` at the source and `to` at the destination under `endpoint`, and the manifest's mode under `run-mode`.
  public let config: JSONValue
  /// Durable memory of this run, item and side.
  public let kv: KeyValueStore

  private let host: UnsafePointer<ferry_host>
  private let services: HostServices
  private let current = Lock(Cancellation())
  private let running = Lock<ManifestIdentity?>(nil)

  init(host: UnsafePointer<ferry_host>, item: ferry_item) throws {
    self.host = host
    side = item.side == Int32(FERRY_SOURCE) ? .source : .destination
    run = String(cString: item.run)
    self.item = String(cString: item.name)
    config = try JSONValue(parsing: String(cString: item.config))
    services = try HostServices(host)
    kv = KeyValueStore(host: host, table: services.kv)
  }

  /// The item's keys as a type of the provider's own. The manifest was checked against the schema before.
  public func decodeConfig<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value { try config.decode(type) }

  /// One line into the run's log. No secret belongs there.
  public func log(_ level: LogLevel, _ message: String) { services.log.pointee.write(host, level.rawValue, message) }

  /// How important a line of the log is.
  public enum LogLevel: Int32, Sendable { case debug, info, warning, error }

  /// Says how far the running call is; totals of 0 are unknown. Cheap: call it as often as you like. A call that neither reports nor
  /// returns for the manifest's `stall` time is ended.
  public func progress(bytes: Int64, of bytesTotal: Int64 = 0, entries: Int64 = 0, of entriesTotal: Int64 = 0) {
    var report = ferry_progress_report()
    report.struct_size = UInt32(MemoryLayout<ferry_progress_report>.size)
    report.bytes = UInt64(clamping: bytes)
    report.bytes_total = UInt64(clamping: bytesTotal)
    report.entries = UInt64(clamping: entries)
    report.entries_total = UInt64(clamping: entriesTotal)
    services.progress.pointee.report(host, &report)
  }

  /// A secret that the manifest names under the item's `secrets`. Never put it into argv, a log, an error or `kv`.
  public func secret(_ name: String) throws -> [UInt8] {
    let found = try readWhole("secret '\(name)'") { services.secret.pointee.get(host, name, $0, $1, $2) }
    guard let found else {
      throw FerryError(.notFound, "item '\(item)' has no secret '\(name)'", hint: "add it under the item's 'secrets'")
    }
    return found
  }

  /// A folder of this item and side, mode 0700, on the node's disk; emptied when the run is cleaned up.
  public var temporaryFolder: String { services.tmp.pointee.path(host).map { String(cString: $0) } ?? "" }

  /// Ends what the running call waits for. Each call has one of its own.
  public var cancellation: Cancellation { current.withLock { $0 } }

  /// Throws `cancelled` once the running call was cancelled: for loops.
  public func checkCancellation() throws {
    if cancellation.isCancelled { throw FerryError(.cancelled, "item '\(item)' was cancelled") }
  }

  /// Runs a program that ends with the running call's cancellation; then this throws `cancelled`.
  public func run(_ command: Command) throws -> Command.Outcome {
    var command = command
    command.cancellation = cancellation
    let outcome = try command.run()
    if outcome.cancelled {
      throw FerryError(.cancelled, "\(command.arguments.first ?? "a command") was ended because the item was cancelled")
    }
    return outcome
  }

  /// Which manifest the run is of: known in `prepare`, `transfer` and `receive`.
  public var manifest: ManifestIdentity? { running.withLock { $0 } }

  func startCall() { current.withLock { $0 = Cancellation() } }
  func take(_ manifest: ManifestIdentity?) { running.withLock { $0 = manifest } }

  func fail(_ error: FerryError) { host.pointee.fail(host, error.message, error.hint) }

  func reply(_ json: JSONValue) { host.pointee.reply(host, json.text) }
}

/// The tables of this host. A plugin needs all of them, so one that is missing is said at once.
struct HostServices {
  let log: UnsafePointer<ferry_log>
  let progress: UnsafePointer<ferry_progress>
  let kv: UnsafePointer<ferry_kv>
  let secret: UnsafePointer<ferry_secret>
  let tmp: UnsafePointer<ferry_tmp>

  init(_ host: UnsafePointer<ferry_host>) throws {
    func table<Table>(_ name: String) throws -> UnsafePointer<Table> {
      guard let found = host.pointee.get_service(host, name) else {
        throw FerryError(.unsupported, "this host has no service '\(name)'", hint: "use a newer Ferry on this node")
      }
      return found.assumingMemoryBound(to: Table.self)
    }
    log = try table("ferry.log/1")
    progress = try table("ferry.progress/1")
    kv = try table("ferry.kv/1")
    secret = try table("ferry.secret/1")
    tmp = try table("ferry.tmp/1")
  }
}

/// Reads a value of unknown length; nil if there is none.
func readWhole(
  _ what: String, _ get: (UnsafeMutableRawPointer?, UInt64, UnsafeMutablePointer<UInt64>) -> ferry_status
) throws -> [UInt8]? {
  var capacity = 4096
  while true {
    var length: UInt64 = 0
    var status: ferry_status = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      status = get(buffer.baseAddress, UInt64(capacity), &length)
      count = status == 0 ? min(capacity, Int(length)) : 0
    }
    if status == ErrorClass.notFound.status { return nil }
    guard status == 0 else { throw FerryError(ErrorClass(status: status), "cannot read \(what)") }
    if Int(length) <= capacity { return bytes }
    capacity = Int(length)
  }
}
