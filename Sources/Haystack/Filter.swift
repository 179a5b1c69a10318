import FerrySystem

/// A filter of Project Haystack: parsed once, then evaluated on packed records where they lie.
public struct Filter: Sendable {
  /// The text that it was read from.
  public let text: String
  let root: Node

  indirect enum Node: Sendable {
    case has(Path)
    case missing(Path)
    case compare(Path, Comparison, Literal)
    case and(Node, Node)
    case or(Node, Node)
  }

  /// Names with `->` between them.
  struct Path: Sendable, Hashable {
    var names: [[UInt8]]
    /// Whether another record decides.
    var leadsElsewhere: Bool { names.count > 1 }
  }

  enum Comparison: Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }

  /// A value to compare with, packed.
  struct Literal: Sendable {
    var packed: [UInt8]
  }

  /// Reads a filter; an error names line and column.
  public init(_ text: some StringProtocol) throws {
    self.text = String(text)
    var parser = FilterParser(TextReader("filter", text: text))
    root = try parser.whole()
  }

  /// Whether a record's match may change through an edit of another record.
  public var followsRefs: Bool { root.paths.contains { $0.leadsElsewhere } }

  /// Tags of which a matching record has at least one: what an index can be asked for. Empty: any record may match.
  public var requiredTags: [[String]] { root.required.map { $0.map { String(decoding: $0, as: UTF8.self) }.sorted() } }

  /// The id of the one record that can match, if the filter says so.
  public var onlyID: String? { root.onlyID }

  /// The same filter with other references in its comparisons.
  public func mappingRefs(_ map: (String) -> String) -> Filter { Filter(text: text, root: root.mappingRefs(map)) }

  private init(text: String, root: Node) { (self.text, self.root) = (text, root) }

  /// Whether a record matches. `finder` is asked for the records that paths lead to, and for no others.
  public func matches(_ record: PackedDict, finder: some RecordFinder = NoRecords()) -> Bool {
    record.bytes.withUnsafeBytes { root.matches($0, finder) }
  }

  /// The same for a record where it lies.
  public func matches(_ record: UnsafeRawBufferPointer, finder: some RecordFinder) -> Bool { root.matches(record, finder) }
}

/// Where the records of references are found.
public protocol RecordFinder {
  /// Asks `found` about the tags of the record with this id; false if there is none.
  func find(_ id: UnsafeRawBufferPointer, _ found: (UnsafeRawBufferPointer) -> Bool) -> Bool
}

/// No records: paths that lead to others end.
public struct NoRecords: RecordFinder {
  /// Nothing to find in.
  public init() {}
  /// There is none.
  public func find(_ id: UnsafeRawBufferPointer, _ found: (UnsafeRawBufferPointer) -> Bool) -> Bool { false }
}

extension Filter.Node {
  fileprivate func mappingRefs(_ map: (String) -> String) -> Filter.Node {
    switch self {
    case .and(let left, let right): return .and(left.mappingRefs(map), right.mappingRefs(map))
    case .or(let left, let right): return .or(left.mappingRefs(map), right.mappingRefs(map))
    case .compare(let path, let comparison, let literal):
      guard case .ref(let ref)? = Packed(bytes: literal.packed).tree else { return self }
      return .compare(path, comparison, Filter.Literal(packed: Packed(.ref(HRef(map(ref.id)))).bytes))
    case .has, .missing: return self
    }
  }

  var paths: [Filter.Path] {
    switch self {
    case .has(let path), .missing(let path), .compare(let path, _, _): [path]
    case .and(let left, let right), .or(let left, let right): left.paths + right.paths
    }
  }

  /// A list of alternatives for each condition: of each list a match has one tag.
  fileprivate var required: [Set<[UInt8]>] {
    switch self {
    case .has(let path), .compare(let path, _, _): path.names.first.map { [[$0]] } ?? []
    case .missing: []
    case .and(let left, let right): left.required + right.required
    case .or(let left, let right):
      if let left = left.required.min(by: { $0.count < $1.count }), let right = right.required.min(by: { $0.count < $1.count }) {
        [left.union(right)]
      } else {
        []
      }
    }
  }

  fileprivate var onlyID: String? {
    switch self {
    case .compare(let path, .equal, let literal) where path.names == [Array("id".utf8)]:
      if case .ref(let ref) = Packed(bytes: literal.packed).tree { ref.id } else { nil }
    case .and(let left, let right): left.onlyID ?? right.onlyID
    default: nil
    }
  }

  func matches(_ record: UnsafeRawBufferPointer, _ finder: some RecordFinder) -> Bool {
    switch self {
    case .and(let left, let right): left.matches(record, finder) && right.matches(record, finder)
    case .or(let left, let right): left.matches(record, finder) || right.matches(record, finder)
    case .has(let path): path.reaches(in: record, finder, nil)
    case .missing(let path): !path.reaches(in: record, finder, nil)
    case .compare(let path, let comparison, let literal): path.reaches(in: record, finder, (comparison, literal))
    }
  }
}

extension Filter.Path {
  /// Whether any value at the path's end satisfies. References are followed, lists of references to any of them, dicts are entered.
  func reaches(
    in record: UnsafeRawBufferPointer, from index: Int = 0, _ finder: some RecordFinder, _ condition: (Filter.Comparison, Filter.Literal)?
  ) -> Bool {
    var cursor = PackedCursor(record)
    guard let value = cursor.find(names[index]) else { return false }
    if index == names.count - 1 { return condition.map { $0.0.holds(value, $0.1) } ?? true }
    return follow(value, from: index + 1, finder, condition)
  }

  private func follow(
    _ value: PackedValue, from index: Int, _ finder: some RecordFinder, _ condition: (Filter.Comparison, Filter.Literal)?
  ) -> Bool {
    switch value.kind {
    case Packed.Kind.ref:
      guard let id = value.text else { return false }
      return finder.find(id) { reaches(in: $0, from: index, finder, condition) }
    case Packed.Kind.list:
      guard var content = value.content else { return false }
      while let element = content.value() {
        if element.kind == Packed.Kind.ref, follow(element, from: index, finder, condition) { return true }
      }
      return false
    case Packed.Kind.dict:
      guard let content = value.content else { return false }
      return reaches(in: content.bytes, from: index, finder, condition)
    default: return false
    }
  }
}

extension Filter.Comparison {
  /// `==` needs type and unit to be the same, `!=` is its contrary where there is a value, and an order needs both to be of one type and unit.
  func holds(_ value: PackedValue, _ literal: Filter.Literal) -> Bool {
    literal.packed.withUnsafeBytes { bytes in
      var cursor = PackedCursor(bytes)
      guard let other = cursor.value() else { return false }
      switch self {
      case .equal: return Self.equal(value, other)
      case .notEqual: return !Self.equal(value, other)
      case .less: return Self.order(value, other).map { $0 < 0 } ?? false
      case .lessOrEqual: return Self.order(value, other).map { $0 <= 0 } ?? false
      case .greater: return Self.order(value, other).map { $0 > 0 } ?? false
      case .greaterOrEqual: return Self.order(value, other).map { $0 >= 0 } ?? false
      }
    }
  }

  private static func equal(_ left: PackedValue, _ right: PackedValue) -> Bool {
    if let left = left.number, let right = right.number { return left.value == right.value && left.unit.equals(right.unit) }
    if let left = left.nanoseconds, let right = right.nanoseconds { return left == right }
    return left.whole.equals(right.whole)
  }

  private static func order(_ left: PackedValue, _ right: PackedValue) -> Int? {
    if let left = left.number, let right = right.number {
      guard left.unit.equals(right.unit), !left.value.isNaN, !right.value.isNaN else { return nil }
      return left.value < right.value ? -1 : left.value > right.value ? 1 : 0
    }
    if left.isTruth, right.isTruth { return Int(left.kind) - Int(right.kind) }
    guard left.kind == right.kind else { return nil }
    switch left.kind {
    case Packed.Kind.string...Packed.Kind.symbol:
      guard let left = left.text, let right = right.text else { return nil }
      return left.order(to: right)
    case Packed.Kind.date: return left.compare(right, as: UInt32.self)
    case Packed.Kind.time, Packed.Kind.dateTime: return left.compare(right, as: Int64.self)
    default: return nil
    }
  }
}

extension PackedValue {
  fileprivate var isTruth: Bool { kind == Packed.Kind.no || kind == Packed.Kind.yes }

  fileprivate func compare<Number: FixedWidthInteger>(_ other: PackedValue, as type: Number.Type) -> Int? {
    var (left, right) = (PackedCursor(payload), PackedCursor(other.payload))
    guard let left = left.fixed(type), let right = right.fixed(type) else { return nil }
    return left < right ? -1 : left > right ? 1 : 0
  }
}
