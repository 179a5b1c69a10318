import FerryEngineKit

/// A Podman pod without its containers, which are items of their own and come after it: what they share, and what is published of it.
///
/// It is made in the first pass under its real name, and nothing in it runs before a container is started; so there is nothing to activate.
final class PodmanPodProvider: EngineProvider, StateProvider {
  static let id = "podman-pod"
  static let summary = "makes a Podman pod at the destination with all settings of the source's; its containers are items of their own"
  static let schema = """
    {"type": "object", "required": ["from", "to"], "additionalProperties": false,
     "properties": {
      "from": {"$ref": "#/$defs/end"},
      "to": {"$ref": "#/$defs/end"}},
     "$defs": {
      "end": {"type": "object", "required": ["pod"], "additionalProperties": false, "properties": {
        "pod": {"type": "string", "minLength": 1, "description": "the pod's name"},
        \(EngineSchema.engine)}}}}
    """

  private struct Config: Decodable {
    struct Endpoint: Decodable {
      var pod: String
      var engine: String?
    }
    var endpoint: Endpoint
  }
  private struct Made: Codable {}
  /// Durable: this run makes the pod.
  private static let making = "making"
  private let name: String

  init(_ context: ProviderContext) throws {
    let config: Config = try context.decodeConfig()
    name = config.endpoint.pod
    super.init(context, .podman, at: config.endpoint.engine)
  }

  private func pod() throws -> JSONValue {
    guard let pod = try engine().pod(name) else { throw missing("pod", name, "pod ps") }
    return pod
  }

  private func definition() throws -> PodDefinition {
    let pod = try pod()
    let infra = pod["InfraContainerID"]?.string ?? ""
    let network = infra.isEmpty ? nil : try engine().podmanInspect(infra)["HostConfig"]?["NetworkMode"]?.string
    guard let definition = PodDefinition(pod, network: network ?? "") else {
      throw FerryError(.io, "Podman shows no name of the pod \(name)")
    }
    return definition
  }

  func check() throws -> CheckReport {
    try report { report, engine in
      guard context.side == .source else { return try refuseOther(engine) }
      report.entries = Int64(try definition().lines.count)
      for loss in try PodDefinition.losses(pod()) {
        report.notices.append(.init(.warning, "\(loss.path) of the pod \(name) does not arrive: \(loss.reason)"))
      }
    }
  }

  private func refuseOther(_ engine: ContainerEngine) throws {
    guard try context.kv.get(Self.making, as: Bool.self) != true, try engine.pod(name) != nil else { return }
    throw FerryError(.conflict, "Podman has a pod \(name) already; nothing was changed", hint: "choose another name with `to`")
  }

  func prepare() throws -> Offer { Offer(.private, ["pod": .string(name)]) }
  func prepare(for offer: Offer) throws {}

  /// In the destination's words.
  private func definition(for offer: Offer?) throws -> PodDefinition {
    var definition = try definition()
    if context.side == .source, let name = offer?["pod"]?.string { definition.name = name }
    return definition
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    let definition = try definition(for: pass.offer)
    try context.tell(definition, on: channel)
    _ = try context.hear(Made.self, on: channel)
    return PassReport(bytes: 0, entries: Int64(definition.lines.count), changed: pass.isFirst ? Int64(definition.lines.count) : 0)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    let definition = try context.hear(PodDefinition.self, on: channel)
    let engine = try engine()
    try refuseOther(engine)
    if try engine.pod(name) == nil {
      for network in definition.networks where try engine.network(network) == nil {
        throw FerryError(
          .precondition, "there is no network \(network), which the pod \(name) is in", hint: "make it: podman network create \(network)")
      }
      try context.kv.put(Self.making, true)
      try engine.createPod(definition.spec)
    }
    try context.tell(Made(), on: channel)
    return PassReport(bytes: 0, entries: Int64(definition.lines.count))
  }

  func digest(_ request: DigestRequest) throws -> DigestReport { try report(of: definition(for: request.offer).lines, request) }

  func activate() throws {}
  func deactivate() throws {}

  func discard() throws {
    guard context.side == .destination, try context.kv.get(Self.making, as: Bool.self) == true else { return }
    try engine().removePod(name)
    try context.kv.remove(Self.making)
  }

  func release() throws {}
  func retire() throws { try engine().removePod(name) }
}
