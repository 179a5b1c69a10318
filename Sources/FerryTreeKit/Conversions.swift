import FerryPluginKit
import FerryTree

extension TreeDigestDepth {
  /// As the core asks.
  public init(_ depth: DigestRequest.Depth) {
    switch depth {
    case .tracked: self = .tracked
    case .sweep: self = .sweep
    case .full: self = .full
    }
  }
}

extension PassReport {
  /// What the sending end of one tree, or of several, did.
  public init(sent report: TreeReport, isFinal: Bool) {
    self.init(
      bytes: report.bytes, entries: report.entries, changed: report.changed, vanished: isFinal ? nil : report.vanished,
      unread: report.unread.isEmpty ? nil : report.unread)
  }

  /// What the receiving end of one tree, or of several, did.
  public init(received report: TreeReport) { self.init(bytes: report.bytes, entries: report.entries, changed: report.changed) }
}

extension TreeReceiver {
  /// What the tree is; a listing is made by looking alone.
  public func digest(_ request: DigestRequest, listing: String?) throws -> TreeDigest.Result {
    try digest(.init(request.depth), algorithm: .init(request.algorithm), listing: request.depth == .tracked ? nil : listing)
  }
}

extension TreeReport {
  /// Several trees count as one.
  public static func += (sum: inout TreeReport, report: TreeReport) {
    sum.entries += report.entries
    sum.changed += report.changed
    sum.bytes += report.bytes
    sum.removed += report.removed
    sum.vanished += report.vanished
    sum.unread += report.unread
  }
}

extension StagedFolder {
  /// A folder that an item fills, remembered under a key.
  public init(path: String, _ context: ProviderContext, key: String = "received") {
    let kv = context.kv
    self.init(path: path, run: context.run, memory: .init(get: { try kv.get(key) }, put: { try kv.put(key, $0) }))
  }
}
