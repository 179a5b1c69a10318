import FerryEngineKit

/// transfer-state.
struct ContainerSource {
  let provider: ContainerProvider
  private var context: ProviderContext { provider.context }
  private var name: String { provider.config.endpoint.container }

  func check() throws -> CheckReport {
    try provider.report { report, engine in
      let container = try provider.container(name)
      let image = try provider.image(container)
      let definition = try provider.definition(container, image)
      report.bytes = image.size
      report.entries = Int64(definition.lines.count)
      for text in try losses(container, engine) { report.notices.append(text) }
      for mount in definition.mounts where mount.type == "bind" {
        report.notices.append(
          .init(
            .warning, "\(mount.source), mounted at \(mount.target), is the host's and not the container's: it has to be at the destination",
            hint: "move it with `provider: tree` if it is needed, or name another place with `to.mounts`"))
      }
      for path in provider.config.without ?? [] {
        report.notices.append(.init(.warning, "\(path) of \(name) stays behind, as the manifest says"))
      }
    }
  }

  /// What does not arrive, property by property.
  private func losses(_ container: EngineContainer, _ engine: ContainerEngine) throws -> [CheckReport.Notice] {
    var findings = ContainerProperty.findings(in: container.json)
    if engine.kind == .podman {
      let own = try engine.podmanInspect(container.id)
      let known = Set(findings.map(\.path))
      findings += ContainerProperty.findings(in: own, ContainerProperty.podman).filter { !known.contains($0.path) }
    }
    return findings.filter(\.isSet).compactMap { finding in
      switch finding.carriage {
      case .carried, .translated, .drawn: nil
      case .left(let reason): .init(.warning, "\(finding.path) of \(name) does not arrive: \(reason)")
      case nil:
        .init(
          .warning, "\(finding.path) of \(name) does not arrive: this Ferry does not know it",
          hint: "its value is \(String(finding.value.text.prefix(200)))")
      }
    }
  }

  func prepare() throws {
    if try ContainerNote.read(context) != nil { return }
    let container = try provider.container(name)
    let definition = try provider.definition(container, provider.image(container))
    try ContainerNote(container: container.id, definition: definition).write(context)
  }

  /// As it is now, but for its restart policy, which is switched off while a service is held.
  private func now(_ note: ContainerNote?) throws -> (ContainerDefinition, EngineContainer, EngineImage) {
    let container = try provider.container(note?.container ?? name)
    let image = try provider.image(container)
    var definition = try provider.definition(container, image)
    if let note { definition.restartPolicy = note.definition.restartPolicy }
    return (definition, container, image)
  }

  private func mapping(_ offer: Offer?) throws -> ContainerMapping {
    guard let mapping = try offer?.decode(ContainerMapping.self) else { throw FerryError(.internal, "the call came without an offer") }
    return mapping
  }

  func state(_ offer: Offer?) throws -> (ContainerDefinition, EngineImage) {
    let (definition, _, image) = try now(ContainerNote.read(context))
    return (definition.mapped(try mapping(offer)), image)
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    guard let note = try ContainerNote.read(context) else { throw FerryError(.internal, "the call came before `prepare`") }
    let (definition, container, image) = try now(note)
    try refuseChange(from: note.definition, to: definition)
    let channel = try pass.channel
    let reference = container.json["Config"]?["Image"]?.string ?? image.id
    try context.tell(
      ContainerWire.Greeting(
        definition: definition.mapped(try mapping(pass.offer)), networks: try networks(definition, pass), reference: reference,
        image: image.id, layers: image.layers, places: places(container)), on: channel)
    var bytes: Int64 = 0
    if let present = try context.hear(ContainerWire.Need.self, on: channel).present {
      bytes = try ImageParcel.send(image, without: present, by: provider.engine(), context, on: channel)
    }
    _ = try context.hear(ContainerWire.Made.self, on: channel)
    let settings = Int64(definition.lines.count)
    return PassReport(bytes: bytes, entries: settings, changed: pass.isFirst ? settings : 0)
  }

  private func places(_ container: EngineContainer) -> [String: String] {
    let volumes = container.mounts.filter { $0.type == "volume" }
    return Dictionary(volumes.compactMap { mount in mount.name.flatMap { name in mount.source.map { (name, $0) } } }) { $1 }
  }

  private func networks(_ definition: ContainerDefinition, _ pass: Pass) throws -> [NetworkDefinition] {
    let mapping = try mapping(pass.offer)
    return try definition.endpoints.compactMap { endpoint in
      guard let json = try provider.engine().network(endpoint.network), var network = NetworkDefinition(json) else { return nil }
      network.name = mapping.networks[network.name] ?? network.name
      return network
    }
  }

  private func refuseChange(from old: ContainerDefinition, to new: ContainerDefinition) throws {
    let before = Dictionary(old.lines.map { ($0.path, $0.value) }) { $1 }
    let after = Dictionary(new.lines.map { ($0.path, $0.value) }) { $1 }
    let changed = Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }.sorted()
    guard let first = changed.first else { return }
    throw FerryError(
      .conflict, "the settings of the container \(name) were changed while it was moved: \(first)\(changed.count > 1 ? " and others" : "")",
      hint: "run it again, with its new settings")
  }

  /// Removes the container. Volumes are other items'.
  func retire() throws {
    if let note = try ContainerNote.read(context) { try provider.retire(note.container) }
  }
}
