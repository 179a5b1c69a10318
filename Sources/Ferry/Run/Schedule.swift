import FerrySystem
import Glibc

/// Deferred transfers at times of their own: a backup plan. A systemd timer starts `ferry schedule run NAME`.
public struct Schedule: Sendable, Codable, Hashable {
  /// What it is called.
  public var name: String
  /// The manifests that are transferred, one after another: absolute paths.
  public var manifests: [String]
  /// Parameters for all of them.
  public var parameters: [String: String]
  /// When, as systemd's `OnCalendar=` has it.
  public var calendar: String
  /// Up to so long later, by chance, so that many do not begin at once; nil: on time.
  public var delay: Duration?
  /// Whether its timer runs.
  public var enabled: Bool
  /// Of this user's own systemd, or of the system's.
  public var user: Bool

  /// A schedule.
  public init(
    name: String, manifests: [String], parameters: [String: String] = [:], calendar: String, delay: Duration? = nil, enabled: Bool = true,
    user: Bool
  ) {
    self.name = name
    self.manifests = manifests.map { Files.absolute($0) }
    self.parameters = parameters
    self.calendar = calendar
    self.delay = delay
    self.enabled = enabled
    self.user = user
  }

  /// How its last run went.
  public struct Last: Sendable, Codable, Hashable {
    /// Seconds since 1970.
    public var began: Double
    /// Seconds since 1970.
    public var ended: Double
    /// The exit code of `ferry schedule run`.
    public var exit: ExitCode
    /// Its runs' ids, in the order of the manifests.
    public var runs: [String]
    /// What went wrong first.
    public var error: FerryError?
  }

  var unit: String { "ferry-schedule-\(name)" }

  /// The timer's file.
  var timer: String {
    """
    [Unit]
    Description=Ferry schedule \(name)

    [Timer]
    OnCalendar=\(calendar)
    \(delay.map { "RandomizedDelaySec=\(Int($0.inSeconds.rounded(.up)))\n" } ?? "")# What was missed while the machine was off is done after its start.
    Persistent=true

    [Install]
    WantedBy=timers.target

    """
  }

  /// The service's file.
  func service(_ configuration: Engine.Configuration) -> String {
    """
    [Unit]
    Description=Ferry schedule \(name)
    \(user ? "" : "After=network-online.target\nWants=network-online.target\n")
    [Service]
    Type=oneshot
    ExecStart=\(UnitManager.quoted(configuration.executable).replacing("$", with: "$$")) schedule run \(name)
    \(UnitManager(user: user).environment(configuration))
    Nice=10

    """
  }
}
