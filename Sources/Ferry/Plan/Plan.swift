/// What a run would do, as far as both ends can tell without changing anything.
public struct Plan: Sendable, Codable, Hashable {
  /// What would be run.
  public var manifest: Manifest
  /// What both ends say of it.
  public var preflight: PreflightReport
  /// How the ends will be joined.
  public var channel: String
  /// The phases that the mode has, in order.
  public var phases: [Phase]
  /// Seconds without service as an earlier run of this manifest measured them, or nil: then it is predicted in `copy`, from rates.
  public var predictedOutage: Double?
  /// The run that `predictedOutage` comes from.
  public var predictedFrom: String?
}

extension Manifest.Mode {
  /// The phases of a run in this mode, in order.
  public var phases: [Phase] {
    switch self {
    case .copy: Phase.allCases.filter { $0 != .seal && $0 != .retire }
    case .follow: Phase.allCases.filter { $0 != .retire }
    case .move: Phase.allCases
    }
  }
}
