/// Things that an instance keeps from call to call, by number, each with a cancellation of its own: the context's is new with each call.
///
/// A provider that keeps some calls `cancel` from its own `cancel`.
public final class Kept<Thing>: @unchecked Sendable {
  private let things = Lock<[Int: (thing: Thing, cancellation: Cancellation)]>([:])

  /// Nothing yet.
  public init() {}

  /// The thing of that number. One that there is not, or that was cancelled, is made.
  public func get(_ number: Int, make: (Cancellation) throws -> Thing) rethrows -> Thing {
    if let found = things.withLock({ $0[number] }), !found.cancellation.isCancelled { return found.thing }
    let cancellation = Cancellation()
    let thing = try make(cancellation)
    things.withLock { $0[number] = (thing, cancellation) }
    return thing
  }

  /// Cancels whatever they are at.
  public func cancel() { things.withLock { for kept in $0.values { kept.cancellation.cancel() } } }
}
