import FerryArchive
import FerryEngine
import FerryPluginKit
import FerryTree

/// The content of a volume at the source whose data folder is not within reach: a copy beside, fetched through the engine anew for each pass.
///
/// What an engine's archive does not hold is lost on the way. Owners are as containers see them.
struct VolumeMirror {
  let engine: ContainerEngine
  let volume: String
  /// A folder of the mirror's own.
  let folder: String

  private static let place = "/volume"
  static let losses = "fractions of seconds, ACLs, most extended attributes and sockets are lost on the way"

  /// Where the copy is.
  var root: String { "\(folder)\(Self.place)" }

  func fetch(_ options: TreeOptions) throws {
    try TreeRemoval.remove(folder)
    try Files.makeFolder(folder)
    let engine = engine
    try engine.withHelper(volume: volume, at: Self.place) { container in
      _ = try ContainerEngine.joined({ try engine.archive(container, path: Self.place, to: $0) }) {
        try TreeArchive.unpack(from: $0, into: TreeFolder(root: folder), options: options)
      }
    }
    guard Files.isFolder(root) else { throw FerryError(.peer, "the engine's archive of the volume \(volume) does not hold it") }
  }
}
