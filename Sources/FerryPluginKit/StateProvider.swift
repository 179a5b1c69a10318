/// One kind of state and both ends of moving it: `transfer` is transfer-state at the source, `receive` is receive-state at the
/// destination. The names and rules are those of `ferry_provider` in `include/ferry/plugin.h`; `docs/abi.md` tells the story.
///
/// An instance serves one item at one end of one run. Calls come one at a time on one thread, except `cancel`. A thrown `FerryError`
/// becomes the call's error with its class, message and hint; any other error is reported as a bug.
///
/// `thaw`, `deactivate`, `discard`, `release` and `retire` must work in a fresh process with nothing but `context.kv`, twice, and
/// without the call that they undo: that is how a resumed run cleans up.
public protocol StateProvider: AnyObject {
  /// What a manifest writes under `provider`: a-z, 0-9 and -, a letter first.
  static var id: String { get }
  /// One line for people.
  static var summary: String { get }
  /// JSON Schema, as text, of the item's keys: the properties `from`, `to` and the provider's own.
  static var schema: String { get }

  /// Makes an instance. It must not touch the state yet.
  init(_ context: ProviderContext) throws

  /// Both ends, read only: will it work, how large is it, what should a person know.
  func check() throws -> CheckReport
  /// Source: the same, told what the destination's `check` found as its `abilities`.
  func check(against abilities: JSONValue) throws -> CheckReport
  /// Destination: creates what receives, idempotently, and says what the source needs to know.
  func prepare() throws -> Offer
  /// Source: starts trackers and holds for what the destination offered.
  func prepare(for offer: Offer) throws
  /// Source: transfer-state, one pass into the channels.
  func transfer(_ pass: Pass) throws -> PassReport
  /// Destination: receive-state, the other half of the same pass. What was received is on disk when the final pass returns.
  func receive(_ pass: Pass) throws -> PassReport
  /// Source: from now until `thaw` the state does not change by the provider's own doing.
  func freeze() throws
  /// Source: undoes `freeze`.
  func thaw() throws
  /// Both ends: what the state is, in a form that both ends compute alike.
  func digest(_ request: DigestRequest) throws -> DigestReport
  /// Destination: gives what was received its real name. Idempotent.
  func activate() throws
  /// Destination: undoes `activate`; what was there before is back.
  func deactivate() throws
  /// Both ends: undoes `prepare`, and at the destination removes what was received.
  func discard() throws
  /// Both ends, after success: lets go of trackers, staged files and what `activate` replaced.
  func release() throws
  /// Source, `move` only: removes the state.
  func retire() throws

  /// Called from any thread, after `context.cancellation` was cancelled; must not wait. Only for work that neither runs commands
  /// through the context nor looks at `context.cancellation`.
  func cancel()
}

extension StateProvider {
  /// The destination makes no difference.
  public func check(against abilities: JSONValue) throws -> CheckReport { try check() }
  /// Nothing to track or hold.
  public func prepare(for offer: Offer) throws {}
  /// Nothing that changes the state by itself.
  public func freeze() throws {}
  /// Nothing was frozen.
  public func thaw() throws {}
  /// `context.cancellation` does it.
  public func cancel() {}
  /// This provider only copies.
  public func retire() throws {
    throw FerryError(
      .unsupported, "provider '\(Self.id)' cannot remove the state at the source", hint: "use 'mode: copy', or remove it yourself")
  }
}
