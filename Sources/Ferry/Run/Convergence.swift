/// Decides, for the whole run, whether another hot pass would shrink the outage. Pure: what was measured goes in, the decision comes out.
struct Convergence: Sendable {
  /// What one hot pass of all items has shown.
  struct Pass: Sendable {
    /// Seconds that each item's pass took, and that its refreshed digest took.
    var transfer: [Double]
    var digest: [Double]
    /// Content bytes that had changed since the pass before.
    var bytes: Int64
  }

  enum Decision: Sendable, Hashable {
    case again
    case enough(Reason)
  }
  enum Reason: String, Sendable {
    case fits = "the predicted outage fits the budget"
    case small = "the last delta was 1 MiB or less"
    case passes = "the largest number of passes is reached"
    case grew = "the delta grew by more than 10 %"
  }

  static let smallDelta: Int64 = 1 << 20

  var budget: Double?
  var maxPasses: Int
  var parallel: Int
  /// Seconds that stopping and starting the services took in an earlier run of this manifest; 0 if there was none.
  var stopAndStart: Double
  private(set) var passes: [Pass] = []

  init(budget: Double?, maxPasses: Int, parallel: Int, stopAndStart: Double) {
    self.budget = budget
    self.maxPasses = maxPasses
    self.parallel = parallel
    self.stopAndStart = stopAndStart
  }

  mutating func add(_ pass: Pass) { passes.append(pass) }

  /// Seconds: stop, a final pass like the last one, digests like the last ones, start. The first pass is no measure of a delta: until
  /// there is a second, its time stands as the upper bound.
  var predictedOutage: Double {
    guard let last = passes.last else { return stopAndStart }
    return stopAndStart + schedule(last.transfer) + schedule(last.digest)
  }

  /// All items pass again while that shrinks the outage, so that a small one does not go stale beside a large one.
  var decision: Decision {
    guard let last = passes.last else { return .again }
    if let budget, passes.count > 1, predictedOutage <= budget { return .enough(.fits) }
    if passes.count >= maxPasses { return .enough(.passes) }
    guard passes.count > 1 else { return .again }
    if last.bytes <= Self.smallDelta { return .enough(.small) }
    let before = passes[passes.count - 2].bytes
    if passes.count > 2, Double(last.bytes) > Double(before) * 1.1 { return .enough(.grew) }
    return .again
  }

  /// How long work takes on `parallel` workers, longest first.
  func schedule(_ work: [Double]) -> Double {
    var workers = [Double](repeating: 0, count: max(1, min(parallel, work.count)))
    for seconds in work.sorted(by: >) {
      let index = workers.indices.min { workers[$0] < workers[$1] } ?? 0
      workers[index] += seconds
    }
    return workers.max() ?? 0
  }
}
