import ArgumentParser
import Ferry

struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema", abstract: "Prints the manifest's JSON Schema, for editors and other tools.")
  @OptionGroup var output: OutputOptions

  func run() throws {
    let schema = ManifestSchema.jsonSchema()
    try output.show(schema, String(decoding: JSONValue.encode(schema, pretty: true), as: UTF8.self))
  }
}
