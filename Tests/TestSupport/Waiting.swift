import FerrySystem
import Glibc

/// Waits until a condition holds. The bound is generous: it ends a broken test, it proves nothing.
public func waitFor(_ what: String, seconds: Int = 120, _ condition: () throws -> Bool) throws {
  let deadline = ContinuousClock.now + .seconds(seconds)
  while try !condition() {
    guard ContinuousClock.now < deadline else { throw FerryError(.internal, "waited \(seconds) s for nothing: \(what)") }
    usleep(5000)
  }
}
