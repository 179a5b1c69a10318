/// Rateless invertible Bloom lookup tables (Yang, Gilad, Alizadeh: Practical Rateless Set Reconciliation, 2024): a set as an endless row of
/// cells. Each key is in cell 0 and then in ever rarer ones; cell i holds a share of 1 / (1 + i / 2) of them. The difference of two such rows is the row of
/// the difference of the sets, and about 1.4 cells for each key in it are enough to read it, whatever the sets' sizes.
struct RatelessCell: Hashable {
  /// Keys, and their checks, by exclusive or.
  var keys: UInt64 = 0
  var checks: UInt32 = 0
  /// How many keys, of ours less theirs in a difference; modulo 256, for it is only to tell one key from none and from more, and what it takes for
  /// one by mistake has the wrong check.
  var count: Int8 = 0

  mutating func add(_ key: UInt64, _ count: Int8) {
    keys ^= key
    checks ^= RatelessTable.check(key)
    self.count &+= count
  }

  mutating func subtract(_ other: RatelessCell) {
    keys ^= other.keys
    checks ^= other.checks
    count &-= other.count
  }

  var isEmpty: Bool { keys == 0 && checks == 0 && count == 0 }
  /// Whether it holds one key: ours (1) or theirs (-1).
  var isPure: Bool { (count == 1 || count == -1) && RatelessTable.check(keys) == checks }

  /// How many bytes it has on the wire.
  static let size = 13

  init() {}

  init(_ reader: inout MessageReader) throws {
    (keys, checks, count) = (try reader.fixed(), try reader.fixed(), try reader.fixed())
  }

  func append(to writer: inout MessageWriter) {
    writer.fixed(keys)
    writer.fixed(checks)
    writer.fixed(count)
  }
}

enum RatelessTable {
  /// How many cells nearly always tell so many keys apart, where that number is an estimate that may be 30 % short: 1.45 for each, and some more
  /// for few.
  static func cells(forSome keys: Int) -> Int { Int(Double(min(keys, 1 << 40)) * 1.45 * 1.3) + 24 }

  /// What tells one key from a mixture of some. Half as long as a key: what still passes by chance is found out by the digest at the end.
  static func check(_ key: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: mix(key &+ 0x2545_f491_4f6c_dd1d)) }

  /// A word of which each bit hangs on every bit of another (the last step of splitmix64).
  static func mix(_ word: UInt64) -> UInt64 {
    let first = (word ^ (word >> 30)) &* 0xbf58_476d_1ce4_e5b9
    let second = (first ^ (first >> 27)) &* 0x94d0_49bb_1331_11eb
    return second ^ (second >> 31)
  }

  /// Walks the cells that hold a key.
  struct Walk {
    private var state: UInt64
    private(set) var cell: UInt64 = 0

    init(_ key: UInt64) { state = key }

    mutating func advance() {
      state = state &* 0xda94_2042_e4dd_58b5
      // The gap to the next cell, from the share of each: for large i, (i + 1.5) (1 / √u - 1).
      let gap = (Double(cell) + 1.5) * (4_294_967_296 / (Double(state) + 1).squareRoot() - 1)
      cell += UInt64(min(max(gap.rounded(.up), 1), 9e15))
    }
  }
}

/// The cells of a set, some at a time.
struct RatelessEncoder {
  private let keys: [UInt64]
  private var walks: [RatelessTable.Walk]
  private(set) var produced = 0

  init(_ keys: [UInt64]) {
    self.keys = keys
    walks = keys.map { RatelessTable.Walk($0) }
  }

  /// The next cells.
  mutating func next(_ count: Int) -> [RatelessCell] {
    var cells = [RatelessCell](repeating: RatelessCell(), count: count)
    let start = UInt64(produced)
    let end = start + UInt64(count)
    cells.withUnsafeMutableBufferPointer { cells in
      for index in keys.indices where walks[index].cell < end {
        let key = keys[index]
        var walk = walks[index]
        repeat {
          cells[Int(walk.cell - start)].add(key, 1)
          walk.advance()
        } while walk.cell < end
        walks[index] = walk
      }
    }
    produced += count
    return cells
  }
}

/// Reads the difference of two sets out of the differences of their cells.
struct RatelessDecoder {
  private var cells: [RatelessCell] = []
  /// Keys of ours only, and of theirs only.
  private(set) var ours: Set<UInt64> = []
  private(set) var theirs: Set<UInt64> = []
  private var found: [(key: UInt64, count: Int8, walk: RatelessTable.Walk)] = []

  /// Takes more cells: our own, and those of the other.
  mutating func add(_ mine: [RatelessCell], _ other: [RatelessCell]) {
    let start = cells.count
    for (mine, other) in zip(mine, other) {
      var cell = mine
      cell.subtract(other)
      cells.append(cell)
    }
    // What is known already is taken out of the new ones.
    for index in found.indices {
      while found[index].walk.cell < UInt64(cells.count) {
        let place = Int(found[index].walk.cell)
        if place >= start { cells[place].add(found[index].key, -found[index].count) }
        found[index].walk.advance()
      }
    }
    peel(from: start)
  }

  private mutating func peel(from start: Int) {
    var queue = (start..<cells.count).filter { cells[$0].isPure }
    while let place = queue.popLast() {
      let cell = cells[place]
      guard cell.isPure else { continue }
      let (key, count) = (cell.keys, cell.count)
      // A key that comes up twice is no key but chance, or a peer that lies: there is no end to that.
      guard count > 0 ? ours.insert(key).inserted : theirs.insert(key).inserted else { continue }
      var walk = RatelessTable.Walk(key)
      while walk.cell < UInt64(cells.count) {
        let place = Int(walk.cell)
        cells[place].add(key, -count)
        if cells[place].isPure { queue.append(place) }
        walk.advance()
      }
      found.append((key, count, walk))
    }
  }

  /// Whether all was read. Every key is in cell 0, so it is empty only then.
  var isComplete: Bool { cells.first?.isEmpty ?? false }
}
