/// "Did you mean": the nearest of the words that would have been right.
enum Suggestion {
  /// The nearest word, if it is near enough to be a slip of the hand.
  static func nearest(to word: String, in candidates: [String]) -> String? {
    guard word.unicodeScalars.count <= 64 else { return nil }
    let allowed = max(1, word.unicodeScalars.count / 3)
    let ranked = candidates.map { (distance(word.lowercased(), $0.lowercased()), $0) }.filter { $0.0 <= allowed }
    return ranked.min { ($0.0, $0.1) < ($1.0, $1.1) }?.1
  }

  /// Edits between two words; two swapped neighbours are one edit.
  static func distance(_ left: String, _ right: String) -> Int {
    let left = Array(left.unicodeScalars)
    let right = Array(right.unicodeScalars)
    guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
    var rows = [Array(0...right.count)]
    for i in 1...left.count {
      var row = [i]
      for j in 1...right.count {
        let same = left[i - 1] == right[j - 1]
        var best = min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + (same ? 0 : 1))
        if i > 1, j > 1, left[i - 1] == right[j - 2], left[i - 2] == right[j - 1] { best = min(best, rows[i - 2][j - 2] + 1) }
        row.append(best)
      }
      rows.append(row)
    }
    return rows[left.count][right.count]
  }
}
