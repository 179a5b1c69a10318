import Testing

/// All suites of this module share one tidb-contract, so they run one after another.
@Suite(.serialized) struct Tidb {}
