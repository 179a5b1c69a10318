import FerryPluginKit
import FerryTree
import Glibc

/// The paths that rsync's own file list selects: rules are rsync's, not a copy of them.
enum RsyncSelection {
  static func read(source: String, _ config: RsyncConfig, _ form: TreeForm, _ context: ProviderContext) throws -> TreeSelection {
    let folder = "\(context.temporaryFolder)/nothing"
    try Files.makeFolder(folder)
    let path = "\(context.temporaryFolder)/selection"
    let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
    defer { unlink(path) }
    // A trial run into an empty folder names all that would be sent. Attributes and links play no part in what is selected.
    var command = Command(
      ["rsync", "-nrl", "--specials", form.devices ? "--devices" : "--no-devices"] + (config.oneFileSystem == true ? ["-x"] : [])
        + config.rules
        + ["--out-format=%n", "\(source)/", "\(folder)/"], environment: RsyncTool.environment)
    command.output = .descriptor(file.number)
    let outcome = try context.run(command)
    guard outcome.succeeded else {
      throw RsyncFailure.error(code: outcome.code, lines: outcome.errors.split(separator: "\n").map(String.init)).inside(
        "cannot list what is selected")
    }
    return TreeSelection(parse(try Files.read(path, limit: 1 << 32)))
  }

  /// Lines of paths, folders with a slash at the end, odd bytes as `\#ooo`.
  static func parse(_ bytes: [UInt8]) -> [[UInt8]] {
    bytes.split(separator: 10).compactMap { line in
      var path: [UInt8] = []
      var rest = line[...]
      while let byte = rest.first {
        let digits = rest.dropFirst(2).prefix(3)
        if byte == 0x5c, rest.dropFirst().first == 0x23, digits.count == 3, digits.allSatisfy({ $0 >= 0x30 && $0 <= 0x37 }) {
          path.append(UInt8(truncatingIfNeeded: digits.reduce(0) { $0 * 8 + Int($1 - 0x30) }))
          rest = rest.dropFirst(5)
        } else {
          path.append(byte)
          rest = rest.dropFirst()
        }
      }
      if path.last == 0x2f { path.removeLast() }
      return path == [0x2e] ? nil : path
    }
  }
}
