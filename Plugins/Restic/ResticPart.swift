import FerryPluginKit
import FerryTree

/// One folder of what an item moves, and where it stands in a snapshot.
struct ResticPart: Sendable {
  /// The folder's own name; of a module `state` and `volumes/NAME`.
  var name: String
  var folder: String
}
