import FerrySystem

/// Containers that are moved together: one, all of a compose project, or all of a pod.
public struct ContainerProject: Sendable {
  /// The engines that containers are asked of.
  public enum Engine: String, Sendable, CaseIterable { case docker, podman }

  /// What becomes of established TCP connections.
  public enum Connections: String, Sendable, CaseIterable { case keep, close }

  /// What the manifest says beside what the containers are.
  public struct Terms: Sendable {
    /// The source goes on serving.
    public var copies = false
    /// What a single container is called at the destination.
    public var newName: String?
    /// The destination's node; nil: a parameter of the manifest.
    public var node: String?
    /// Folders of the host that are mounted into the containers are moved as well.
    public var withFolders = false
    /// Processes go on at the destination where they were.
    public var live = false
    /// What becomes of their established TCP connections; nil: with one of them a container stays where it is.
    public var connections: Connections?

    /// As a move to a node that is told later.
    public init() {}
  }

  /// What the manifest is called.
  public var name: String
  let engine: Engine
  /// Those that need others before the others: the order in which they are stopped.
  let containers: [MovedContainer]
  /// The pod that they are.
  var pod: String?

  /// A single container.
  public init(_ engine: Engine, container: String) throws {
    let found = try Self.inspect(engine, [container])
    guard let only = found.first else { throw Self.missing(engine, "container \(container)") }
    self.engine = engine
    name = only.name
    containers = [only]
  }

  /// All containers of a Podman pod. Those that were made last are stopped first.
  public init(pod: String) throws {
    let said = try JSONValue(parsing: Self.ask(.podman, ["pod", "inspect", pod]))
    // Podman 5 answers with a list.
    let found = said.array?.first ?? said
    let infra = found["InfraContainerID"]?.string
    let members = (found["Containers"]?.array ?? []).compactMap { $0["Id"]?.string }.filter { $0 != infra }
    guard !members.isEmpty else {
      throw FerryError(.precondition, "the pod \(pod) has no container", hint: "podman pod ps lists the pods; nothing was written")
    }
    engine = .podman
    name = found["Name"]?.string ?? pod
    containers = try Self.inspect(.podman, members).sorted { $0.created > $1.created }
    self.pod = name
  }

  /// All containers that compose has made of a file, in whichever engine has them.
  public init(composeFile: String) throws {
    let path = Files.absolute(composeFile)
    guard Files.exists(path) else {
      throw FerryError(
        .notFound, "there is no \(path)", hint: "name the compose file that the containers were made of; nothing was written")
    }
    for engine in Engine.allCases {
      let found = (try? Self.list(engine, label: MovedContainer.filesLabel)).map { try? Self.inspect(engine, $0) } ?? nil
      let of = (found ?? []).filter { $0.composeFiles.contains(path) }
      guard let project = of.first?.project else { continue }
      self.engine = engine
      name = project
      containers = Self.stopping(of.filter { $0.project == project && !$0.isOneOff })
      return
    }
    throw FerryError(
      .notFound, "neither Docker nor Podman has a container that compose made of \(path)",
      hint: "is the project up? `docker compose --file \(path) ps --all` lists its containers; nothing was written")
  }

  // MARK: Asking

  private static func list(_ engine: Engine, label: String) throws -> [String] {
    try ask(engine, ["ps", "--all", "--quiet", "--no-trunc", "--filter", "label=\(label)"]).split(separator: "\n").map(String.init)
  }

  private static func inspect(_ engine: Engine, _ names: [String]) throws -> [MovedContainer] {
    guard !names.isEmpty else { return [] }
    return try (JSONValue(parsing: ask(engine, ["container", "inspect"] + names)).array ?? []).map { MovedContainer($0) }
  }

  private static func ask(_ engine: Engine, _ arguments: [String]) throws -> String {
    var command = Command([engine.rawValue] + arguments, timeout: .seconds(60))
    command.output = .capture(limit: 64 << 20)
    let outcome = try command.run()
    if outcome.succeeded { return outcome.output }
    let errors = outcome.errors.lowercased()
    if errors.contains("no such pod") { throw missing(engine, "such pod") }
    if errors.contains("no such container") || errors.contains("no such object") { throw missing(engine, "such container") }
    throw FerryError(
      .precondition, "`\(engine.rawValue) \(arguments.prefix(2).joined(separator: " "))` failed, \(outcome.reason)",
      hint: "does `\(engine.rawValue) ps` work as this user? nothing was written")
  }

  private static func missing(_ engine: Engine, _ what: String) -> FerryError {
    FerryError(
      .notFound, "\(engine == .docker ? "Docker" : "Podman") has no \(what)",
      hint: "\(engine.rawValue) ps --all lists what there is; nothing was written")
  }

  /// What depends on another is stopped before it.
  private static func stopping(_ containers: [MovedContainer]) -> [MovedContainer] {
    var ordered: [MovedContainer] = []
    var open: Set<String> = []
    func place(_ container: MovedContainer) {
      // A circle is compose's to complain about.
      guard open.insert(container.name).inserted else { return }
      for other in containers where other.needs.contains(container.service) { place(other) }
      ordered.append(container)
    }
    for container in containers.sorted(by: { $0.name < $1.name }) { place(container) }
    return ordered
  }
}

/// A container as `inspect` shows it, as far as a manifest is about it.
struct MovedContainer: Sendable {
  let id: String
  let name: String
  let image: String
  /// Names of volumes, by their mount points.
  let volumes: [(place: String, name: String)]
  /// Files and folders of the host, by their mount points.
  let folders: [(place: String, path: String)]
  /// The id or name of the container whose namespace it shares.
  let shares: String?
  private let labels: [String: String]
  /// As the engine writes it; later ones are greater.
  let created: String

  static let filesLabel = "com.docker.compose.project.config_files"

  init(_ json: JSONValue) {
    id = json["Id"]?.string ?? ""
    created = json["Created"]?.string ?? ""
    name = String((json["Name"]?.string ?? "").drop { $0 == "/" })
    image = json["Config"]?["Image"]?.string ?? ""
    labels = json["Config"]?["Labels"]?.object?.compactMapValues(\.string) ?? [:]
    let mounts = json["Mounts"]?.array ?? []
    func places(_ type: String, _ key: String) -> [(String, String)] {
      mounts.filter { $0["Type"]?.string == type }.compactMap { mount in
        guard let place = mount["Destination"]?.string, let value = mount[key]?.string else { return nil }
        return (place, value)
      }.sorted { $0.0 < $1.0 }
    }
    volumes = places("volume", "Name")
    folders = places("bind", "Source")
    let modes = ["NetworkMode", "PidMode", "IpcMode"].compactMap { json["HostConfig"]?[$0]?.string }
    shares = modes.first { $0.hasPrefix("container:") }.map { String($0.dropFirst("container:".count)) }
  }

  var project: String? { labels["com.docker.compose.project"] }
  /// What compose calls it: others depend on it by this name.
  var service: String { labels["com.docker.compose.service"] ?? name }
  var composeFiles: [String] { (labels[Self.filesLabel] ?? "").split(separator: ",").map(String.init) }
  /// Made by `compose run`.
  var isOneOff: Bool { labels["com.docker.compose.oneoff"]?.lowercased() == "true" }
  /// `db:service_started:false,cache:service_healthy:false`
  var needs: Set<String> {
    Set(
      (labels["com.docker.compose.depends_on"] ?? "").split(separator: ",").compactMap { $0.split(separator: ":").first.map(String.init) })
  }
}
