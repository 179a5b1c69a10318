/// One pass of `transfer` and `receive`: the two halves get the same number, flags and channels.
public struct Pass: Sendable {
  /// Counts from 0 over the whole run, resumed or not.
  public var number: Int
  /// Nothing was moved by this run before.
  public var isFirst: Bool
  /// Nobody writes: be strict, and leave the destination exactly equal.
  public var isFinal: Bool
  /// Connected stream sockets to the other end. They are the host's: do not close them; shutdown is fine. Blocking, and the end of one
  /// never means success: the ends compare their results.
  public var channels: [Int32]
  /// What the destination offered in `prepare`.
  public var offer: Offer?
  /// The state is followed for ever: stay for so long, and move what changes as it changes. The source's end decides when it is over.
  public var stay: Duration?
  /// Which manifest the run is of.
  public var manifest: ManifestIdentity?
  /// What is to be kept with what the final pass of a deferred run stores, if the state does not change meanwhile: see `DeferringProvider`.
  public var deposit: JSONValue?

  /// A pass.
  public init(
    number: Int, isFirst: Bool, isFinal: Bool, channels: [Int32], offer: Offer? = nil, stay: Duration? = nil,
    manifest: ManifestIdentity? = nil, deposit: JSONValue? = nil
  ) {
    self.deposit = deposit
    self.manifest = manifest
    self.number = number
    self.isFirst = isFirst
    self.isFinal = isFinal
    self.channels = channels
    self.offer = offer
    self.stay = stay
  }

  /// The first channel, for providers that need one.
  public var channel: Int32 {
    get throws {
      guard let first = channels.first else { throw FerryError(.internal, "the pass came without a channel") }
      return first
    }
  }
}
