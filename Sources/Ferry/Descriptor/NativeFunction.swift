import CFFI
import FerrySystem
import Glibc

/// A function of a library with its call interface, which is prepared once.
final class NativeFunction: @unchecked Sendable {
  let spec: PluginDescriptor.Function
  private let address: UnsafeMutableRawPointer
  private let interface: NativeInterface

  init(_ spec: PluginDescriptor.Function, at address: UnsafeMutableRawPointer) throws {
    self.spec = spec
    self.address = address
    let variadic = spec.variadic.map { spec.arguments.suffix($0).flatMap(\.type.foreign).count }
    interface = try NativeInterface(spec.arguments.flatMap(\.type.foreign), returns: spec.returns.foreignType, variadic: variadic)
  }

  /// What came of a call: the raw result, widened to 64 bits, and errno.
  struct Outcome {
    var raw: UInt64
    var errno: Int32
  }

  /// Calls it with words as C's registers have them: numbers widened, addresses, the bits of a double.
  func call(_ words: [UInt64]) -> Outcome {
    // libffi gets the address of each argument; on a little-endian machine a narrow number lies at the start of its word.
    var words = words
    var result: UInt64 = 0
    let code = words.withUnsafeMutableBufferPointer { words in
      var addresses = words.indices.map { words.baseAddress.map { UnsafeMutableRawPointer($0) }?.advanced(by: 8 * $0) }
      return cffi_call(interface.cif, address, &result, &addresses)
    }
    return Outcome(raw: result, errno: code)
  }
}

/// How a function is called: types in C's order. It and its types stay where they are.
final class NativeInterface: @unchecked Sendable {
  let cif: UnsafeMutablePointer<ffi_cif>
  private let types: UnsafeMutablePointer<UnsafeMutablePointer<ffi_type>?>

  init(_ arguments: [UnsafeMutablePointer<ffi_type>?], returns: UnsafeMutablePointer<ffi_type>?, variadic: Int? = nil) throws {
    cif = .allocate(capacity: 1)
    cif.initialize(to: ffi_cif())
    types = .allocate(capacity: max(1, arguments.count))
    types.initialize(from: arguments, count: arguments.count)
    let status = cffi_prepare(cif, Int32(arguments.count), Int32(variadic ?? -1), returns, types)
    guard status == 0 else { throw FerryError(.internal, "libffi cannot prepare the call (status \(status))") }
  }

  deinit {
    cif.deallocate()
    types.deallocate()
  }
}

extension NativeType {
  /// A result, or an argument of a callback, out of its word.
  func value(_ raw: UInt64) -> NativeValue {
    switch self {
    case .void: .null
    case .int(let bits, signed: true): .number(Int64(bitPattern: raw << (64 - bits)) >> (64 - Int64(bits)))
    case .int(let bits, signed: false): .number(Int64(bitPattern: raw & (bits == 64 ? .max : (1 << bits) - 1)))
    case .double: .real(Double(bitPattern: raw))
    case .cstring: UnsafePointer<CChar>(bitPattern: UInt(raw)).map { .text(String(cString: $0)) } ?? .null
    case .pointer, .buffer, .callback, .out: .pointer(UInt(raw))
    }
  }

  /// The word of a plain value; nil if the value is none of this type.
  func word(_ value: NativeValue) -> UInt64? {
    switch (self, value) {
    case (.int, .number(let number)): holds(number) || self == .int(bits: 64, signed: false) ? UInt64(bitPattern: number) : nil
    case (.double, .number(let number)): Double(number).bitPattern
    case (.double, .real(let number)): number.bitPattern
    case (.pointer, .pointer(let address)), (.cstring, .pointer(let address)): UInt64(address)
    case (.pointer, .buffer(let buffer, _)): UInt64(UInt(bitPattern: buffer.bytes))
    default: nil
    }
  }
}

/// A function made at run time, for libraries that call back. Its own address leads to what it does: no user-data pointer is needed.
final class NativeCallback: @unchecked Sendable {
  /// What to do; may be called on any thread of the library's.
  typealias Body = (_ arguments: [NativeValue]) -> NativeValue

  /// What the library gets.
  let address: UnsafeMutableRawPointer
  private let closure: UnsafeMutablePointer<ffi_closure>
  private let interface: NativeInterface
  private let types: [NativeType]
  private let returns: NativeType
  private let body: Body

  init(_ spec: PluginDescriptor.Callback, _ body: @escaping Body) throws {
    types = spec.arguments.map(\.type)
    returns = spec.returns
    self.body = body
    interface = try NativeInterface(types.flatMap(\.foreign), returns: returns.foreignType)
    var code: UnsafeMutableRawPointer?
    guard let memory = ffi_closure_alloc(MemoryLayout<ffi_closure>.size, &code), let code else {
      throw FerryError(.internal, "libffi has no memory for a callback")
    }
    closure = memory.assumingMemoryBound(to: ffi_closure.self)
    address = code
    let status = ffi_prep_closure_loc(
      closure, interface.cif,
      { _, result, arguments, context in
        guard let context else { return }
        Unmanaged<NativeCallback>.fromOpaque(context).takeUnretainedValue().run(result, arguments)
      }, Unmanaged.passUnretained(self).toOpaque(), code)
    guard status == FFI_OK else { throw FerryError(.internal, "libffi cannot make a callback") }
  }

  deinit { ffi_closure_free(closure) }

  private func run(_ result: UnsafeMutableRawPointer?, _ arguments: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) {
    let values = types.enumerated().map { index, type in
      guard let place = arguments?[index] else { return NativeValue.null }
      return type.value(type.load(place))
    }
    let answer = body(values)
    // libffi wants a whole register's worth, whatever the type.
    if returns != .void { result?.storeBytes(of: returns.word(answer) ?? 0, as: UInt64.self) }
  }
}

extension NativeType {
  /// A word from where C has put exactly this type.
  func load(_ place: UnsafeRawPointer) -> UInt64 {
    switch self {
    case .int(let bits, _): (0..<bits / 8).reduce(0) { $0 | UInt64(place.load(fromByteOffset: $1, as: UInt8.self)) << (8 * UInt64($1)) }
    default: place.loadUnaligned(as: UInt64.self)
    }
  }
}
