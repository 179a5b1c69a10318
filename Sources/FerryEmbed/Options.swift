import CFerryEmbed
import Ferry
import Glibc

/// A struct of the caller's, as far as both sides know it, over zeros. What this library does not know must be zero.
func known<Struct>(_ pointer: UnsafePointer<Struct>, over zeros: Struct, _ name: String) throws -> Struct {
  let bytes = UnsafeRawPointer(pointer)
  // Its first member.
  let size = Int(bytes.load(as: UInt32.self))
  guard size >= 8 else { throw FerryError(.invalid, "the struct_size of \(name) is \(size)", hint: "set it to sizeof(\(name))") }
  for place in MemoryLayout<Struct>.size..<max(size, MemoryLayout<Struct>.size) where bytes.load(fromByteOffset: place, as: UInt8.self) != 0
  {
    throw FerryError(
      .unsupported, "\(name) has members that ferry \(ferryVersion) does not know", hint: "use a newer libferry, or leave them zero")
  }
  var result = zeros
  withUnsafeMutableBytes(of: &result) { $0.copyMemory(from: UnsafeRawBufferPointer(start: bytes, count: min(size, $0.count))) }
  return result
}

/// Refuses flags that this library does not know.
func demand(_ flags: UInt32, among known: Int, _ name: String) throws {
  guard flags & ~UInt32(known) == 0 else {
    throw FerryError(
      .unsupported, "\(name) has flags that ferry \(ferryVersion) does not know", hint: "use a newer libferry, or leave them zero")
  }
}

/// A list of texts with NULL at its end; NULL for none.
func list(_ texts: UnsafePointer<UnsafePointer<CChar>?>?) -> [String]? {
  guard var next = texts else { return nil }
  var list: [String] = []
  while let text = next.pointee {
    list.append(String(cString: text))
    next += 1
  }
  return list
}

extension Engine.Configuration {
  /// As the options of `ferry_engine_open` say.
  init(_ options: UnsafePointer<ferry_options>?) throws {
    let options = try options.map { try known($0, over: ferry_options(), "ferry_options") } ?? ferry_options()
    try demand(options.flags, among: 0, "ferry_options")
    let (state, plugins) = (options.state_folder.map { String(cString: $0) }, list(options.plugin_folders))
    if let executable = options.executable.map({ String(cString: $0) }) {
      guard let real = realpath(executable, nil) else {
        throw FerryError(.notFound, "there is no `ferry` program \(executable)", hint: "agents and plugin hosts are processes of it")
      }
      defer { free(real) }
      self.init(executable: String(cString: real), stateFolder: state, pluginFolders: plugins)
    } else {
      self = try .installed(stateFolder: state, pluginFolders: plugins)
    }
    if let file = options.ssh_config { sshConfig = String(cString: file) }
  }
}

extension RunOptions {
  /// As a caller's struct says, which may be NULL.
  init(_ options: UnsafePointer<ferry_run_options>?) throws {
    self.init()
    guard let options = try options.map({ try known($0, over: ferry_run_options(), "ferry_run_options") }) else { return }
    try demand(options.flags, among: FERRY_IGNORE_SPACE, "ferry_run_options")
    ignoreSpace = options.flags & UInt32(FERRY_IGNORE_SPACE) != 0
    if options.max_downtime > 0 { maxDowntime = .milliseconds(Int64(clamping: options.max_downtime)) }
    holdBefore = try (list(options.hold_before) ?? []).map { name in
      guard let phase = Phase(rawValue: name) else {
        throw FerryError(
          .invalid, "there is no phase '\(name)'", hint: "phases are \(Phase.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      return phase
    }
  }
}
