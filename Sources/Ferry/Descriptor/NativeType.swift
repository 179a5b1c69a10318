import CFFI

/// What an argument or a result is in C, as a descriptor names it.
indirect enum NativeType: Hashable, Sendable {
  case void
  case int(bits: Int, signed: Bool)
  case double
  /// UTF-8 that ends in NUL. As a result it is copied at once.
  case cstring
  case pointer
  /// Two arguments in C: where the bytes are, and how many of them as a number of so many bits.
  case buffer(bits: Int)
  /// A function of this descriptor's own.
  case callback
  /// Where the function puts a value; what it finds there is the value that the name had before.
  case out(NativeType)

  private static let plain: [String: NativeType] = [
    "void": .void, "double": .double, "cstring": .cstring, "pointer": .pointer, "callback": .callback, "buffer": .buffer(bits: 64),
    "buffer32": .buffer(bits: 32), "size": .int(bits: 64, signed: false), "int8": .int(bits: 8, signed: true),
    "int16": .int(bits: 16, signed: true), "int32": .int(bits: 32, signed: true), "int64": .int(bits: 64, signed: true),
    "uint8": .int(bits: 8, signed: false), "uint16": .int(bits: 16, signed: false), "uint32": .int(bits: 32, signed: false),
    "uint64": .int(bits: 64, signed: false),
  ]
  /// What can be had through a pointer.
  private static let outNames = plain.keys.filter { !["void", "callback", "buffer", "buffer32"].contains($0) }.map { "out \($0)" }

  /// What an argument can be.
  static let argumentNames = (plain.keys.filter { $0 != "void" } + outNames).sorted()
  /// What a function can return.
  static let resultNames = plain.keys.filter { !["callback", "buffer", "buffer32"].contains($0) }.sorted()
  /// What an argument of a callback can be.
  static let callbackNames = plain.keys.filter { !["void", "callback", "buffer", "buffer32"].contains($0) }.sorted()

  /// The type of that name; nil if there is none.
  init?(_ name: String) {
    if name.hasPrefix("out "), Self.outNames.contains(name), let inner = NativeType(String(name.dropFirst(4))) {
      self = .out(inner)
    } else if let found = Self.plain[name] {
      self = found
    } else {
      return nil
    }
  }

  /// As C passes it: a buffer is two arguments.
  var foreign: [UnsafeMutablePointer<ffi_type>?] {
    switch self {
    case .buffer(let bits): [cffi_type(Int32(CFFI_POINTER)), NativeType.int(bits: bits, signed: bits == 32).foreignType]
    default: [foreignType]
    }
  }

  /// As C returns it.
  var foreignType: UnsafeMutablePointer<ffi_type>? {
    let kind =
      switch self {
      case .void: CFFI_VOID
      case .double: CFFI_DOUBLE
      case .int(8, true): CFFI_INT8
      case .int(16, true): CFFI_INT16
      case .int(32, true): CFFI_INT32
      case .int(_, true): CFFI_INT64
      case .int(8, false): CFFI_UINT8
      case .int(16, false): CFFI_UINT16
      case .int(32, false): CFFI_UINT32
      case .int(_, false): CFFI_UINT64
      case .cstring, .pointer, .buffer, .callback, .out: CFFI_POINTER
      }
    return cffi_type(Int32(kind))
  }

  /// Whether C widens it when it is passed to a variadic function.
  var isPromoted: Bool { if case .int(let bits, _) = self { bits < 32 } else { false } }

  /// Whether a number is one of this type's.
  func holds(_ number: Int64) -> Bool {
    switch self {
    case .int(64, signed: true), .double: true
    case .int(64, signed: false): number >= 0
    case .int(let bits, signed: true): number >= -(1 << (bits - 1)) && number < 1 << (bits - 1)
    case .int(let bits, signed: false): number >= 0 && number < 1 << bits
    default: false
    }
  }
}

/// What a name stands for while steps run.
enum NativeValue: Sendable {
  case number(Int64)
  case real(Double)
  case text(String)
  /// An address of the library's; 0 is NULL.
  case pointer(UInt)
  /// Memory of the host's, and how much of it counts.
  case buffer(NativeBuffer, count: Int)

  static let null = NativeValue.pointer(0)

  /// A value of a configuration.
  init(_ json: JSONValue?) {
    switch json {
    case nil, .null: self = .null
    case .bool(let value): self = .number(value ? 1 : 0)
    case .int(let value): self = .number(value)
    case .unsigned(let value): self = .number(Int64(bitPattern: value))
    case .double(let value): self = .real(value)
    case .string(let value): self = .text(value)
    case .array, .object: self = .text(json?.text ?? "")
    }
  }

  /// Neither zero nor NULL nor empty.
  var isTrue: Bool {
    switch self {
    case .number(let value): value != 0
    case .real(let value): value != 0
    case .text(let value): !value.isEmpty
    case .pointer(let value): value != 0
    case .buffer: true
    }
  }

  /// As a part of a text.
  var words: String {
    switch self {
    case .number(let value): String(value)
    case .real(let value): String(value)
    case .text(let value): value
    case .pointer, .buffer: ""
    }
  }
}

/// Memory that a library reads and writes.
final class NativeBuffer: @unchecked Sendable {
  let bytes: UnsafeMutableRawPointer
  let capacity: Int

  init(capacity: Int) {
    self.capacity = capacity
    bytes = .allocate(byteCount: max(1, capacity), alignment: 16)
    bytes.initializeMemory(as: UInt8.self, repeating: 0, count: max(1, capacity))
  }

  deinit { bytes.deallocate() }
}
