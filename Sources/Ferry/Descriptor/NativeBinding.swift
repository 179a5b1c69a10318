import FerrySystem

/// A descriptor whose libraries are open: functions are prepared for calls when they are first needed, and then kept.
final class NativeBinding: Sendable {
  let descriptor: PluginDescriptor
  private struct Opened {
    var libraries: [String: NativeLibrary] = [:]
    var functions: [String: NativeFunction] = [:]
  }
  private let opened = Lock(Opened())

  init(_ descriptor: PluginDescriptor) { self.descriptor = descriptor }

  func function(_ name: String) throws -> NativeFunction {
    try opened.withLock { opened in
      if let known = opened.functions[name] { return known }
      guard let spec = descriptor.functions[name] else { throw FerryError(.internal, "there is no function '\(name)'") }
      let library = try opened.libraries[spec.library] ?? NativeLibrary(spec.library)
      opened.libraries[spec.library] = library
      guard let address = library.symbol(spec.symbol) else {
        throw FerryError(.notFound, "\(spec.library) has no function '\(spec.symbol)'")
      }
      let function = try NativeFunction(spec, at: address)
      opened.functions[name] = function
      return function
    }
  }
}
