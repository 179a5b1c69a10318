/// The hash of each member of a set by its row. In pieces: one array of ten million would be there twice while it grows.
struct MemberHashes {
  private static let size = 1 << 16
  private var pieces: [[RecordHash]] = []

  /// A member's hash, or nil.
  subscript(rid: Int64) -> RecordHash? {
    get {
      guard rid >= 0, Int(rid) / Self.size < pieces.count else { return nil }
      let hash = pieces[Int(rid) / Self.size][Int(rid) % Self.size]
      return hash == .none ? nil : hash
    }
    set {
      let (piece, place) = (Int(rid) / Self.size, Int(rid) % Self.size)
      if piece >= pieces.count {
        guard newValue != nil else { return }
        // Numbers that were never given out take the room of one empty piece.
        let empty = Array(repeating: RecordHash.none, count: Self.size)
        while piece >= pieces.count { pieces.append(empty) }
      }
      pieces[piece][place] = newValue ?? .none
    }
  }

  /// All members, by row.
  var all: some Sequence<(rid: Int64, hash: RecordHash)> {
    pieces.enumerated().lazy.flatMap { index, piece in
      piece.enumerated().lazy.filter { $0.element != .none }.map { (Int64(index * Self.size + $0.offset), $0.element) }
    }
  }
}
