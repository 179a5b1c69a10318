import FerryPluginKit
import FerryTree

/// The destination's folder.
typealias RsyncTarget = StagedFolder

extension StagedFolder {
  init(path: String, run: String, kv: KeyValueStore) {
    self.init(path: path, run: run, memory: Memory(get: { try kv.get("received") }, put: { try kv.put("received", $0) }))
  }
}
