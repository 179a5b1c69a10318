import FerrySystem

/// What is mounted where, for one process.
package struct MountTable {
  /// Where a path is in its file system.
  struct Place {
    var device: [UInt8]
    var path: [UInt8]
    /// It is on an overlay over the folder that the table was asked for.
    var isOver: Bool
  }

  private struct Mount {
    var point: [UInt8]
    var device: [UInt8]
    var root: [UInt8]
    var isOver: Bool
  }
  private var mounts: [Mount] = []
  /// The devices of overlays that write to the folder, as `stat` has them.
  package private(set) var overlays: Set<UInt64> = []

  /// A process's table: `/proc/PID/mountinfo`. `upper` is a folder that may be an overlay's own.
  package init(_ path: String, upper: [UInt8]) throws {
    for line in try Files.read(path).split(separator: 0x0a) {
      // id parent device root point options tags… - type source options
      let fields = line.split(separator: 0x20)
      guard fields.count > 4 else { continue }
      let isOver = Self.upper(fields).map { Self.isSame($0, upper) } ?? false
      if isOver, let device = Self.number(fields[2]) { overlays.insert(device) }
      mounts.append(
        Mount(point: TreeLocation.unescaped(fields[4]), device: Array(fields[2]), root: TreeLocation.unescaped(fields[3]), isOver: isOver))
    }
  }

  /// Of an overlay: the folder that takes what is written, as whoever mounted it named it.
  private static func upper(_ fields: [ArraySlice<UInt8>]) -> [UInt8]? {
    guard let end = fields.dropFirst(5).firstIndex(of: [0x2d]), fields.count > end + 2, fields[end + 1].elementsEqual("overlay".utf8) else {
      return nil
    }
    let name = Array("upperdir=".utf8)
    return fields[fields.count - 1].split(separator: 0x2c).first { $0.starts(with: name) }.map {
      TreeLocation.unescaped($0.dropFirst(name.count))
    }
  }

  /// An engine that has many layers names them relative to its own folder, so the last two names, of which one is an id, have to do.
  private static func isSame(_ named: [UInt8], _ path: [UInt8]) -> Bool {
    named.split(separator: 0x2f).suffix(2) == path.split(separator: 0x2f).suffix(2)
  }

  private static func number(_ text: ArraySlice<UInt8>) -> UInt64? {
    let parts = text.split(separator: 0x3a).compactMap { UInt64(String(decoding: $0, as: UTF8.self)) }
    guard parts.count == 2 else { return nil }
    let (major, minor) = (parts[0], parts[1])
    return (major & 0xfff) << 8 | (minor & 0xff) | (minor & ~0xff) << 12 | (major & ~0xfff) << 32
  }

  func place(_ path: [UInt8]) -> Place? {
    var best: (length: Int, place: Place)?
    for mount in mounts {
      guard let below = TreeLocation.relative(path, to: mount.point), mount.point.count >= best?.length ?? 0 else { continue }
      let root = mount.root == [0x2f] ? [] : mount.root
      let there = below.isEmpty ? mount.root : root + [0x2f] + below
      best = (mount.point.count, Place(device: mount.device, path: there, isOver: mount.isOver))
    }
    return best?.place
  }
}
