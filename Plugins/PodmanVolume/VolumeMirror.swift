import FerryArchive
import FerryEngineKit
import Glibc

/// The content of a volume whose data folder is not within reach: a copy beside, fetched and stored whole through the engine, by a container that is
/// never started.
///
/// What an engine's archive does not hold is lost on the way. Owners are as containers see them; Podman takes them and does not give them back,
/// nor that two names are one link or fifo.
struct VolumeMirror {
  let engine: ContainerEngine
  let volume: String
  /// A folder of the mirror's own.
  let folder: String

  private static let place = "/volume"

  /// What is lost, in words.
  static func losses(withOwners: Bool) -> String {
    "\(withOwners ? "owners, " : "")fractions of seconds, ACLs, most extended attributes and sockets are lost on the way"
  }

  /// Whether an engine says whose a file is.
  static func tellsOwners(_ kind: EngineKind) -> Bool { kind == .docker }

  /// What is left of a form after both ways.
  static func form(_ form: TreeForm, _ kind: EngineKind) -> TreeForm {
    form.common(
      with: TreeForm(accessControl: false, attributes: .none, sockets: false, sharedSpecials: kind == .docker, fractions: false))
  }

  /// Where the copy is.
  var root: String { "\(folder)\(Self.place)" }

  /// Volume to copy.
  func fetch(_ options: TreeOptions) throws {
    try TreeRemoval.remove(folder)
    try Files.makeFolder(folder)
    let engine = engine
    try engine.withHelper(volume: volume, at: Self.place) { container in
      // Podman begins all names with a slash, unless it is asked for what is in the folder.
      let isDocker = engine.kind == .docker
      if !isDocker { try Files.makeFolder(root) }
      let (target, path) = isDocker ? (folder, Self.place) : (root, "\(Self.place)/.")
      _ = try ContainerEngine.joined({ try engine.archive(container, path: path, to: $0) }) {
        try TreeArchive.unpack(from: $0, into: TreeFolder(root: target), options: options)
      }
      if !isDocker { try dressRoot(container, options) }
    }
    guard Files.isFolder(root) else { throw FerryError(.peer, "the engine's archive of the volume \(volume) does not hold it") }
  }

  private func dressRoot(_ container: String, _ options: TreeOptions) throws {
    let writer = try TreeWriter(root: TreeFolder(root: root), form: options.form)
    try writer.makeFolder([], engine.metadata(of: Self.place, in: container))
    try writer.finish()
  }

  /// Copy to volume, which is empty.
  func store(_ options: TreeOptions) throws {
    var options = options
    if !options.form.owners { options.owners = RootOfAll() }
    // Docker leaves a folder as it is that is the archive's root, and Podman looks for a volume at the path that it is told.
    let (root, place) = engine.kind == .docker ? (folder, "/") : (root, Self.place)
    let (tree, settings, engine) = (try TreeFolder(root: root), options, engine)
    try engine.withHelper(volume: volume, at: Self.place) { container in
      try ContainerEngine.joined({ _ = try TreeArchive.pack(tree, to: $0, options: settings) }) {
        try engine.unpack(container, path: place, from: $0)
      }
    }
  }

  /// Who may not give files away holds the copy as his own; in the container it is root's.
  private struct RootOfAll: OwnerMapping {
    func inStream(user: UInt32) -> UInt32? { 0 }
    func onDisk(user: UInt32) -> UInt32? { nil }
    func inStream(group: UInt32) -> UInt32? { 0 }
    func onDisk(group: UInt32) -> UInt32? { nil }
  }
}
