import Ferry
import FerrySystem

/// One promise of docs/abi.md, and the work that finds out whether a provider keeps it.
public struct ConformanceCheck: Sendable {
  /// A rule by the words that it begins with in docs/abi.md.
  public enum Rule: String, Sendable, CaseIterable {
    case offer = "The offer."
    case passes = "Passes."
    case channels = "Channels"
    case digest = "Digest."
    case undo = "Undo."
    case cancel = "Cancel"
    case flags = "Flags"
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
  public static let all: [ConformanceCheck] = forward + undoing + broken

  /// What is wrong with a provider in this regard; empty if nothing is.
  public func run(_ make: () throws -> any ConformanceSubject) -> [String] {
    let verdict = Verdict()
    do { try body(make(), verdict) } catch { verdict.fails("it ended with an error: \(FerryError.wrap(error))") }
    return verdict.complaints
  }
}

/// Gathers what is wrong.
final class Verdict: Sendable {
  private let said = Lock<[String]>([])

  var complaints: [String] { said.withLock { $0 } }

  func fails(_ words: String) { said.withLock { $0.append(words) } }

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
