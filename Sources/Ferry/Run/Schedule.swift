import FerrySystem
import Glibc

/// Deferred transfers at times of their own: a backup plan. A systemd timer starts `ferry schedule run NAME`.
public struct Schedule: Sendable, Codable, Hashable {
  /// What it is called.
  public var name: String
  /// What is done, one after another.
  public var transfers: [Transfer]
  /// When, as systemd's `OnCalendar=` has it.
  public var calendar: String
  /// Up to so long later, by chance, so that many do not begin at once; nil: on time.
  public var delay: Duration?
  /// Whether its timer runs.
  public var enabled: Bool
  /// Of this user's own systemd, or of the system's.
  public var user: Bool

  /// One manifest, with what its parameters are this time.
  public struct Transfer: Sendable, Codable, Hashable {
    /// An absolute path.
    public var manifest: String
    /// The values given with `--set`.
    public var parameters: [String: String]

    /// A transfer.
    public init(_ manifest: String, parameters: [String: String] = [:]) {
      self.manifest = Files.absolute(manifest)
      self.parameters = parameters
    }

    /// The transfers of manifests by what `--set` says, each `name=value` or `manifest:name=value`: for all manifests or one of them. A name
    /// that is given several times makes as many transfers, each with its value; one that is given once holds for all of them.
    public static func all(of manifests: [String], set texts: [String]) throws -> [Transfer] {
      let given = try texts.map { try Given($0, for: manifests) }
      return try manifests.flatMap { manifest in
        var values: [String: [String]] = [:]
        for one in given where one.manifest == nil || one.manifest == manifest { values[one.name, default: []].append(one.value) }
        let count = values.values.map(\.count).max() ?? 1
        if let odd = values.filter({ $0.value.count != 1 && $0.value.count != count }).keys.min() {
          throw FerryError(
            .invalid, "'\(odd)' is given \(values[odd]?.count ?? 0) times, and another parameter \(count) times",
            hint: "a parameter is given once, or once for each transfer of the manifest")
        }
        return (0..<count).map { index in Transfer(manifest, parameters: values.mapValues { $0.count == 1 ? $0[0] : $0[index] }) }
      }
    }

    private struct Given {
      var manifest: String?
      var name: String
      var value: String

      init(_ text: String, for manifests: [String]) throws {
        // No parameter's name has a colon.
        let colon = text.prefix { $0 != "=" }.lastIndex(of: ":")
        let rest = colon.map { String(text[text.index(after: $0)...]) } ?? text
        guard let (name, value) = try Manifest.parameters([rest]).first else { throw FerryError(.invalid, "'\(text)' is not name=value") }
        (self.name, self.value) = (name, value)
        guard let word = colon.map({ text[..<$0] }) else { return }
        manifest = manifests.first { $0 == word || $0.split(separator: "/").last.map { $0 == word || $0 == "\(word).yaml" } == true }
        if manifest == nil {
          throw FerryError(.invalid, "'\(word)' is none of the manifests", hint: "they are \(manifests.joined(separator: ", "))")
        }
      }
    }
  }

  /// A schedule.
  public init(name: String, transfers: [Transfer], calendar: String, delay: Duration? = nil, enabled: Bool = true, user: Bool) {
    self.name = name
    self.transfers = transfers
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
    /// Its runs' ids, in the order of its transfers.
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
