import CFerryEmbed
import Ferry
import Glibc

// The functions of include/ferry/embed.h. What they do, who owns what and who may call them stands there; here is how. Nothing but the public API of
// Ferry is behind them.

/// A pointer that owns an object until `release`.
func handle(_ object: some AnyObject) -> OpaquePointer { OpaquePointer(Unmanaged.passRetained(object).toOpaque()) }

/// The object behind a handle.
func object<Object: AnyObject>(_ handle: OpaquePointer?, _ type: Object.Type = Object.self) throws -> Object {
  guard let handle else { throw FerryError(.invalid, "a handle is NULL") }
  return Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).takeUnretainedValue()
}

/// Ends a handle; what it stood for lives on as long as something else holds it.
func release<Object: AnyObject>(_ handle: OpaquePointer?, _ type: Object.Type) {
  if let handle { Unmanaged<Object>.fromOpaque(UnsafeRawPointer(handle)).release() }
}

extension Optional {
  /// Hands a value out. `make` is not asked for one that nobody takes.
  func put<Value>(_ make: @autoclosure () throws -> Value) throws where Wrapped == UnsafeMutablePointer<Value?> {
    guard let place = self else { throw FerryError(.invalid, "the pointer to a result is NULL") }
    place.pointee = nil
    place.pointee = try make()
  }
}

/// Text for `ferry_free`.
func text(_ value: some Encodable) throws -> UnsafeMutablePointer<CChar> {
  try copied(String(decoding: JSONValue.encode(value), as: UTF8.self))
}

/// A copy of a text, in memory of malloc.
func copied(_ text: String) throws -> UnsafeMutablePointer<CChar> {
  guard let copy = strdup(text) else { throw FerryError(.io, "there is no memory left") }
  return copy
}

/// A text of the caller's that must be there.
func told(_ text: UnsafePointer<CChar>?, _ name: String) throws -> String {
  guard let text else { throw FerryError(.invalid, "\(name) is NULL") }
  return String(cString: text)
}
