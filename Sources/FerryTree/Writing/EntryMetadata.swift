import CLinux
import FerrySystem
import Glibc

/// What an entry has beside its name and content.
public struct EntryMetadata: Sendable {
  /// Permissions with setuid, setgid and sticky.
  public var mode: UInt32
  /// Numeric owner.
  public var owner: UInt32
  /// Numeric group.
  public var group: UInt32
  /// Last change of content.
  public var modified: FileTime
  /// Extended attributes; POSIX ACLs are two of them.
  public var attributes: [(name: [UInt8], value: [UInt8])]

  /// Metadata.
  public init(mode: UInt32, owner: UInt32, group: UInt32, modified: FileTime, attributes: [(name: [UInt8], value: [UInt8])] = []) {
    self.mode = mode
    self.owner = owner
    self.group = group
    self.modified = modified
    self.attributes = attributes
  }

  /// Sets it on an open entry, as far as the form has it. The order matters: a change of owner takes setuid and capabilities away, a mode
  /// changes an ACL, attributes need a file that may still be written, and the time comes last. What a folder with a default ACL gave a
  /// new entry is taken away.
  func apply(to descriptor: Descriptor, _ kind: EntryKind, _ form: TreeForm, _ owners: (any OwnerMapping)?) throws {
    let number = descriptor.number
    // Leads to the entry itself, even to a link.
    let path = "/proc/self/fd/\(number)"
    func must(_ what: String, _ failed: Int32) throws { if failed != 0 { throw FerryError(errno: errno, "cannot set \(what)") } }
    func mustNot(_ what: String, _ failed: Int32) throws { if failed < 0 { throw FerryError(errno: -failed, "cannot set \(what)") } }
    func set(_ attribute: (name: [UInt8], value: [UInt8])) throws {
      let failed = withCString(attribute.name) { name in
        attribute.value.withUnsafeBytes { clinux_setxattr_through(path, name, $0.baseAddress, UInt64($0.count)) }
      }
      try mustNot("the attribute \(TreePath.escaped(attribute.name))", failed)
    }
    if form.owners {
      guard let user = owners == nil ? owner : owners?.onDisk(user: owner), let group = owners == nil ? group : owners?.onDisk(group: group)
      else {
        throw FerryError(.unsupported, "the owner \(owner):\(group) is outside of the id map of this end")
      }
      // To the system the last number means: leave it.
      guard user < .max, group < .max else { throw FerryError(.invalid, "the owner \(user):\(group) is none", code: "refused-entry") }
      try must("the owner \(user):\(group)", fchownat(number, "", user, group, Int32(CLINUX_AT_EMPTY_PATH)))
    }
    let lists = ExtendedAttributes.accessControl.map { Array($0.utf8) }
    let wanted = try attributes.filter { form.holds($0.name) }.map { attribute in
      guard let map = owners else { return attribute }
      guard let value = AttributeOwners.onDisk(attribute.name, attribute.value, map) else {
        throw FerryError(.unsupported, "the attribute \(TreePath.escaped(attribute.name)) has owners outside of the id map of this end")
      }
      return (map.onDisk(attribute: attribute.name), value)
    }
    for attribute in wanted where !lists.contains(attribute.name) { try set(attribute) }
    if kind == .folder { try removeOthers(wanted, path, form, owners) }
    if kind != .link { try must("the mode \(String(mode, radix: 8))", chmod(path, mode & 0o7777)) }
    if form.accessControl, kind != .link {
      for list in lists {
        if let attribute = wanted.first(where: { $0.name == list }) {
          try set(attribute)
        } else if kind == .folder || list == lists[0] {
          let failed = withCString(list) { clinux_removexattr(path, $0, 1) }
          if failed != -ENODATA, failed != -ENOTSUP { try mustNot("the ACL", failed) }
        }
      }
    }
    let times = [timespec(tv_sec: 0, tv_nsec: Self.omit), timespec(tv_sec: Int(modified.seconds), tv_nsec: Int(modified.nanoseconds))]
    try must("the time", utimensat(AT_FDCWD, path, times, 0))
  }

  /// Those that a form has, as they are in a stream or an archive, of those on a disk.
  package static func inStream(
    _ attributes: [(name: [UInt8], value: [UInt8])], _ form: TreeForm, _ map: (any OwnerMapping)?
  ) throws -> [(name: [UInt8], value: [UInt8])] {
    guard let map else { return attributes.filter { form.holds($0.name) } }
    return try attributes.compactMap { attribute in
      guard let name = map.inStream(attribute: attribute.name), form.holds(name) else { return nil }
      guard let value = AttributeOwners.inStream(attribute.name, attribute.value, map) else {
        throw FerryError(.unsupported, "the attribute \(TreePath.escaped(attribute.name)) has owners outside of the id map of this end")
      }
      return (name, value)
    }.sorted { TreePath.precedes($0.name, $1.name) }
  }

  /// UTIME_OMIT: a time that is left as it is.
  private static let omit = (1 << 30) - 2

  /// Folders are kept where all else is made anew, so they may have what they should not.
  private func removeOthers(
    _ wanted: [(name: [UInt8], value: [UInt8])], _ path: String, _ form: TreeForm, _ owners: (any OwnerMapping)?
  ) throws {
    for name in try ExtendedAttributes.names(path) where !name.starts(with: Array("system.".utf8)) {
      guard let counted = owners == nil ? name : owners?.inStream(attribute: name), form.holds(counted) else { continue }
      guard !wanted.contains(where: { $0.name == name }) else { continue }
      let failed = withCString(name) { clinux_removexattr(path, $0, 1) }
      guard failed >= 0 || failed == -ENODATA else {
        throw FerryError(errno: -failed, "cannot remove the attribute \(TreePath.escaped(name))")
      }
    }
  }
}
