import CFerry
import FerrySystem
import Glibc

/// A plugin in this process, checked against the header. Only a host makes one.
struct LoadedPlugin: HostedPlugin {
  let file: PluginFile
  let module: PluginModule
  private let providers: [String: ferry_provider]

  /// Loads exactly the bytes with that digest, for good: Swift's runtime does not survive a dlclose.
  init(_ file: PluginFile) throws {
    self.file = file
    let opened = try Descriptor.open(file.path, O_RDONLY)
    let stamp = try Self.stamp(opened, file)
    let digest = try SHA256.hex(of: opened)
    guard digest == file.sha256 else {
      throw Self.broken(file, "has changed: its SHA-256 is \(digest), and \(file.sha256) was expected", .precondition)
    }
    // Loaded by its path and not by the descriptor: $ORIGIN in the plugin's own RUNPATH must mean its folder.
    guard let library = dlopen(file.path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) else {
      throw Self.broken(file, "cannot be loaded: \(Self.loaderError)")
    }
    guard try FileStamp(file.path) == stamp else { throw Self.broken(file, "changed while it was loaded", .retry) }
    guard let symbol = dlsym(library, "ferry_module_v1") else {
      throw Self.broken(file, "exports no ferry_module_v1: it is no plugin for this Ferry", .unsupported)
    }
    let entry = unsafeBitCast(symbol, to: (@convention(c) () -> UnsafePointer<ferry_module>?).self)
    guard let pointer = entry() else { throw Self.broken(file, "cannot work on this node: ferry_module_v1 returned NULL", .unsupported) }
    do { (module, providers) = try Self.read(pointer) } catch { throw Self.broken(file, FerryError.wrap(error).message) }
  }

  func provider(_ id: String) throws -> ferry_provider {
    guard let found = providers[id] else { throw Self.broken(file, "has no provider '\(id)'", .notFound) }
    return found
  }

  func instance(_ instructions: HostInstructions, _ services: HostServices) throws -> any HostedInstance {
    try ProviderInstance(self, instructions, services)
  }

  private static func broken(_ file: PluginFile, _ what: String, _ kind: ErrorClass = .internal) -> FerryError {
    FerryError(kind, "plugin \(file.path) \(what)", hint: "update or remove it")
  }

  private static var loaderError: String { dlerror().map { String(cString: $0) } ?? "no reason given" }

  private static func stamp(_ opened: Descriptor, _ file: PluginFile) throws -> FileStamp {
    var status = stat()
    guard fstat(opened.number, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(file.path)") }
    return FileStamp(status)
  }

  private static func read(_ pointer: UnsafePointer<ferry_module>) throws -> (PluginModule, [String: ferry_provider]) {
    let module: ferry_module = try copy(pointer, "ferry_module")
    func text(_ pointer: UnsafePointer<CChar>?, _ what: String) throws -> String {
      guard let pointer else { throw FerryError(.internal, "has no \(what)") }
      return String(cString: pointer)
    }
    guard (1...64).contains(module.provider_count), let list = module.providers else {
      throw FerryError(.internal, "lists \(module.provider_count) providers and must list 1 to 64")
    }
    var tables: [String: ferry_provider] = [:]
    var descriptions: [ProviderDescription] = []
    for index in 0..<Int(module.provider_count) {
      guard let pointer = list[index] else { throw FerryError(.internal, "lists NULL as provider \(index)") }
      let table: ferry_provider = try copy(pointer, "ferry_provider \(index)")
      let id = try text(table.id, "id for provider \(index)")
      guard isIdentifier(id) else {
        throw FerryError(.internal, "has a provider '\(id.prefix(80))': an id is made of a-z, 0-9 and -, a letter first, at most 64")
      }
      guard tables.updateValue(table, forKey: id) == nil else { throw FerryError(.internal, "has two providers '\(id)'") }
      try checkMembers(table, id)
      let schema = try? JSONValue(parsing: text(table.schema, "schema"))
      guard let schema, schema.object != nil else {
        throw FerryError(.internal, "has a provider '\(id)' whose schema is not a JSON object")
      }
      descriptions.append(ProviderDescription(id: id, summary: try text(table.summary, "summary for provider '\(id)'"), schema: schema))
    }
    let description = PluginModule(
      name: try text(module.name, "name"), version: try text(module.version, "version"), vendor: try text(module.vendor, "vendor"),
      abiMinor: Int(module.abi_minor), providers: descriptions)
    return (description, tables)
  }

  private static func checkMembers(_ table: ferry_provider, _ id: String) throws {
    guard table.flags == 0 else { throw FerryError(.unsupported, "has a provider '\(id)' with flags that this Ferry does not know") }
    let required: [(String, Bool)] = [
      ("create", table.create != nil), ("destroy", table.destroy != nil), ("check", table.check != nil), ("prepare", table.prepare != nil),
      ("transfer", table.transfer != nil), ("receive", table.receive != nil), ("digest", table.digest != nil),
      ("activate", table.activate != nil), ("deactivate", table.deactivate != nil), ("discard", table.discard != nil),
      ("release", table.release != nil), ("retire", table.retire != nil),
    ]
    let missing = required.filter { !$0.1 }.map(\.0)
    guard missing.isEmpty else {
      throw FerryError(.internal, "has a provider '\(id)' without \(missing.joined(separator: ", ")) (docs/abi.md#required)")
    }
  }

  private static func isIdentifier(_ id: String) -> Bool {
    guard let first = id.utf8.first, (97...122).contains(first), id.utf8.count <= 64 else { return false }
    return id.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
  }

  /// The ABI's rule for growth: the smaller of both sizes, over zeros.
  static func copy<Struct: BitwiseCopyable>(_ pointer: UnsafePointer<Struct>, _ what: String) throws -> Struct {
    let raw = UnsafeRawPointer(pointer)
    let size = Int(raw.load(as: UInt32.self))
    guard (8...65536).contains(size) else { throw FerryError(.internal, "has a \(what) of struct_size \(size)") }
    return withUnsafeTemporaryAllocation(of: Struct.self, capacity: 1) { room in
      let bytes = UnsafeMutableRawBufferPointer(room)
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      bytes.copyMemory(from: UnsafeRawBufferPointer(start: raw, count: min(size, bytes.count)))
      return room[0]
    }
  }
}
