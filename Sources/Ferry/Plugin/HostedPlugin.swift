import FerrySystem

/// What a host has loaded: a library that was written for Ferry, or a descriptor of one that was not.
protocol HostedPlugin {
  /// What it says about itself.
  var module: PluginModule { get }
  /// Sets a provider up.
  func instance(_ instructions: HostInstructions, _ services: HostServices) throws -> any HostedInstance
}

/// One provider in its host: calls come on one thread, one at a time; `cancel` from any.
protocol HostedInstance: AnyObject, Sendable {
  /// Runs one call; the channels are closed when it has returned.
  func perform(_ call: HostCall, _ channels: [Descriptor]) throws -> JSONValue
  /// Asks the running call to end. Says whether it can be asked.
  func cancel() -> Bool
  /// Tells it that a pass that stays is to end; one that cannot be told stays as long as it was said to.
  func windUp()
  /// Frees it; the state stays as it is.
  func destroy()
}

extension HostedInstance {
  /// It has no passes that stay.
  func windUp() {}
}

extension PluginFile {
  /// How the name of a descriptor ends.
  static let descriptorSuffix = ".yaml"
  /// How the names of what a plugin folder holds end.
  static let suffixes = [".so", descriptorSuffix]

  /// Loads exactly the bytes with that digest. Only a host does.
  func load() throws -> any HostedPlugin { name.hasSuffix(Self.descriptorSuffix) ? try DescribedPlugin(self) : try LoadedPlugin(self) }
}
