import FerryPluginKit
import FerryTree
import Glibc

/// The paths that a snapshot really holds: what is selected is restic's decision, not a copy of its rules.
enum ResticListing {
  /// Asks restic and keeps the answer in a file: each path with a NUL.
  static func save(_ snapshot: ResticChoice, _ repository: ResticRepository, to path: String) throws {
    let asked = "\(path).asked"
    defer { unlink(asked) }
    func ask(_ arguments: [String]) throws -> [UInt8] {
      let file = try Descriptor.open(asked, O_WRONLY | O_CREAT | O_TRUNC)
      var command = try repository.command(["ls", "--no-lock"] + arguments + snapshot.arguments)
      command.output = .descriptor(file.number)
      let outcome = try repository.run(command)
      guard outcome.succeeded else { throw ResticFailure.error("ls", outcome) }
      return try Files.read(asked, limit: 1 << 32)
    }
    let lines = try decode(json: ask(["--json"]))
    // JSON cannot carry a name that is not text; the plain list can, and both have the same order.
    let isText = !lines.contains { $0.name.unicodeScalars.contains("\u{fffd}") }
    let paths = try parse(lines, plain: isText ? nil : ask([]))
    try Files.replace(path, with: paths.flatMap { $0 + [0] })
  }

  /// What of it is below one of its folders, relative to that.
  static func read(_ path: String, below name: String) throws -> [[UInt8]] {
    let prefix = Array("\(name)/".utf8)
    return try read(path).filter { $0.starts(with: prefix) }.map { Array($0.dropFirst(prefix.count)) }
  }

  static func read(_ path: String) throws -> [[UInt8]] {
    guard Files.exists(path) else {
      throw FerryError(.precondition, "what restic has selected is not known any more: \(path) is gone", hint: "run it anew")
    }
    return try Files.read(path, limit: 1 << 32).split(separator: 0).map { Array($0) }
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

  static func parse(_ lines: [Line], plain: [UInt8]?) throws -> [[UInt8]] {
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
    return try lines.compactMap { line in
      let newlines = line.name.utf8.reduce(0) { $0 + ($1 == 10 ? 1 : 0) }
      let own = takeLines(newlines + 1)
      guard let path = line.path else { return nil }
      let whole = own ?? Array(path.utf8)
      guard whole.first == 0x2f else { throw FerryError(.internal, "restic lists \(path), which is no path in a snapshot") }
      return Array(whole.dropFirst())
    }
  }
}
