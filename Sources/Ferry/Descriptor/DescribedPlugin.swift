import FerrySystem

/// A descriptor in this process, checked against its libraries. Only a host makes one.
struct DescribedPlugin: HostedPlugin {
  private let binding: NativeBinding

  /// Reads exactly the bytes with that digest.
  init(_ file: PluginFile) throws {
    let text = try Files.read(file.path, limit: YAMLReader.maxBytes + 1)
    let digest = SHA256.hex(text)
    guard digest == file.sha256 else {
      throw FerryError(
        .precondition, "plugin \(file.path) has changed: its SHA-256 is \(digest), and \(file.sha256) was expected",
        hint: "update or remove it")
    }
    binding = NativeBinding(try DescriptorReader.read(text, file))
  }

  var module: PluginModule { binding.descriptor.module }

  func instance(_ instructions: HostInstructions, _ services: HostServices) throws -> any HostedInstance {
    guard let provider = binding.descriptor.providers[instructions.provider] else {
      throw FerryError(
        .notFound, "plugin \(instructions.file.path) has no provider '\(instructions.provider)'", hint: "update or remove it")
    }
    return try DescriptorInstance(binding, provider, instructions, services)
  }
}
