import Ferry
import FerrySystem

/// A state that a specimen's commands make, change and describe.
final class ScriptedSubject: ConformanceSubject {
  let ends: ItemEnds
  private let file: SpecimenFile
  private let names: JSONValue
  private let disk = DiskOfCheck()

  init(_ file: SpecimenFile, in folder: String, executable: String, plugin: PluginFile) throws {
    self.file = file
    let item = file.fill(file.item, ["folder": .string(folder)])
    let (from, to) = (item["from"] ?? [:], item["to"] ?? [:])
    names = ["folder": .string(folder), "from": from, "to": to]
    ends = ItemEnds(
      executable: executable, plugin: plugin, provider: file.provider, home: folder, from: from, to: to,
      keys: (item.object ?? [:]).filter { $0.key != "from" && $0.key != "to" }, told: ["allow-empty": true, "run-mode": "copy"],
      secrets: file.secrets.mapValues { Array($0.utf8) })
    try run(.make, at: .source)
  }

  var knowsSHA256: Bool { file.knowsSHA256 }
  var retires: Bool { file.retires }

  func change(_ number: Int) throws { try run(.change, at: .source, number) }
  func touch() throws { try run(.touch, at: .source) }
  func empty() throws { try run(.empty, at: .source) }
  func occupy() throws { try run(.occupy, at: .destination) }
  func look(_ side: Side) throws -> [String] { try lines(of: .look, at: side) }
  func residue() throws -> [String] { try lines(of: .residue, at: .destination) }
  func together(_ from: [String], _ to: [String]) -> [String] { file.joins ? (from + to).sorted() : from }

  func takeRoom() throws -> String? {
    guard let room = file.room else { return "the specimen has no 'room'" }
    return try disk.take(on: file.fill(room.folder, names), kilobytes: room.kilobytes)
  }
  func makeRoom() throws { try disk.grow() }

  func end() {
    ends.killBoth()
    _ = try? run(.clean, at: .source)
    disk.end()
  }

  private func lines(of script: SpecimenFile.Script, at side: Side) throws -> [String] {
    let lines = try run(script, at: side).split(separator: "\n").map(String.init)
    // What has come together is compared as a set.
    return file.joins ? lines.sorted() : lines
  }

  @discardableResult private func run(_ script: SpecimenFile.Script, at side: Side, _ number: Int = 0) throws -> String {
    guard let text = file.scripts[script], !text.isEmpty else { return "" }
    var names = names
    names["side"] = .string(side.rawValue)
    names["number"] = .int(Int64(number))
    names["at"] = names[side == .source ? "from" : "to"]
    var command = Command(["sh", "-euc", file.fill(text, names)], timeout: .seconds(120))
    command.directory = file.folder
    command.output = .capture(limit: 64 << 20)
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.io, "the specimen's '\(script.rawValue)' failed: \(outcome.reason)") }
    return outcome.output
  }
}
