/// Durable memory of one run, item and side. A put is a checkpoint: it is on disk when it returns.
public struct KeyValueStore: @unchecked Sendable {
  let host: UnsafePointer<ferry_host>
  let table: UnsafePointer<ferry_kv>

  /// The bytes under a key, or nil.
  public func bytes(_ key: String) throws -> [UInt8]? {
    try readWhole("'\(key)' in the item's memory") { table.pointee.get(host, key, $0, $1, $2) }
  }

  /// Puts bytes under a key: 1 to 64 of a-z 0-9 . _ -, not starting with a dot. At most 1 MiB.
  public func put(_ key: String, bytes: [UInt8]) throws {
    let status = bytes.withUnsafeBytes { table.pointee.put(host, key, $0.baseAddress, UInt64($0.count)) }
    guard status == 0 else { throw FerryError(ErrorClass(status: status), "cannot write '\(key)' into the item's memory") }
  }

  /// The value under a key, or nil.
  public func get<Value: Decodable>(_ key: String, as type: Value.Type = Value.self) throws -> Value? {
    try bytes(key).map { try JSONValue.decode(type, from: $0) }
  }

  /// Puts a value under a key.
  public func put(_ key: String, _ value: some Encodable) throws { try put(key, bytes: JSONValue.encode(value)) }

  /// Removes a key; no error if there is none.
  public func remove(_ key: String) throws {
    let status = table.pointee.remove(host, key)
    guard status == 0 else { throw FerryError(ErrorClass(status: status), "cannot remove '\(key)' from the item's memory") }
  }
}
