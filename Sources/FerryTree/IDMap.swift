import FerrySystem
import Glibc

/// Which ids on a disk stand for which ids in a user namespace: rootless engines store the files of a volume under ids of the user's own
/// subordinate range. Each end maps by its own ranges, so that a container's user 1000 is user 1000 at both, whatever lies on the disks.
public struct IDMap: Sendable, Codable, Hashable, OwnerMapping {
  /// Consecutive ids.
  public struct Span: Sendable, Codable, Hashable {
    /// The first one in the namespace.
    public var inside: UInt32
    /// The first one on the disk.
    public var outside: UInt32
    /// How many.
    public var count: UInt32

    /// A span.
    public init(inside: UInt32, outside: UInt32, count: UInt32) {
      self.inside = inside
      self.outside = outside
      self.count = count
    }

    /// Neither end runs over.
    fileprivate var isValid: Bool { count > 0 && count <= .max - inside && count <= .max - outside }
  }

  /// Of users.
  public let users: [Span]
  /// Of groups.
  public let groups: [Span]

  /// A map. Spans that overlap are refused: two owners would become one.
  public init(users: [Span], groups: [Span]) throws {
    for spans in [users, groups] {
      guard spans.allSatisfy(\.isValid) else { throw FerryError(.invalid, "an id map leads beyond the last id") }
      for side in [\Span.inside, \Span.outside] {
        let sorted = spans.sorted { $0[keyPath: side] < $1[keyPath: side] }
        for (low, high) in zip(sorted, sorted.dropFirst()) where high[keyPath: side] - low[keyPath: side] < low.count {
          throw FerryError(.invalid, "an id map has \(high[keyPath: side]) twice")
        }
      }
    }
    self.users = users
    self.groups = groups
  }

  /// The map of a running process, from its `uid_map` and `gid_map`.
  public init(process: Int32) throws {
    func spans(_ kind: String) throws -> [Span] {
      try Self.parse(String(decoding: Files.read("/proc/\(process)/\(kind)_map"), as: UTF8.self))
    }
    try self.init(users: spans("uid"), groups: spans("gid"))
  }

  /// The map that rootless engines make for a user: root is the user, and the others are the subordinate ids in the order of the files.
  public init(user: String, subordinateUsers: String = "/etc/subuid", subordinateGroups: String = "/etc/subgid") throws {
    let account = try Account(user)
    func spans(_ own: UInt32, _ path: String) throws -> [Span] {
      try Self.rootless(
        own: own,
        try Self.subordinates(
          of: account.name, account.user, in: Files.exists(path) ? String(decoding: Files.read(path), as: UTF8.self) : ""))
    }
    try self.init(users: spans(account.user, subordinateUsers), groups: spans(account.group, subordinateGroups))
  }

  /// `inside outside count` lines, as the kernel shows maps.
  static func parse(_ text: String) throws -> [Span] {
    try text.split(separator: "\n").map { line in
      let numbers = line.split(separator: " ").map { UInt32($0) }
      guard numbers.count == 3, let inside = numbers[0], let outside = numbers[1], let count = numbers[2] else {
        throw FerryError(.invalid, "'\(line)' is no line of an id map")
      }
      // The map of the first namespace has a count that reaches the id that is none.
      return Span(inside: inside, outside: outside, count: min(count, .max - max(inside, outside)))
    }
  }

  /// `name:start:count` lines of a user, who may be named by number.
  static func subordinates(of name: String, _ id: UInt32, in text: String) throws -> [(start: UInt32, count: UInt32)] {
    try text.split(separator: "\n").compactMap { line in
      let fields = line.split(separator: ":", omittingEmptySubsequences: false)
      guard let owner = fields.first, owner == name || owner == "\(id)" else { return nil }
      guard fields.count == 3, let start = UInt32(fields[1]), let count = UInt32(fields[2]) else {
        throw FerryError(.invalid, "'\(line)' is no line of subordinate ids")
      }
      return (start, count)
    }
  }

  private static func rootless(own: UInt32, _ subordinates: [(start: UInt32, count: UInt32)]) throws -> [Span] {
    var (spans, next) = ([Span(inside: 0, outside: own, count: 1)], UInt32(1))
    for (start, count) in subordinates where count > 0 {
      guard count < .max - next else { throw FerryError(.invalid, "there are more subordinate ids than ids") }
      spans.append(Span(inside: next, outside: start, count: count))
      next += count
    }
    return spans
  }

  private static func map(_ id: UInt32, _ spans: [Span], _ from: KeyPath<Span, UInt32>, _ to: KeyPath<Span, UInt32>) -> UInt32? {
    for span in spans where id >= span[keyPath: from] && id - span[keyPath: from] < span.count {
      return span[keyPath: to] + (id - span[keyPath: from])
    }
    return nil
  }

  /// The id in the namespace of one on the disk.
  public func inStream(user: UInt32) -> UInt32? { Self.map(user, users, \.outside, \.inside) }
  /// The id on the disk of one in the namespace.
  public func onDisk(user: UInt32) -> UInt32? { Self.map(user, users, \.inside, \.outside) }
  /// As for users.
  public func inStream(group: UInt32) -> UInt32? { Self.map(group, groups, \.outside, \.inside) }
  /// As for users.
  public func onDisk(group: UInt32) -> UInt32? { Self.map(group, groups, \.inside, \.outside) }
}
