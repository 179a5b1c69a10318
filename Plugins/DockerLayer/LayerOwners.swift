import FerryEngineKit

/// Owners of a layer and the marks in it, as they are on a disk. In a stream they are what they are in a layer of root's own engine.
struct LayerOwners: OwnerMapping, Codable, Hashable {
  /// How an overlay marks a folder that was made anew.
  enum Marks: String, Codable {
    case trusted
    /// An overlay of a user namespace may not write `trusted` attributes.
    case user
    /// They do not count.
    case none
  }

  /// Of a rootless engine.
  var ids: IDMap?
  var marks = Marks.trusted

  /// Numbers as they are, without marks.
  static let unmarked = LayerOwners(marks: .none)

  func inStream(user: UInt32) -> UInt32? { ids == nil ? user : ids?.inStream(user: user) }
  func onDisk(user: UInt32) -> UInt32? { ids == nil ? user : ids?.onDisk(user: user) }
  func inStream(group: UInt32) -> UInt32? { ids == nil ? group : ids?.inStream(group: group) }
  func onDisk(group: UInt32) -> UInt32? { ids == nil ? group : ids?.onDisk(group: group) }

  private static let trusted = Array("trusted.overlay.".utf8)
  private static let user = Array("user.overlay.".utf8)
  /// Stands before what a program in a container called as overlays call their own.
  private static let escape = Array("overlay.".utf8)

  func inStream(attribute name: [UInt8]) -> [UInt8]? {
    if marks == .none { return name.starts(with: Self.trusted) ? nil : name }
    guard marks == .user, name.starts(with: Self.user) else { return name }
    let rest = name.dropFirst(Self.user.count)
    return rest.starts(with: Self.escape) ? Self.user + rest.dropFirst(Self.escape.count) : Self.trusted + rest
  }

  func onDisk(attribute name: [UInt8]) -> [UInt8] {
    guard marks == .user else { return name }
    if name.starts(with: Self.trusted) { return Self.user + name.dropFirst(Self.trusted.count) }
    return name.starts(with: Self.user) ? Self.user + Self.escape + name.dropFirst(Self.user.count) : name
  }
}
