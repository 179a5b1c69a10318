import Glibc
import FerrySystem

/// What one node durably knows about one run: the truth about who owns the state. Changed only under its lock and by compare-and-set.
public struct NodeRecord: Sendable, Codable, Hashable {
  /// Who serves, as this end knows it. A source goes serving → quiesced → sealed → retired; a destination inactive → activating → starting →
  /// active, or to renounced.
  public enum State: String, Sendable, Codable {
    /// Source: its services run, or may be started by anyone.
    case serving
    /// Source: held down until the deadline; then the watchdog brings it back.
    case quiesced
    /// Source: the run owns the state; nothing here serves by itself again.
    case sealed
    /// Source: its copy is removed, or being removed.
    case retired
    /// Destination: nothing received here is in use.
    case inactive
    /// Destination: what was received is getting its real names; nothing serves yet.
    case activating
    /// Destination: services are being started and may have accepted work: from here no automatic way leads back.
    case starting
    /// Destination: it serves.
    case active
    /// Destination: it has confirmed that it will not serve this run's state.
    case renounced
  }

  /// The run's full id.
  public var run: String
  /// Which end this node is; a node that is both has two records.
  public var side: Side
  /// The manifest's name and mode, for people who act without the journal.
  public var name: String
  /// The manifest's mode: it decides what becomes of the source's copy.
  public var mode: Manifest.Mode
  /// Grows with each controller session; a message of an older one is refused.
  public var epoch: Int
  /// Who serves, as this end knows it.
  public var state: State
  /// `quiesced`: when the watchdog brings the source back, in seconds since 1970; nil if nobody watches since the node has booted.
  public var deadline: Double?
  /// Why the state is what it is, when it was not the controller's doing.
  public var note: String?
  /// The manifest's items, so that a node can act on them alone.
  public var items: [ItemSpec]
  /// What digests are made with, at both ends.
  public var digestAlgorithm: Manifest.DigestAlgorithm
  /// The manifest's services, those that are not at this end among them.
  public var services: [ServiceSpec]
  /// Offers of this run's destination by item; what digests are made by.
  public var offers: [String: JSONValue]
  /// Digest roots that were proven equal, by item.
  public var verified: [String: String]
  /// Whether the run has ended well or was undone here; what is left is for `ferry cleanup`.
  public var finished: Bool
}

/// Seconds since 1970.
func wallClock() -> Double {
  var now = timespec()
  clock_gettime(CLOCK_REALTIME, &now)
  return Double(now.tv_sec) + Double(now.tv_nsec) / 1e9
}
