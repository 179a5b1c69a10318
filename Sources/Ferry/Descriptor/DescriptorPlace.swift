import CLinux
import FerrySystem
import FerryTree
import Glibc

/// State with a place of its own: what Ferry does for a descriptor, so that no descriptor has to get it right. It is received beside its
/// real name, whole or not at all, and `activate` exchanges the names.
struct DescriptorPlace {
  let kind: PluginDescriptor.Place.Kind
  let path: String
  private let side: Side
  private let config: JSONValue
  private let staged: StagedFolder

  init(_ kind: PluginDescriptor.Place.Kind, path: String, _ instructions: HostInstructions, _ memory: HostMemory) throws {
    guard path.hasPrefix("/"), Files.absolute(path) != "/" else {
      throw FerryError(.invalid, "item '\(instructions.item)' needs the absolute path of a \(kind.rawValue), not '\(path)'")
    }
    self.kind = kind
    self.path = Files.absolute(path)
    side = instructions.side
    config = instructions.config
    let key = "received"
    staged = StagedFolder(
      path: path, run: instructions.run,
      memory: StagedFolder.Memory(
        get: { try memory.get(key).map { try JSONValue.decode(StagedFolder.Identity.self, from: $0) } },
        put: { try memory.put(key, JSONValue.encode($0)) }))
  }

  /// Where the state of a call is.
  func state(for call: ProviderCall, active: Bool) throws -> String {
    if side == .source { return path }
    return call == .receive ? part : try staged.current(active: active)
  }

  private var part: String { "\(staged.holder)/part" }

  func check() throws -> JSONValue {
    if side == .source { return try checkSource() }
    let obstacle = kind == .file ? staged.fileObstacle : staged.obstacle(mayReplace: config["replace"]?.bool ?? false)
    if let obstacle { throw obstacle }
    return .object(staged.room.map { ["room": .int($0)] } ?? [:])
  }

  private func checkSource() throws -> JSONValue {
    var status = stat()
    guard lstat(path, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(path)") }
    guard status.st_mode & S_IFMT == (kind == .file ? S_IFREG : S_IFDIR) else {
      throw FerryError(.precondition, "\(path) is no \(kind == .file ? "plain file" : "folder")", hint: "name the \(kind.rawValue) itself")
    }
    let isEmpty = kind == .file ? status.st_size == 0 : Files.names(in: path).isEmpty
    guard isEmpty, config["allow-empty"]?.bool != true else { return kind == .file ? ["bytes": .int(Int64(status.st_size))] : [:] }
    return [
      "notices": [["severity": "error", "text": .string("\(path) is empty"), "hint": "say 'allow-empty: true' if that is right"]]
    ]
  }

  func prepare() throws { if side == .destination { try staged.prepare() } }

  /// Runs what receives into a fresh place, and takes what it has made for what was received.
  func receive(_ work: () throws -> Void) throws {
    try staged.prepare()
    // A pass of an earlier process, or one that failed.
    if try staged.isActive() { throw FerryError(.precondition, "\(path) is active: nothing can be received") }
    try TreeRemoval.remove(part)
    if kind == .folder { try Files.makeFolder(part) }
    try work()
    guard Files.exists(part) else { throw FerryError(.internal, "the steps of 'receive' made no \(kind.rawValue) \(part)") }
    let folder = try Descriptor.open(staged.holder, O_RDONLY | O_DIRECTORY)
    let failed = clinux_syncfs(folder.number)
    guard failed >= 0 else { throw FerryError(errno: -failed, "cannot sync \(part)") }
    try staged.adopt(part)
  }

  /// What Ferry does itself of the rest.
  func perform(_ call: ProviderCall) throws {
    switch (call, side) {
    case (.activate, .destination): try staged.activate()
    case (.deactivate, .destination): try staged.deactivate()
    case (.discard, .destination): try staged.discard()
    case (.release, .destination): try staged.release()
    case (.retire, .source):
      try TreeRemoval.remove(path)
      try Files.syncFolder(of: path)
    default: break
    }
  }
}
