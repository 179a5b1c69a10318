import ArgumentParser
import Ferry

struct CallCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "call", abstract: "Does what a descriptor has under 'calls': a flush, a freeze, a snapshot through a library.")
  @Argument(help: ArgumentHelp("The descriptor's file without its suffix, and the call.", valueName: "descriptor.call")) var name: String
  @Argument(help: ArgumentHelp("A value that the call takes.", valueName: "name=value")) var values: [String] = []
  @OptionGroup var plugins: PluginOptions
  @OptionGroup var output: OutputOptions

  func validate() throws { _ = try given() }

  func run() throws {
    let counts = try plugins.configuration().catalog().call(name, given())
    let words = (counts.object ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.text)" }
    try output.show(counts, "\(name) is done\(words.isEmpty ? "" : ": \(words.joined(separator: ", "))")")
  }

  private func given() throws -> [String: String] {
    var given: [String: String] = [:]
    for text in values {
      guard let equals = text.firstIndex(of: "="), equals != text.startIndex else {
        throw ValidationError("a value is name=value, and '\(text)' is not that")
      }
      guard given.updateValue(String(text[text.index(after: equals)...]), forKey: String(text[..<equals])) == nil else {
        throw ValidationError("\(text[..<equals]) is given twice")
      }
    }
    return given
  }
}
