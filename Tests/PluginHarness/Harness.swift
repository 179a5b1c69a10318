import Ferry
import FerryConformance
import FerrySystem
import TestSupport

/// Both ends of one item of a plugin that this build has made.
public final class Harness: ItemEnds, @unchecked Sendable {
  /// Where the ends live; test state may be put beside them.
  public let folder: TemporaryFolder

  /// An item of one provider. `product` is the plugin's: "rsync" for libferry-plugin-rsync.so, or any file's absolute path. `programs` is a
  /// folder that is looked into before PATH.
  public init(
    product: String, provider: String, folder: TemporaryFolder, from: JSONValue, to: JSONValue, keys: [String: JSONValue] = [:],
    secrets: [String: String] = [:], programs: String? = nil
  ) throws {
    self.folder = folder
    var executable = Products.ferry
    if let programs {
      executable = try folder.write("ferry", "#!/bin/sh\nPATH=\(programs):$PATH exec \(Products.ferry) \"$@\"\n", mode: 0o755)
    }
    let path = product.hasPrefix("/") ? product : "\(Products.folder)/libferry-plugin-\(product).so"
    let plugin = PluginFile(path: path, sha256: String(try Command(["sha256sum", path]).run().output.prefix(64)))
    super.init(
      executable: executable, plugin: plugin, provider: provider, home: folder.path, from: from, to: to, keys: keys,
      secrets: secrets.mapValues { Array($0.utf8) })
  }

  /// A pass in which what goes from the source goes through a relay.
  @discardableResult public func pass(final: Bool = false, through relay: TestRelay) throws -> (sent: JSONValue, received: JSONValue) {
    try pass(final: final, between: relay.join)
  }
}

/// The error that a piece of work throws, or nil.
public func failure(_ work: () throws -> Void) -> FerryError? {
  do { try work() } catch { return FerryError.wrap(error) }
  return nil
}
