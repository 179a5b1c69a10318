import Glibc

/// The canonical form of a tree: what of it counts. Both ends of a transfer agree on one, so that what cannot be carried is left out
/// at both alike. Never part of it: access and change times, sizes of folders, holes.
public struct TreeForm: Sendable, Codable, Hashable {
  /// Which extended attributes count.
  public enum Attributes: String, Sendable, Codable {
    case none
    /// Those that overlays write: marks of layers.
    case layers
    /// Those in the name space `user`.
    case user
    /// All but those that the system computes.
    case all
  }

  /// Numeric owners and groups.
  public var owners: Bool
  /// Device files.
  public var devices: Bool
  /// POSIX ACLs.
  public var accessControl: Bool
  /// Extended attributes.
  public var attributes: Attributes
  /// Sockets: nothing but names.
  public var sockets: Bool
  /// That links, fifos, sockets and devices with several names are one; of files it always counts.
  public var sharedSpecials: Bool
  /// Fractions of seconds.
  public var fractions: Bool

  /// A form; everything unless told.
  public init(
    owners: Bool = true, devices: Bool = true, accessControl: Bool = true, attributes: Attributes = .all, sockets: Bool = true,
    sharedSpecials: Bool = true, fractions: Bool = true
  ) {
    self.owners = owners
    self.devices = devices
    self.accessControl = accessControl
    self.attributes = attributes
    self.sockets = sockets
    self.sharedSpecials = sharedSpecials
    self.fractions = fractions
  }

  /// A form that was written down; what an older Ferry did not know of counts.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      owners: try values.decode(Bool.self, forKey: .owners), devices: try values.decode(Bool.self, forKey: .devices),
      accessControl: try values.decode(Bool.self, forKey: .accessControl),
      attributes: try values.decode(Attributes.self, forKey: .attributes),
      sockets: try values.decodeIfPresent(Bool.self, forKey: .sockets) ?? true,
      sharedSpecials: try values.decodeIfPresent(Bool.self, forKey: .sharedSpecials) ?? true,
      fractions: try values.decodeIfPresent(Bool.self, forKey: .fractions) ?? true)
  }

  /// Everything that this process may write.
  public static var own: TreeForm {
    geteuid() == 0 ? TreeForm() : TreeForm(owners: false, devices: false, attributes: .user)
  }

  /// What both forms have.
  public func common(with other: TreeForm) -> TreeForm {
    let rank: [Attributes] = [.none, .layers, .user, .all]
    let least = rank.first { $0 == attributes || $0 == other.attributes } ?? .none
    return TreeForm(
      owners: owners && other.owners, devices: devices && other.devices, accessControl: accessControl && other.accessControl,
      attributes: least, sockets: sockets && other.sockets, sharedSpecials: sharedSpecials && other.sharedSpecials,
      fractions: fractions && other.fractions)
  }

  /// In words, what of a tree it leaves out for want of rights or of the file system's abilities.
  public var losses: [String] {
    var lost: [String] = []
    if !owners { lost.append("owners") }
    if !devices { lost.append("device files") }
    if !accessControl { lost.append("ACLs") }
    if attributes != .all {
      lost.append(attributes == .user ? "extended attributes outside the name space 'user'" : "extended attributes")
    }
    if !fractions { lost.append("fractions of seconds") }
    return lost
  }

  package func holds(_ attribute: [UInt8]) -> Bool {
    let name = String(decoding: attribute, as: UTF8.self)
    if name.hasPrefix("system.") { return accessControl && ExtendedAttributes.accessControl.contains(name) }
    switch attributes {
    case .none: return false
    case .layers: return name.hasPrefix("trusted.overlay.") && !Self.ofOneSystem.contains(name)
    case .user: return name.hasPrefix("user.")
    case .all: return !Self.ofOneSystem.contains(name)
    }
  }

  /// A label is the policy's of the system that a file lies on, an overlay notes for itself what it was mounted over, and XFS shows ACLs once more
  /// as it keeps them.
  private static let ofOneSystem = Set(
    ["security.selinux", "trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"]
      + ["impure", "nlink", "origin", "upper", "uuid"].map { "trusted.overlay.\($0)" })

  package func holds(_ entry: TreeEntry) -> Bool {
    (devices || !entry.kind.isDevice) && (sockets || entry.kind != .socket)
  }

  /// Whether an entry's other names count.
  package func joins(_ entry: TreeEntry) -> Bool { entry.isShared && (sharedSpecials || entry.kind == .file) }

  /// Tells forms apart in what is remembered.
  var stamp: UInt8 {
    let attributes: [Attributes: UInt8] = [.none: 0, .user: 8, .all: 16, .layers: 24]
    return (owners ? 1 : 0) | (devices ? 2 : 0) | (accessControl ? 4 : 0) | (attributes[self.attributes] ?? 0)
      | (sockets ? 32 : 0) | (sharedSpecials ? 64 : 0) | (fractions ? 128 : 0)
  }
}
