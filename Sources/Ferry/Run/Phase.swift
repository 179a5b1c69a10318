/// The columns of a run. The same words in C, Swift, YAML, the journal, logs and docs.
public enum Phase: String, Sendable, Codable, CaseIterable, Comparable {
  case check, prepare, copy, quiesce, final, verify, seal, activate, retire

  /// 1 for `check` to 9 for `retire`.
  public var number: Int { (Self.allCases.firstIndex(of: self) ?? 0) + 1 }

  /// In the order of a run.
  public static func < (left: Phase, right: Phase) -> Bool { left.number < right.number }
}

/// Which end of the migration.
public enum Side: String, Sendable, Codable, CaseIterable {
  case source, destination
}
