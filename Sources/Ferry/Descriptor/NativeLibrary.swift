import FerrySystem
import Glibc

/// A shared library of somebody else's in this process. Only a host opens one.
struct NativeLibrary: @unchecked Sendable {
  let name: String
  private let handle: UnsafeMutableRawPointer

  /// Opens it for good. What is named by a path must be as trustworthy as a plugin; a bare name is the system's own to find.
  init(_ name: String) throws {
    self.name = name
    let path = name.contains("/") ? try PluginTrust.resolve(name) : name
    guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) else {
      throw FerryError(.notFound, dlerror().map { String(cString: $0) } ?? "\(name) cannot be loaded")
    }
    self.handle = handle
  }

  /// A function's address, or nil.
  func symbol(_ name: String) -> UnsafeMutableRawPointer? { dlsym(handle, name) }

  /// Libraries with names like that one, where the C library lies.
  static func nearest(to name: String) -> String? {
    guard !name.contains("/"), let known = try? NativeLibrary("libc.so.6"), let path = known.path else { return nil }
    let folder = Files.parent(of: path)
    let names = Files.names(in: folder).filter { $0.hasPrefix("lib") && $0.contains(".so") }
    // `libarchive.so` is there for compilers only; the versioned name is what a system has.
    return names.first { $0.hasPrefix("\(name).") } ?? Suggestion.nearest(to: name, in: names)
  }

  /// All names that the library exports, for suggestions.
  var exports: [String] {
    path.flatMap { try? Files.read($0) }.map(ELFNames.dynamic) ?? []
  }

  /// The file that was found. glibc's handle is its link map, whose second member is the name.
  private var path: String? { handle.load(fromByteOffset: 8, as: UnsafePointer<CChar>?.self).map { String(cString: $0) } }
}

/// The names in a library's table of dynamic symbols (ELF, 64 bits, little endian).
enum ELFNames {
  static func dynamic(_ bytes: [UInt8]) -> [String] {
    bytes.withUnsafeBytes { file in
      func number<Value: FixedWidthInteger>(_ type: Value.Type, _ offset: Int) -> Int {
        guard offset >= 0, offset + MemoryLayout<Value>.size <= file.count else { return 0 }
        return Int(clamping: file.loadUnaligned(fromByteOffset: offset, as: Value.self).littleEndian)
      }
      guard file.count > 64, file[4] == 2, file[5] == 1 else { return [] }
      let (table, size, count) = (number(UInt64.self, 40), number(UInt16.self, 58), number(UInt16.self, 60))
      guard let section = (0..<count).map({ table + $0 * size }).first(where: { number(UInt32.self, $0 + 4) == 11 }) else { return [] }
      let names = number(UInt64.self, table + number(UInt32.self, section + 40) * size + 24)
      let (start, length) = (number(UInt64.self, section + 24), number(UInt64.self, section + 32))
      return stride(from: start, to: min(start + length, file.count - 24), by: 24).compactMap { symbol in
        // Section 0: a name that the library itself looks for elsewhere.
        guard number(UInt16.self, symbol + 6) != 0 else { return nil }
        let name = names + number(UInt32.self, symbol)
        guard name > 0, name < file.count else { return nil }
        return String(decoding: file[name...].prefix { $0 != 0 }, as: UTF8.self)
      }
    }
  }
}

/// Whether a descriptor's libraries are there and have what it names.
struct LibraryChecker {
  let root: Node
  let descriptor: PluginDescriptor
  let findings: Findings

  func check() {
    var opened: [String: NativeLibrary?] = [:]
    for entry in root["functions"]?.entries ?? [] {
      guard let function = descriptor.functions[entry.key] else { continue }
      let library = opened[function.library] ?? open(function, entry)
      opened[function.library] = .some(library)
      guard let library, library.symbol(function.symbol) == nil else { continue }
      findings.add(
        .meaning, entry.value["symbol"]?.mark ?? entry.keyMark, "\(library.name) has no function \(quoted(function.symbol))",
        suggestion: Suggestion.nearest(to: function.symbol, in: library.exports))
    }
  }

  private func open(_ function: PluginDescriptor.Function, _ entry: Node.Entry) -> NativeLibrary? {
    do { return try NativeLibrary(function.library) } catch {
      let node = entry.value["library"] ?? root["library"]
      findings.add(
        .meaning, node?.mark ?? entry.keyMark, "the library cannot be loaded: \(FerryError.wrap(error).message)",
        suggestion: NativeLibrary.nearest(to: function.library), hint: "install the package that has it, or correct its name")
      return nil
    }
  }
}
