import FerryEngineKit
import Glibc

/// receive-state. The container is made in the first pass, under a name of the run's own, and never started: `activate` renames it.
struct ContainerDestination {
  let provider: ContainerProvider
  private var context: ProviderContext { provider.context }
  private var endpoint: ContainerConfig.Endpoint { provider.config.endpoint }
  private var name: String { endpoint.container }
  private var stagedName: String { ContainerEngine.stagedName(name, run: context.run) }

  func check() throws -> CheckReport {
    try provider.report { report, engine in
      if engine.sharesFiles { report.room = Files.room(in: engine.info.root) }
      guard let existing = try engine.container(name) else { return }
      try refuse(existing)
      if existing.isRunning {
        report.notices.append(
          .init(
            .warning, "the container \(name) runs; it has to be down when another takes its name",
            hint: "list it under `services`, or stop it"))
      }
    }
  }

  private func refuse(_ existing: EngineContainer) throws {
    guard provider.config.replace != true else { return }
    throw FerryError(
      .conflict, "\(provider.kind.title) has a container \(name) already; nothing was changed",
      hint: "say `replace: true` to replace it (it is kept until the run has succeeded), or choose another name with `to`")
  }

  func prepare() throws -> Offer { Offer(.private, try JSONValue(encoding: ContainerMapping(endpoint)).object ?? [:]) }

  /// `making`: false for a container that is restored, once its image and its networks are there.
  func receive(_ pass: Pass, making: Bool = true) throws -> PassReport {
    let channel = try pass.channel
    let greeting = try context.hear(ContainerWire.Greeting.self, on: channel, limit: 16 << 20)
    let engine = try provider.engine()
    var record = try ContainerRecord.read(context) ?? ContainerRecord()
    var bytes: Int64 = 0
    if let id = record.container, try !making || engine.container(id) != nil {
      try context.tell(ContainerWire.Need(present: nil), on: channel)
    } else {
      if let existing = try engine.container(name) { try refuse(existing) }
      try ContainerPlace(engine: engine, run: context.run, name: name).check(greeting.definition)
      if !making { try refuseOtherPlaces(greeting) }
      record.restartPolicy = greeting.definition.restartPolicy
      let footing = ContainerFooting(provider: provider)
      let image = try footing.image(greeting, &record, &bytes, on: channel)
      try footing.makeNetworks(greeting, &record)
      record.container = making ? try make(greeting.definition, image) : ""
      try record.write(context)
    }
    try context.tell(ContainerWire.Made(container: record.container ?? ""), on: channel)
    return PassReport(bytes: bytes, entries: Int64(greeting.definition.lines.count))
  }

  /// A checkpoint has its volumes by the paths of their content: one that is elsewhere here would not be what the processes go on with.
  private func refuseOtherPlaces(_ greeting: ContainerWire.Greeting) throws {
    for (volume, there) in (greeting.places ?? [:]).sorted(by: { $0.key < $1.key }) {
      guard let here = try provider.engine().volume(volume)?.mountpoint, here != there else { continue }
      throw FerryError(
        .precondition, "the volume \(volume) is at \(here), and at \(there) at the source: processes go on with what is at the same path",
        hint: "let Podman keep its files in the same folder at both ends; nothing was stopped")
    }
  }

  private func make(_ definition: ContainerDefinition, _ image: String) throws -> String {
    let engine = try provider.engine()
    let run = context.run
    try engine.removeContainer(stagedName, andAnonymousVolumes: true)
    let body = try definition.body(image: image) { other in
      guard let container = try engine.container(other, madeBy: run) else {
        throw FerryError(
          .precondition, "\(name) is to share a namespace with the container \(other), and there is none here",
          hint: "move \(other) as well, with an item before this one (`after`)")
      }
      return container.id
    }
    if provider.kind == .podman {
      return try engine.createPodmanContainer(PodmanSpec.made(of: definition, body, name: stagedName))
    }
    let id = try engine.createContainer(stagedName, body)
    for other in definition.endpoints where other != definition.first { try engine.connect(id, to: other.network, other.body) }
    return id
  }

  func state(_ request: DigestRequest) throws -> (ContainerDefinition, EngineImage) {
    let record = try ContainerRecord.read(context)
    let container: EngineContainer
    if let id = record?.container, let made = try provider.engine().container(id) {
      container = made
    } else if request.target == .active {
      container = try provider.container(name)
    } else {
      throw FerryError(.precondition, "nothing was received yet")
    }
    let image = try provider.image(container)
    var definition = try provider.definition(container, image)
    // Switched off while a service is held.
    if request.target == .active, definition.restartPolicy == nil { definition.restartPolicy = record?.restartPolicy }
    return (definition, image)
  }

  /// The container that this run made.
  private func made(_ record: ContainerRecord?) throws -> EngineContainer? {
    try provider.engine().container(record?.container ?? stagedName)
  }

  private var asideName: String { "\(name).replaced-\(context.run)" }

  func activate() throws {
    guard var record = try ContainerRecord.read(context), let container = try made(record) else {
      throw FerryError(.precondition, "nothing was received yet")
    }
    if container.name == name { return }
    let engine = try provider.engine()
    if let existing = try engine.container(name), existing.id != container.id {
      try refuse(existing)
      guard !existing.isRunning else {
        throw FerryError(
          .precondition, "the container \(name) runs, and another is to have its name", hint: "list it under `services`, or stop it")
      }
      record.replaced = existing.id
      try record.write(context)
      try engine.rename(existing.id, to: asideName)
    }
    try engine.rename(container.id, to: name)
  }

  func deactivate() throws {
    guard let record = try ContainerRecord.read(context) else { return }
    let engine = try provider.engine()
    if let container = try made(record), container.name == name { try engine.rename(container.id, to: stagedName) }
    if let replaced = record.replaced, let container = try engine.container(replaced), container.name != name {
      try engine.rename(container.id, to: name)
    }
  }

  func discard() throws {
    guard let record = try ContainerRecord.read(context) else { return }
    try deactivate()
    let engine = try provider.engine()
    if let container = try made(record) { try engine.removeContainer(container.id, andAnonymousVolumes: true) }
    try ContainerFooting(provider: provider).remove(record)
    try ContainerRecord.forget(context)
  }

  func release() throws {
    guard let record = try ContainerRecord.read(context), let replaced = record.replaced else { return }
    let engine = try provider.engine()
    if let container = try engine.container(replaced), container.name == asideName { try engine.removeContainer(container.id) }
  }
}
