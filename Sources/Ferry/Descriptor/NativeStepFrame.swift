import FerrySystem
import Glibc

/// The names of one ability while its steps run, and what has to be let go of when they end.
final class NativeStepFrame: @unchecked Sendable {
  private struct State {
    var names: [String: NativeValue] = [:]
    var failure: FerryError?
  }

  private let state: Lock<State>
  /// For a callback: the frame of the call that it interrupts.
  private let outer: NativeStepFrame?
  /// Gets each new sum of a counter.
  private let onCount: @Sendable (String, Int64) -> Void

  init(
    _ names: [String: NativeValue], outer: NativeStepFrame? = nil, onCount: @escaping @Sendable (String, Int64) -> Void = { _, _ in }
  ) {
    state = Lock(State(names: names))
    self.outer = outer
    self.onCount = onCount
  }

  /// The value of a name; nil if it has none.
  subscript(name: String) -> NativeValue? {
    get { state.withLock { $0.names[name] } ?? outer?[name] }
    set {
      if let outer, NativeStepChecker.counters.contains(name) {
        outer[name] = newValue
        return
      }
      state.withLock { $0.names[name] = newValue }
      if case .number(let sum) = newValue, NativeStepChecker.counters.contains(name) { onCount(name, sum) }
    }
  }

  /// The sum of a counter.
  func count(_ name: String) -> Int64? { if case .number(let value) = self[name] { value } else { nil } }

  /// What a callback has run into: the library does not know the words, so they wait until its function returns.
  func fail(_ error: FerryError) {
    if let outer { return outer.fail(error) }
    state.withLock { $0.failure = $0.failure ?? error }
  }

  /// The same, taken.
  func takeFailure() -> FerryError? {
    state.withLock { state in
      defer { state.failure = nil }
      return state.failure
    }
  }
}

/// What a library has given and takes back: the last first.
final class NativeDebts {
  private var owed: [(function: NativeFunction, address: UInt)] = []

  func add(_ function: NativeFunction, _ address: UInt) { if address != 0 { owed.append((function, address)) } }

  /// A step has let go of it itself.
  func settle(_ function: String, _ address: UInt) {
    if let index = owed.lastIndex(where: { $0.function.spec.name == function && $0.address == address }) { owed.remove(at: index) }
  }

  /// Lets go of all; the first that does not work is the answer.
  func settleAll() -> FerryError? {
    var failure: FerryError?
    while let last = owed.popLast() {
      let spec = last.function.spec
      let outcome = last.function.call([UInt64(last.address)])
      if failure == nil, !spec.isGood(outcome) {
        failure = FerryError(spec.class, "\(spec.name) failed: it returned \(spec.returns.value(outcome.raw).words)", hint: spec.hint)
      }
    }
    return failure
  }
}

extension PluginDescriptor.Function {
  /// Whether a call has worked.
  func isGood(_ outcome: NativeFunction.Outcome) -> Bool {
    let value = returns.value(outcome.raw)
    if case .number(let number) = value, ends.contains(number) { return true }
    switch (success, value) {
    case (.any, _): return true
    case (.errno, _): return outcome.errno == 0
    case (.nonnull, _): return outcome.raw != 0
    case (.zero, .number(let number)): return number == 0
    case (.nonzero, .number(let number)): return number != 0
    case (.nonnegative, .number(let number)): return number >= 0
    case (.positive, .number(let number)): return number > 0
    case (.nonnegative, .real(let number)): return number >= 0
    case (.positive, .real(let number)): return number > 0
    default: return false
    }
  }
}
