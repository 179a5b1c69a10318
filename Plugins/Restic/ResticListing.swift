import FerryPluginKit
import FerryTree
import Glibc

/// The paths that a snapshot really holds: what is selected is restic's decision, not a copy of its rules.
enum ResticListing {
  /// Asks restic and keeps the answer in a file: paths below the root, each with a NUL.
  static func save(_ snapshot: String, _ repository: ResticRepository, root: String, to path: String) throws {
    let asked = "\(path).asked"
    defer { unlink(asked) }
    func ask(_ arguments: [String]) throws -> [UInt8] {
      let file = try Descriptor.open(asked, O_WRONLY | O_CREAT | O_TRUNC)
      var command = try repository.command(["ls", "--no-lock"] + arguments + [snapshot])
      command.output = .descriptor(file.number)
      let outcome = try repository.run(command)
      guard outcome.succeeded else { throw ResticFailure.error("ls", outcome) }
      return try Files.read(asked, limit: 1 << 32)
    }
    let lines = try decode(json: ask(["--json"]))
    // JSON cannot carry a name that is not text; the plain list can, and both have the same order.
    let isText = !lines.contains { $0.name.unicodeScalars.contains("\u{fffd}") }
    let paths = try parse(lines, plain: isText ? nil : ask([]), root: Array(root.utf8))
    try Files.replace(path, with: paths.flatMap { $0 + [0] })
  }

  static func read(_ path: String) throws -> TreeSelection {
    guard Files.exists(path) else {
      throw FerryError(.precondition, "what restic has selected is not known any more: \(path) is gone", hint: "run it anew")
    }
    return TreeSelection(try Files.read(path, limit: 1 << 32).split(separator: 0).map { Array($0) })
  }

  struct Line: Decodable {
    var path: String?
    var paths: [String]?
    /// What the plain list has for it: the first line is about the snapshot.
    var name: String { path ?? paths?.joined() ?? "" }
  }

  static func decode(json: [UInt8]) throws -> [Line] {
    try json.split(separator: 10).map { try JSONValue.decode(Line.self, from: Array($0)) }
  }

  static func parse(_ lines: [Line], plain: [UInt8]?, root: [UInt8]) throws -> [[UInt8]] {
    var rest = plain?[...]
    // A name may hold newlines: how many lines one takes is told by the JSON.
    func takeLines(_ count: Int) -> [UInt8]? {
      guard var tail = rest else { return nil }
      var taken: [UInt8] = []
      for number in 0..<count {
        let line = tail.prefix { $0 != 10 }
        taken += (number > 0 ? [10] : []) + line
        tail = tail.dropFirst(line.count + 1)
      }
      rest = tail
      return taken
    }
    let prefix = [0x2f] + root
    return try lines.compactMap { line in
      let newlines = line.name.utf8.reduce(0) { $0 + ($1 == 10 ? 1 : 0) }
      let own = takeLines(newlines + 1)
      guard let path = line.path else { return nil }
      let whole = own ?? Array(path.utf8)
      guard whole.starts(with: prefix) else { throw FerryError(.internal, "restic lists \(path), which is not below the snapshot's root") }
      let below = Array(whole.dropFirst(prefix.count + 1))
      return below.isEmpty ? nil : below
    }
  }
}
