import ArgumentParser
import Ferry

struct ReceiptCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "receipt", abstract: "Prints a run's receipt, a JSON document that `ferry verify` takes.")
  @OptionGroup var reference: RunReference
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let receipt = try engine.engine().receipt(reference.run)
    try output.show(receipt, String(decoding: JSONValue.encode(receipt, pretty: true), as: UTF8.self))
  }
}
