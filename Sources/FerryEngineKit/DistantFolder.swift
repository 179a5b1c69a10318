import FerryArchive
import FerryEngine
import FerryTreeKit
import Glibc

/// A volume, or a folder of an engine's machine, that is not within reach: a copy beside, fetched and stored whole through the engine, by a container
/// that is never started.
///
/// What an engine's archive does not hold is lost on the way. Owners are as containers see them; Podman takes them and does not give them back,
/// nor that two names are one link or fifo. Of what a container mounts, it leaves out `dev`, `proc` and `sys` at the top without a word: so there
/// the folder above is mounted.
public struct DistantFolder {
  /// What the container mounts.
  public enum Place: Sendable {
    case volume(String)
    /// By its path on the engine's machine.
    case folder(String)

    fileprivate var source: String {
      switch self {
      case .volume(let name): name
      case .folder(let path): path
      }
    }
    fileprivate var kind: String { if case .volume = self { "volume" } else { "bind" } }
  }

  private let engine: ContainerEngine
  private let place: Place
  private let folder: String

  private static let mountPoint = "/volume"

  /// What is mounted, and where the folder is in the container then.
  private var mount: (source: String, path: String) {
    guard engine.kind == .podman, case .folder(let path) = place else { return (place.source, Self.mountPoint) }
    return (Files.parent(of: path), "\(Self.mountPoint)/\(path.split(separator: "/").last ?? "")")
  }

  /// With its copy in a folder of the copy's own.
  public init(_ engine: ContainerEngine, _ place: Place, copy folder: String) {
    (self.engine, self.place, self.folder) = (engine, place, folder)
  }

  /// What is lost, in words.
  public static func losses(withOwners: Bool) -> String {
    "\(withOwners ? "owners, " : "")fractions of seconds, ACLs, most extended attributes and sockets are lost on the way"
  }

  /// Whether an engine says whose a file is.
  public static func tellsOwners(_ kind: EngineKind) -> Bool { kind == .docker }

  /// What is left of a form after both ways.
  public static func form(_ form: TreeForm, _ kind: EngineKind, attributes: TreeForm.Attributes = .none) -> TreeForm {
    form.common(
      with: TreeForm(accessControl: false, attributes: attributes, sockets: false, sharedSpecials: kind == .docker, fractions: false))
  }

  /// What is left of the abilities of the file system that copies are on.
  public static func abilities(in folder: String, as place: String, _ kind: EngineKind, attributes: TreeForm.Attributes = .none) throws
    -> TargetAbilities
  {
    var target = try TargetAbilities(in: folder)
    target.place = place
    target.fileSystem.form = form(target.fileSystem.form, kind, attributes: attributes)
    // Docker takes earlier times for none.
    if kind == .docker { target.fileSystem.earliest = 0 }
    (target.fileSystem.nanoseconds, target.fileSystem.capabilities, target.fileSystem.holes) = (false, false, false)
    return target
  }

  /// Where the copy is.
  public var root: String { "\(folder)\(Self.mountPoint)" }

  /// Engine to copy.
  public func fetch(_ options: TreeOptions) throws {
    try TreeRemoval.remove(folder)
    try Files.makeFolder(folder)
    let engine = engine
    let mount = mount
    try engine.withHelper(place.kind, mount.source, at: Self.mountPoint) { container in
      // Podman begins all names with a slash, unless it is asked for what is in the folder.
      let isDocker = engine.kind == .docker
      if !isDocker { try Files.makeFolder(root) }
      let (target, path) = isDocker ? (folder, mount.path) : (root, "\(mount.path)/.")
      _ = try ContainerEngine.joined({ try engine.archive(container, path: path, to: $0) }) {
        try TreeArchive.unpack(from: $0, into: TreeFolder(root: target), options: options)
      }
      if !isDocker { try dressRoot(container, options) }
    }
    guard Files.isFolder(root) else { throw FerryError(.peer, "the engine's archive of \(place.source) does not hold it") }
  }

  private func dressRoot(_ container: String, _ options: TreeOptions) throws {
    let writer = try TreeWriter(root: TreeFolder(root: root), form: options.form)
    try writer.makeFolder([], engine.metadata(of: mount.path, in: container))
    try writer.finish()
  }

  /// Copy to engine, where there is nothing yet. `more` are entries that the copy does not have, by their paths in it.
  public func store(_ options: TreeOptions, more: [ArchiveEntry] = []) throws {
    var options = options
    if !options.form.owners { options.owners = RootOfAll() }
    // Docker leaves a folder as it is that is the archive's root, and Podman looks for a mount at the path that it is told.
    let (isDocker, mount) = (engine.kind == .docker, mount)
    let (root, target) = isDocker ? (folder, "/") : (root, mount.path)
    let (tree, settings, engine) = (try TreeFolder(root: root), options, engine)
    let entries = more.map { entry in
      var entry = entry
      if isDocker { entry.path = TreePath.joined(Array(Self.mountPoint.utf8.dropFirst()), entry.path) }
      return entry
    }
    try engine.withHelper(place.kind, mount.source, at: Self.mountPoint) { container in
      try ContainerEngine.joined({ pipe in
        let writer = try ArchiveWriter(pipe, options: settings)
        try writer.add(tree)
        for entry in entries { try writer.write(entry) }
        try writer.finish()
      }) { try engine.unpack(container, path: target, from: $0) }
    }
  }

  /// Throws unless what the engine has is what the copy holds, as far as its archives tell, and besides nothing but what stands at the paths
  /// `more`. What it has is fetched to a folder of its own, which is gone again when this returns.
  public func prove(_ options: TreeOptions, in other: String, more: Set<[UInt8]> = []) throws {
    let back = DistantFolder(engine, place, copy: other)
    try back.fetch(options)
    defer { try? TreeRemoval.remove(other) }
    var digest = TreeDigest.Options()
    digest.form = Self.form(options.form, engine.kind)
    if !Self.tellsOwners(engine.kind) { digest.form.owners = false }
    digest.cancellation = options.cancellation
    digest.progress = options.progress
    digest.listing = "\(other)/listing"
    digest.selection = more.isEmpty ? nil : TreeSelection { path, _ in !more.contains(path) }
    func compute(_ root: String) throws -> (root: String, listing: [Substring]) {
      let result = try TreeDigest.compute(root: root, digest)
      return (result.root, String(decoding: try Files.read("\(other)/listing"), as: UTF8.self).split(separator: "\n"))
    }
    let (sent, held) = (try compute(root), try compute(back.root))
    guard sent.root != held.root else { return }
    let differing = Set(sent.listing).symmetricDifference(held.listing).compactMap { $0.split(separator: "\t").last }.sorted()
    throw FerryError(
      .io, "what the engine has of \(place.source) is not what it was given: \(differing.prefix(3).joined(separator: ", "))",
      hint: "run Ferry as root beside the engine, where nothing has to go through its API")
  }

  /// Who may not give files away holds the copy as his own; in the container it is root's.
  private struct RootOfAll: OwnerMapping {
    func inStream(user: UInt32) -> UInt32? { 0 }
    func onDisk(user: UInt32) -> UInt32? { nil }
    func inStream(group: UInt32) -> UInt32? { 0 }
    func onDisk(group: UInt32) -> UInt32? { nil }
  }
}
