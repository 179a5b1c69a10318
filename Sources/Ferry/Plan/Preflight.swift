import FerrySystem

/// What both ends say before anything is changed.
public struct PreflightReport: Sendable, Codable, Hashable {
  /// In the manifest's order.
  public var items: [Item] = []
  /// What a person should know; an error among them keeps the run from going on.
  public var notices: [Notice] = []

  /// What both ends say of one item.
  public struct Item: Sendable, Codable, Hashable {
    /// The item's name in the manifest.
    public var name: String
    /// The id of the provider that moves it.
    public var provider: String
    /// At the source, where the provider can tell.
    public var bytes: Int64?
    /// Entries at the source, where the provider can tell.
    public var entries: Int64?
    /// Free bytes at the destination.
    public var room: Int64?
    /// Versions of the tools at each end.
    public var sourceVersions: [String: String] = [:]
    /// See `sourceVersions`.
    public var destinationVersions: [String: String] = [:]
  }

  /// Throws all errors as one, if there are any.
  public func throwIfFailed() throws {
    let errors = notices.filter { $0.severity == .error }
    guard let first = errors.first else { return }
    let more = errors.count > 1 ? " (and \(errors.count - 1) more)" : ""
    throw FerryError(
      .precondition, "\(first.text)\(more)", hint: first.hint.isEmpty ? "nothing was changed" : "\(first.hint); nothing was changed")
  }
}

/// Asks both ends.
struct Preflight {
  let manifest: Manifest
  let options: RunOptions
  /// What the controller's `ferry.lock` pins, if it has one.
  let pins: PluginLock?

  func run(
    _ nodes: [NodeConnection],
    column: ([Step], @escaping @Sendable (Step) throws -> JSONValue) throws -> [JSONValue]
  ) throws -> PreflightReport {
    var report = PreflightReport()
    report.notices += Set(manifest.state.map(\.provider)).sorted().flatMap { plugins($0, nodes) }
    var found: [Side: [JSONValue]] = [:]
    let arguments: JSONValue = options.half == nil ? [:] : ["deferred": true]
    // The destination first: a source can then tell what of its state will not survive there.
    var abilities: [String: JSONValue] = [:]
    for node in nodes.sorted(by: { $0.side == .destination && $1.side != .destination }) {
      let steps = manifest.state.map { Step(.check, side: node.side, item: $0.name) }
      let known = abilities
      // One item that cannot be checked hides no other: all errors at once.
      found[node.side] = try column(steps) { step in
        var arguments = arguments
        arguments["abilities"] = known[step.item ?? ""]
        do { return try node.call(CallRequest(item: step.item ?? "", call: .check, arguments: arguments)).result } catch let error
          as FerryError
        {
          if error.class == .cancelled { throw error }
          return ["notices": [["severity": "error", "text": .string(error.message), "hint": .string(error.hint)]]]
        }
      }
      if node.side == .destination {
        for (spec, answer) in zip(manifest.state, found[.destination] ?? []) { abilities[spec.name] = answer["abilities"] }
      }
      let services: [Notice] = try node.send(.checkServices).decode()
      report.notices += services.map { place($0, "services", node) }
    }
    for (index, spec) in manifest.state.enumerated() {
      let (left, right) = (found[.source]?[index] ?? [:], found[.destination]?[index] ?? [:])
      let item = PreflightReport.Item(
        name: spec.name, provider: spec.provider, bytes: left["bytes"]?.int, entries: left["entries"]?.int, room: right["room"]?.int,
        sourceVersions: versions(left), destinationVersions: versions(right))
      report.items.append(item)
      for (node, result) in nodes.map({ ($0, $0.side == .source ? left : right) }) {
        report.notices += (result["notices"]?.array ?? []).map { place(notice($0), "'\(spec.name)'", node) }
      }
      if let destination = nodes.last, let bytes = item.bytes, let room = item.room, bytes > room {
        report.notices.append(
          Notice(
            options.ignoreSpace ? .warning : .error,
            "'\(spec.name)': \(destination.name) is \(Text.bytes(bytes - room)) short: it has room for \(Text.bytes(room)), the state is \(Text.bytes(bytes))",
            hint: "free space, or pass --ignore-space"))
      }
    }
    return report
  }

  /// A provider's two ends understand each other if they are the same code; `ferry.lock` says which code that must be.
  private func plugins(_ provider: String, _ nodes: [NodeConnection]) -> [Notice] {
    let files = nodes.compactMap { node in node.plugin(for: provider).map { (node, $0) } }
    guard files.count == nodes.count else { return [] }
    let strangers = files.filter { _, file in pins?.pins[file.name].map { $0 != file.sha256 } ?? false }
    if !strangers.isEmpty {
      return strangers.map { node, file in
        Notice(
          .error,
          "provider '\(provider)' on \(node.name) is not the pinned one: \(described(file)), and \(pins?.path ?? "") says otherwise",
          hint: "install the pinned plugin on \(node.name), or let `deploy: true` bring it along; `ferry plugins pin` pins anew")
      }
    }
    guard let (source, left) = files.first, let (destination, right) = files.last, left.sha256 != right.sha256 else { return [] }
    return [
      Notice(
        .warning,
        "provider '\(provider)' is not the same at both ends: \(source.name) has \(described(left)), \(destination.name) has \(described(right))",
        hint: "install the same ferry at both ends, or let `deploy: true` bring it along")
    ]
  }

  private func described(_ file: PluginFile) -> String { "\(file.path) (SHA-256 \(file.sha256.prefix(12))…)" }

  private func notice(_ value: JSONValue) -> Notice {
    Notice(
      Notice.Severity(rawValue: value["severity"]?.string ?? "") ?? .warning, value["text"]?.string ?? "", hint: value["hint"]?.string ?? ""
    )
  }

  private func place(_ notice: Notice, _ what: String, _ node: NodeConnection) -> Notice {
    Notice(notice.severity, "\(what) on \(node.name): \(notice.text)", hint: notice.hint)
  }

  private func versions(_ result: JSONValue) -> [String: String] { (result["versions"]?.object ?? [:]).compactMapValues(\.string) }
}
