import Glibc

/// The class of an error: the same words in C (`ferry_status`), Swift, the journal and JSON.
public enum ErrorClass: String, Sendable, Codable, CaseIterable {
  /// The manifest or an argument is wrong.
  case invalid
  /// The system is not in the state that this needs; nothing was changed.
  case precondition
  /// The named thing does not exist.
  case notFound = "not-found"
  /// The named thing exists, or is in use by somebody else.
  case conflict
  /// A credential was refused.
  case auth
  /// Reading or writing failed.
  case io
  /// The other end failed.
  case peer
  /// Failed now, may work when tried again.
  case retry
  /// Ended because somebody asked for it.
  case cancelled
  /// Not an ability of this provider or system.
  case unsupported
  /// A bug.
  case `internal`

  /// The number that stands for the class in the plugin ABI (1…11).
  public var status: Int32 { Int32(Self.allCases.firstIndex(of: self).map { $0 + 1 } ?? 11) }

  /// The class for a number of the plugin ABI; a number that the ABI does not know is `internal`.
  public init(status: Int32) {
    self = status >= 1 && Int(status) <= Self.allCases.count ? Self.allCases[Int(status) - 1] : .internal
  }
}

/// An error made where its cause is known: what and where (`message`), and what to do next (`hint`).
public struct FerryError: Error, Sendable, Codable, Hashable, CustomStringConvertible {
  /// What kind of failure this is.
  public var `class`: ErrorClass
  /// What happened, and where. One sentence, no capital, no full stop.
  public var message: String
  /// The state now and the next step, or empty.
  public var hint: String

  /// A stable name for programs, where one must tell this error from others of its class: `not-equal`, `target-locked`.
  public var code: String?

  /// Makes an error.
  public init(_ class: ErrorClass, _ message: String, hint: String = "", code: String? = nil) {
    self.class = `class`
    self.message = message
    self.hint = hint
    self.code = code
  }

  /// A system call that failed: `what` it did and on what, with the system's own words.
  public init(errno code: Int32, _ what: String, hint: String = "") {
    let kind: ErrorClass =
      switch code {
      case ENOENT: .notFound
      case EEXIST: .conflict
      case EACCES, EPERM: .precondition
      default: .io
      }
    self.init(kind, "\(what): \(String(cString: strerror(code)))", hint: hint)
  }

  /// The message and, in brackets, the hint.
  public var description: String { hint.isEmpty ? message : "\(message) (\(hint))" }

  /// This error with words in front that say where it happened.
  public func inside(_ place: String) -> FerryError { FerryError(`class`, "\(place): \(message)", hint: hint, code: code) }

  /// Any error as a `FerryError`.
  public static func wrap(_ error: any Error) -> FerryError {
    (error as? FerryError) ?? FerryError(.internal, String(describing: error))
  }
}
