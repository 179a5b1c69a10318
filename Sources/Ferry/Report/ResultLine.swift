import FerrySystem

/// The last line of `--json`, and of an embedder's events: how it ended, as an exit code, and what went wrong.
public struct ResultLine: Sendable, Encodable {
  /// The code that the `ferry` command exits with.
  public var exit: ExitCode
  /// What went wrong first; nil if nothing did.
  public var error: FerryError?
  /// All that is wrong in a manifest, if that is why.
  public var diagnostics: [Diagnostic]?
  /// The run's own result, if one began.
  public var result: RunResult?

  /// Of a run that began.
  public init(_ result: RunResult) {
    (exit, error, self.result) = (result.exit, result.error, result)
  }

  /// Of what failed without a run.
  public init(_ failure: any Error) {
    let manifest = failure as? ManifestErrors
    error = manifest?.summary ?? FerryError.wrap(failure)
    exit = manifest == nil ? error.map { ExitCode($0) } ?? .failed : .usage
    diagnostics = manifest?.diagnostics
  }

  /// Without a run, by its parts.
  public init(exit: ExitCode, error: FerryError?) { (self.exit, self.error) = (exit, error) }

  private enum Key: String, CodingKey { case kind, exit, error, diagnostics }

  /// An object whose `kind` is `result`, with all members of the run's result beside it.
  public func encode(to encoder: any Encoder) throws {
    try result?.encode(to: encoder)
    var members = encoder.container(keyedBy: Key.self)
    try members.encode("result", forKey: .kind)
    try members.encode(exit, forKey: .exit)
    try members.encodeIfPresent(error, forKey: .error)
    try members.encodeIfPresent(diagnostics, forKey: .diagnostics)
  }
}
