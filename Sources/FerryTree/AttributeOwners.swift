/// Ids of users and groups that stand inside of attributes: in ACLs, and in capabilities that a root of a user namespace gave.
enum AttributeOwners {
  /// A value as it is in a stream, of one as it is on the disk; nil if an id is outside of the map.
  static func inStream(_ name: [UInt8], _ value: [UInt8], _ map: any OwnerMapping) -> [UInt8]? {
    if ExtendedAttributes.isAccessControl(name) { return accessList(value, map.inStream(user:), map.inStream(group:)) }
    guard isCapability(name), value.count == ofNamespace, let root = map.inStream(user: word(value, at: ofMachine)) else { return value }
    // Of the namespace's own root: what a program in it has from it is what another has from the machine's.
    return revised(value, root == 0 ? nil : root)
  }

  /// A value as it is on the disk, of one as it is in a stream; nil if an id is outside of the map.
  static func onDisk(_ name: [UInt8], _ value: [UInt8], _ map: any OwnerMapping) -> [UInt8]? {
    if ExtendedAttributes.isAccessControl(name) { return accessList(value, map.onDisk(user:), map.onDisk(group:)) }
    guard isCapability(name), value.count == ofMachine || value.count == ofNamespace else { return value }
    guard let root = map.onDisk(user: value.count == ofNamespace ? word(value, at: ofMachine) : 0) else { return nil }
    return revised(value, root == 0 ? nil : root)
  }

  private static func accessList(_ value: [UInt8], _ user: (UInt32) -> UInt32?, _ group: (UInt32) -> UInt32?) -> [UInt8]? {
    guard value.count >= 4, (value.count - 4) % 8 == 0 else { return value }
    var entries: [(tag: UInt16, permissions: UInt16, id: UInt32)] = []
    for start in stride(from: 4, to: value.count, by: 8) {
      let tag = UInt16(truncatingIfNeeded: word(value, at: start))
      let id = word(value, at: start + 4)
      // A user, or a group; all others have no id.
      guard let mapped = tag == 2 ? user(id) : tag == 8 ? group(id) : id else { return nil }
      entries.append((tag, UInt16(truncatingIfNeeded: word(value, at: start) >> 16), mapped))
    }
    return ExtendedAttributes.accessList(entries)
  }

  // Capabilities: a word with the revision in its highest byte, two pairs of words, and from revision 3 on the root of the namespace.
  private static let ofMachine = 20
  private static let ofNamespace = 24
  private static func isCapability(_ name: [UInt8]) -> Bool { name == Array("security.capability".utf8) }

  private static func revised(_ value: [UInt8], _ root: UInt32?) -> [UInt8] {
    var changed = Array(value.prefix(ofMachine))
    changed[3] = root == nil ? 2 : 3
    return root.map { changed + bytes($0) } ?? changed
  }

  private static func word(_ value: [UInt8], at start: Int) -> UInt32 {
    value[start..<(start + 4)].reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }
  private static func bytes(_ word: UInt32) -> [UInt8] { withUnsafeBytes(of: word.littleEndian) { Array($0) } }
}
