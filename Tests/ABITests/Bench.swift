import Ferry
import FerrySystem
import TestSupport

/// One host on a workbench: a plugin, a folder, and everything that was logged.
final class Bench: Sendable {
  let folder: TemporaryFolder
  let lines = Lock<[String]>([])
  let reports = Lock<[ProgressReport]>([])

  init() throws { folder = try TemporaryFolder() }

  /// Starts a host over the odd plugin, told what to do.
  func start(
    _ act: String, _ more: [String: JSONValue] = [:], plugin: String? = nil, provider: String = "odd", side: Side = .source,
    secrets: [String: [UInt8]] = [:], stall: Duration = .seconds(60)
  ) throws -> HostProcess {
    let file = try pluginFile(plugin ?? Misbehaving.plain.get())
    return try start(file, provider, side, .object(["do": .string(act)].merging(more) { $1 }), secrets: secrets, stall: stall)
  }

  func start(
    _ file: PluginFile, _ provider: String, _ side: Side, _ endpoint: JSONValue, secrets: [String: [UInt8]] = [:],
    stall: Duration = .seconds(60)
  ) throws -> HostProcess {
    try HostProcess.start(
      HostSettings(
        executable: Products.ferry, plugin: file, provider: provider, side: side, run: "run1", item: "pages",
        config: ["endpoint": endpoint],
        folder: folder("host-\(side.rawValue)"), secrets: secrets, stall: stall,
        onLog: { [lines] level, text in lines.withLock { $0.append("\(level): \(text)") } },
        onProgress: { [reports] report in reports.withLock { $0.append(report) } }))
  }

  func pluginFile(_ path: String) throws -> PluginFile { PluginFile(path: path, sha256: try Bench.sha256(path)) }

  static func sha256(_ path: String) throws -> String {
    String(try Command(["sha256sum", path]).run().output.prefix(64))
  }

  var log: String { lines.withLock { $0.joined(separator: "\n") } }
}

/// The error that a piece of work throws, or nil.
func failure(_ work: () throws -> Void) -> FerryError? {
  do { try work() } catch { return FerryError.wrap(error) }
  return nil
}
