import FerrySystem

/// A command of a manifest whose program is `call:DESCRIPTOR.NAME`: what a descriptor in a plugin folder has under `calls`, with values for
/// arguments, `name=value`.
struct CallStep {
  static let prefix = "call:"

  /// DESCRIPTOR.NAME.
  let name: String
  private let values: [String]

  /// nil: the command is a program's.
  init?(_ command: [String]) {
    guard let program = command.first, program.hasPrefix(Self.prefix) else { return nil }
    name = String(program.dropFirst(Self.prefix.count))
    values = Array(command.dropFirst())
  }

  /// The same as a program of this node's: `ferry call`.
  func command(_ ferry: FerryProgram?) throws -> [String] {
    guard let ferry else { throw FerryError(.internal, "nobody has said which ferry makes the call '\(name)'") }
    return [ferry.executable, "call", name] + values
  }
}

/// The `ferry` of a node, for what is started there.
public struct FerryProgram: Sendable {
  let executable: String
  let plugins: [String]

  /// That of a configuration.
  public init(_ configuration: Engine.Configuration) {
    self.init(executable: configuration.executable, plugins: configuration.pluginFolders)
  }

  init(executable: String, plugins: [String]) {
    self.executable = executable
    self.plugins = plugins
  }

  /// So that a hook or a service's command finds it and its plugins: `"$FERRY" call …`.
  var environment: [String: String] { ["FERRY": executable, "FERRY_PLUGINS": plugins.joined(separator: ":")] }
}
