import ArgumentParser
import Ferry

struct LogsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "logs", abstract: "Shows all that was said in a run.")
  @OptionGroup var reference: RunReference
  @Flag(help: "Go on until the run ends.") var follow = false
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let engine = try engine.engine()
    let tail = EventTail(engine: engine, run: try engine.find(reference.run).id)
    try tail.read(follow: follow) { event in try output.show(event, line(event)) }
  }

  private func line(_ event: Event) -> String {
    let place = [event.phase?.rawValue, event.side?.rawValue, event.item].compactMap { $0 }.joined(separator: " ")
    var words: [String] = []
    if event.kind == .log, let level = event.level, level >= 2 { words.append(level == 2 ? "warning:" : "error:") }
    if event.kind == .pass {
      let method = event.text.map { ", found by \($0)" } ?? ""
      words.append("pass \(event.pass ?? 0): \(Text.bytes(event.bytes ?? 0)), \(Words.entries(event.entries ?? 0)) changed\(method)")
    } else if let text = event.text {
      words.append(text)
    }
    if let seconds = event.seconds { words.append("(\(Text.seconds(seconds)))") }
    return
      "\(Timestamp.text(event.at))  \(Words.padded(event.kind.rawValue, 11))  \(place)\(place.isEmpty || words.isEmpty ? "" : ": ")\(words.joined(separator: " "))"
  }
}
