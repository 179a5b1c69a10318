import Ferry
import FerrySystem

/// One promise of docs/abi.md, and the work that finds out whether a provider keeps it.
public struct ConformanceCheck: Sendable {
  /// A rule by the anchor that it has in docs/abi.md.
  public enum Rule: String, Sendable, CaseIterable {
    case required, schema, offer, passes, room, channels, digest, undo, checkpoints, cancel, flags

    /// Where to read it.
    public var address: String { "docs/abi.md#\(rawValue)" }
  }

  /// What came of a check.
  public struct Outcome: Sendable, Codable, Equatable {
    /// What is wrong; empty if nothing is.
    public var complaints: [String] = []
    /// Why it could not be run, if it could not.
    public var notRun: String?
  }

  /// The sentence that it proves.
  public let name: String
  /// What a provider that fails it breaks.
  public let rule: Rule
  private let body: @Sendable (any ConformanceSubject, Verdict) throws -> Void

  init(_ name: String, _ rule: Rule, _ body: @escaping @Sendable (any ConformanceSubject, Verdict) throws -> Void) {
    self.name = name
    self.rule = rule
    self.body = body
  }

  /// All of them, in the order of a run.
  public static let all: [ConformanceCheck] = forward + undoing + checkpoints + broken + room + atRest

  /// Tries a provider in this regard, on a state of its own.
  public func run(_ make: () throws -> any ConformanceSubject) -> Outcome {
    let verdict = Verdict()
    do {
      let subject = try make()
      defer { subject.end() }
      try body(subject, verdict)
    } catch { verdict.fails("it ended with an error: \(FerryError.wrap(error))") }
    return verdict.outcome
  }
}

/// Gathers what is wrong.
final class Verdict: Sendable {
  private let said = Lock(ConformanceCheck.Outcome())

  var outcome: ConformanceCheck.Outcome { said.withLock { $0 } }

  func fails(_ words: String) { said.withLock { $0.complaints.append(words) } }

  func notRun(_ why: String) { said.withLock { $0.notRun = why } }

  func expect(_ isRight: Bool, _ words: @autoclosure () -> String) { if !isRight { fails(words()) } }

  func equal<Value: Equatable>(_ one: Value, _ other: Value, _ words: @autoclosure () -> String) {
    if one != other { fails("\(words()): \(String(describing: one).prefix(300)) is not \(String(describing: other).prefix(300))") }
  }

  /// The error of work that must not succeed.
  @discardableResult func refused(_ words: String, _ work: () throws -> Void) -> FerryError? {
    do { try work() } catch { return FerryError.wrap(error) }
    fails("\(words) was a success")
    return nil
  }
}
