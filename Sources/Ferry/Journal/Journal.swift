import FerrySystem

/// What a controller durably knows: its runs, and each intent before its act. Nothing above this interface assumes a file.
public protocol Journal: Sendable {
  /// Writes a new run.
  func create(_ run: RunEntry) throws
  /// One run by its id or a unique beginning of it; nil if there is none.
  func run(_ id: String) throws -> RunEntry?
  /// All runs, the newest first.
  func runs() throws -> [RunEntry]
  /// Changes a run's entry in one transaction.
  func update(_ id: String, _ change: (inout RunEntry) throws -> Void) throws
  /// Notes intents; they are durable when this returns.
  func intend(_ run: String, _ steps: [Step]) throws -> [Int64]
  /// Notes outcomes of intents.
  func conclude(_ outcomes: [(id: Int64, Outcome)]) throws
  /// All steps of a run, in the order of their intents.
  func steps(_ run: String) throws -> [StepEntry]
  /// Removes a run.
  func remove(_ id: String) throws
}

/// A run as the journal knows it.
public struct RunEntry: Sendable, Codable, Hashable {
  /// Eight lowercase hex digits; commands take any unique beginning.
  public var id: String
  /// The manifest as it was when the run began: later edits of the file change nothing.
  public var manifest: Manifest
  /// What the run was told beside its manifest.
  public var options: RunOptions
  /// Seconds since 1970.
  public var created: Double
  /// When it came to its end, in seconds since 1970; nil while it can be resumed.
  public var ended: Double?
  /// Grows with each controller session.
  public var epoch: Int
  /// The controller at work, if one is.
  public var controller: ProcessIdentity?
  /// Where the run stands between sessions.
  public var status: Status
  /// Why it ended, when it did not end well.
  public var error: FerryError?
  /// Where the receipt lies, once there is one.
  public var receipt: Receipt?

  /// Where a run stands, as its last session left it.
  public enum Status: String, Sendable, Codable, CaseIterable {
    /// A controller is, or was, at work; if it is gone the run can be resumed.
    case running
    case done
    /// Failed or was cancelled; the source serves as before, nothing is left at the destination.
    case undone
    /// Failed or was cancelled, and what failed was kept for inspection (`on-failure: keep`).
    case kept
    /// Compensation did not come to its end: a person is needed.
    case incomplete
    /// Nothing is left of it on the nodes.
    case cleaned
  }
}

/// One cell of the run's table, or an act of a whole end: what is about to be done.
public struct Step: Sendable, Codable, Hashable {
  /// The column.
  public var phase: Phase
  /// What is done: the phase's own act unless it is something else, such as `thaw`.
  public var act: String
  /// The end that acts; nil for both, or for the controller alone.
  public var side: Side?
  /// The item, in a cell; nil for an act of a whole end.
  public var item: String?
  /// Counts over the whole run from 0, hot passes and the final one alike; nil for what is no pass.
  public var pass: Int?

  /// Makes a step; `act` is the phase's own unless told.
  public init(_ phase: Phase, act: String? = nil, side: Side? = nil, item: String? = nil, pass: Int? = nil) {
    self.phase = phase
    self.act = act ?? phase.rawValue
    self.side = side
    self.item = item
    self.pass = pass
  }

  /// One word for faults and logs: `copy/transfer@source:site#2`.
  public var key: String {
    var text = phase.rawValue
    if act != phase.rawValue { text += "/\(act)" }
    if let side { text += "@\(side.rawValue)" }
    if let item { text += ":\(item)" }
    if let pass { text += "#\(pass)" }
    return text
  }
}

/// How a step ended.
public enum Outcome: Sendable, Codable, Hashable {
  case done(JSONValue)
  case failed(FerryError)
}

/// A step with what came of it; `outcome` is nil if nobody lived to note it.
public struct StepEntry: Sendable, Codable, Hashable {
  /// What was about to be done.
  public var step: Step
  /// The session that intended it.
  public var epoch: Int
  /// When the intent was noted, in seconds since 1970.
  public var began: Double
  /// When the outcome was noted, in seconds since 1970.
  public var ended: Double?
  /// What came of it; nil if nobody lived to note it.
  public var outcome: Outcome?
}
