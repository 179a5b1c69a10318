import FerrySystem

/// Makes the typed model of a manifest in which nothing is wrong. Defaults are already in the typed values, from the table.
struct ManifestBuilder {
  let tree: Node
  let typed: JSONValue
  let configs: [ItemChecker.Checked]
  let file: String
  let folder: String
  let findings: Findings

  func build(parameters: [String: String], digest: String) -> Manifest? {
    var manifest = Manifest(
      file: file, digest: digest, name: typed["name"]?.string ?? "", mode: typed["mode"].word() ?? .copy,
      source: node(typed["source"]), destination: node(typed["destination"]))
    manifest.services = zip(tree["services"]?.list ?? [], typed["services"]?.array ?? []).compactMap(service)
    let items = zip(tree["state"]?.list ?? [], typed["state"]?.array ?? [])
    manifest.state = zip(items, configs).map { item($0.0, $0.1, config: $1.config) }
    manifest.cutover = cutover(typed["cutover"])
    manifest.limits = limits(typed["limits"])
    manifest.channel = typed["channel"].word() ?? manifest.channel
    manifest.verify = typed["verify"].word() ?? manifest.verify
    manifest.digestAlgorithm = typed["digest"].word() ?? manifest.digestAlgorithm
    manifest.onFailure = typed["on-failure"].word() ?? manifest.onFailure
    manifest.rollbackFor = typed["rollback-for"].duration
    manifest.retry = typed["retry"].duration
    manifest.parameters = parameters
    if let hooks = typed["hooks"]?.string {
      let path = Files.absolute(hooks, in: folder)
      manifest.hooks = path
      guard Files.isFolder(path) else {
        findings.add(
          .meaning, tree["hooks"]?.mark ?? .start, "'hooks' is no folder: \(quoted(hooks))", hint: "it starts at the manifest's own folder")
        return nil
      }
    }
    return manifest
  }

  private func node(_ value: JSONValue?) -> NodeSpec {
    let address = value?["node"]?.string ?? ""
    return NodeSpec(
      node: address, name: value?["name"]?.string ?? address, home: value?["home"]?.string.map { Files.absolute($0, in: folder) },
      become: value?["become"]?.string.flatMap { NodeSpec.Become(rawValue: $0) }, deploy: value?["deploy"]?.bool ?? false)
  }

  /// What a service is called, and by which node: its `name`, its unit or container, or its program.
  static func name(ofService node: Node) -> (text: String, node: Node)? {
    let program = node["command"]?["start"]?.list.first
    guard let named = node["name"] ?? node["systemd"] ?? node["podman"] ?? node["docker"] ?? program, let text = named.text else {
      return nil
    }
    let isProgram = node["name"] == nil && node["command"] != nil
    return (isProgram ? text.split(separator: "/").last.map(String.init) ?? text : text, named)
  }

  private func service(_ node: Node, _ value: JSONValue) -> ServiceSpec? {
    guard let kind = kind(value), let name = Self.name(ofService: node)?.text else { return nil }
    var service = ServiceSpec(name: name, kind: kind, source: side(value["source"]), destination: side(value["destination"]))
    service.user = value["user"]?.string
    service.stopTimeout = value["stop-timeout"].duration ?? service.stopTimeout
    service.startTimeout = value["start-timeout"].duration ?? service.startTimeout
    service.healthy = value["healthy"].words ?? value["command"]?["healthy"].words
    service.healthyTimeout = value["healthy-timeout"].duration ?? service.healthyTimeout
    return service
  }

  private func kind(_ value: JSONValue) -> ServiceSpec.Kind? {
    if let command = value["command"], let stop = command["stop"].words, let start = command["start"].words {
      return .command(
        stop: stop, start: start, status: command["status"].words, hold: command["hold"].words, release: command["release"].words)
    }
    if let unit = value["systemd"]?.string { return .systemd(unit: unit, user: value["user"]?.bool ?? false) }
    if let name = value["podman"]?.string { return .podman(container: name) }
    return value["docker"]?.string.map { .docker(container: $0) }
  }

  private func side(_ value: JSONValue?) -> ServiceSpec.Side {
    ServiceSpec.Side(
      name: value?["name"]?.string, user: value?["user"]?.string,
      environment: value?["environment"]?.object?.compactMapValues(\.string) ?? [:])
  }

  private func item(_ node: Node, _ value: JSONValue, config: JSONValue) -> ItemSpec {
    var item = ItemSpec(name: value["name"]?.string ?? "", provider: value["provider"]?.string ?? "", config: config)
    let repositories = ManifestRepositories(typed: typed["repositories"] ?? [:])
    item.after = value["after"].words ?? []
    item.secrets = value["secrets"]?.object?.compactMapValues(SecretReference.init(reference:)) ?? [:]
    item.config = repositories.fill(config, secrets: &item.secrets)
    item.allowEmpty = value["allow-empty"]?.bool ?? false
    item.follow = value["follow"].word() ?? item.follow
    item.position = "\(file):\(node.mark.line):\(node.mark.column)"
    return item
  }

  private func cutover(_ value: JSONValue?) -> CutoverSpec {
    var cutover = CutoverSpec()
    cutover.maxDowntime = value?["max-downtime"].duration
    cutover.onMiss = (value?["on-miss"]).word() ?? cutover.onMiss
    cutover.holdBefore = (value?["hold-before"]?.array ?? []).compactMap { $0.string.flatMap(Phase.init) }
    cutover.watchdog = (value?["watchdog"]).duration ?? cutover.watchdog
    cutover.maxPasses = value?["max-passes"]?.int.map { Int($0) } ?? cutover.maxPasses
    return cutover
  }

  private func limits(_ value: JSONValue?) -> LimitsSpec {
    var limits = LimitsSpec()
    limits.bandwidth = value?["bandwidth"]?.string.flatMap(Quantity.bytes)
    limits.parallel = value?["parallel"]?.int.map { Int($0) } ?? limits.parallel
    limits.stall = (value?["stall"]).duration ?? limits.stall
    limits.streams = value?["streams"]?.int.map { Int($0) } ?? limits.streams
    limits.compression = (value?["compression"]).word() ?? limits.compression
    return limits
  }
}

extension SecretReference {
  init?(reference value: JSONValue) {
    if let name = value["env"]?.string {
      self = .env(name)
    } else if let path = value["file"]?.string {
      self = .file(path)
    } else if let command = value["command"].words {
      self = .command(command)
    } else {
      return nil
    }
  }
}

extension JSONValue? {
  fileprivate var words: [String]? { self?.array?.compactMap(\.string) }
  fileprivate var duration: Duration? { self?.string.flatMap(Quantity.duration) }
  fileprivate func word<Word: RawRepresentable>() -> Word? where Word.RawValue == String { self?.string.flatMap(Word.init) }
}
