import FerryPluginKit

/// Undoing: every act is tried, whatever became of the others, and what failed is told at the end.
struct Compensation {
  private var acts: [(what: String, act: () throws -> Void)] = []

  mutating func add(_ what: String, _ act: @escaping () throws -> Void) { acts.append((what, act)) }

  func run(_ log: (String) -> Void) throws {
    var failures: [(String, FerryError)] = []
    for (what, act) in acts {
      do { try act() } catch {
        let failure = FerryError.wrap(error)
        failures.append((what, failure))
        log("could not \(what): \(failure.description)")
      }
    }
    guard let first = failures.first else { return }
    throw FerryError(
      first.1.class, failures.map { "could not \($0.0): \($0.1.message)" }.joined(separator: "; "),
      hint: first.1.hint.isEmpty ? "what failed is tried again by `ferry rollback`" : first.1.hint)
  }
}
