import FerryEngineKit
import Glibc

/// receive-state. The layer is received in a folder beside the target's own; `activate` exchanges the two while nobody has the target mounted.
struct LayerDestination {
  let provider: LayerProvider
  private var context: ProviderContext { provider.context }
  private var config: LayerConfig { provider.config }
  private var endpoint: LayerConfig.Endpoint { provider.config.endpoint }

  func check() throws -> CheckReport {
    try provider.report { report, engine in
      let store = try store(engine)
      let isDirect = store != nil
      let place = isDirect ? engine.info.root : context.temporaryFolder
      // A copy, and what is read back to prove it.
      report.room = Files.room(in: place).map { isDirect ? $0 : $0 / 2 }
      let target = try isDirect ? TargetAbilities(in: place).limited(by: store?.owners?.ids) : distantAbilities()
      report.abilities = try JSONValue(encoding: target)
      var form = try FileSystemProbe.form(in: place)
      // The only loss that leaves a layer what it is.
      form.fractions = true
      if !form.losses.isEmpty {
        report.notices.append(
          .init(.error, "\(form.losses.joined(separator: ", ")) cannot be kept on the file system of \(place), and a layer needs them"))
      }
      if !isDirect {
        report.notices.append(
          .init(
            .warning,
            "the layer is written through the engine, whole in the final pass while nothing serves, and \(DistantFolder.losses(withOwners: false))",
            hint: "it takes room for the layer in Ferry's own folder at the destination; beside the engine, as root, neither is so"))
      }
      if endpoint.madeBy != nil { return }
      if let container = try engine.container(endpoint.container) {
        guard let store else { throw Self.isThere(container.name) }
        _ = try store.folder(of: container)
        try refuseChanged(container)
        if container.isRunning {
          report.notices.append(
            .init(
              .warning, "the container \(container.name) runs; it has to be down when its layer is exchanged",
              hint: "list it under `services`, or stop it"))
        }
      } else if let image = endpoint.image {
        guard try engine.image(image) != nil else { throw noImage(image) }
      } else {
        throw noContainer()
      }
    }
  }

  /// Where what is received can be put beside the layer; nil if it goes through the engine.
  private func store(_ engine: ContainerEngine) throws -> LayerStore? {
    if let store = try LayerStore.find(provider) { return store }
    guard DistantLayer.isPossible(engine) else { throw provider.outOfReach("any layer", engine) }
    return nil
  }

  private func distantAbilities() throws -> TargetAbilities {
    try DistantFolder.abilities(
      in: context.temporaryFolder, as: "a layer that is written through the engine", provider.kind, attributes: .layers)
  }

  static func isThere(_ name: String) -> FerryError {
    FerryError(
      .conflict, "the container \(name) exists, and its layer is not within reach, so it could not be given back as it was",
      hint: "remove it and name its image with `to.image`, choose another name, or run Ferry as root beside the engine")
  }

  private func noImage(_ image: String) -> FerryError {
    FerryError(
      .notFound, "\(provider.kind.title) has no image \(image)",
      hint: "\(provider.kind.rawValue) pull \(image), or `\(provider.kind.rawValue) save` at the source and `load` here")
  }

  private func noContainer() -> FerryError {
    if let item = endpoint.madeBy {
      return FerryError(
        .precondition, "the item '\(item)' has not made the container \(endpoint.container)", hint: "name that item in `after`")
    }
    return FerryError(
      .notFound, "\(provider.kind.title) has no container \(endpoint.container)",
      hint: "make it, or name the image to make it from with `to.image`")
  }

  private func refuseChanged(_ container: EngineContainer) throws {
    guard config.replace != true, try !provider.engine().changes(of: container.id).isEmpty else { return }
    throw FerryError(
      .conflict, "the container \(container.name) has changes of its own over its image; nothing was changed",
      hint: "say `replace: true` to replace its layer, which is kept until the run has succeeded")
  }

  func prepare() throws -> Offer {
    let engine = try provider.engine()
    let form = try store(engine) != nil ? FileSystemProbe.form(in: engine.info.root) : distantAbilities().fileSystem.form
    return Offer(.private, try JSONValue(encoding: LayerOffer(form: form)).object ?? [:])
  }

  private func staged(_ record: LayerRecord) -> StagedFolder {
    StagedFolder(path: record.folder, context)
  }

  func receive(_ pass: Pass) throws -> PassReport {
    guard let offered = try pass.offer?.decode(LayerOffer.self) else { throw FerryError(.internal, "the pass came without an offer") }
    let greeting = try context.hear(LayerGreeting.self, on: pass.channel)
    var record = try prepared(greeting, offered.form.common(with: greeting.form))
    try context.tell(LayerReady(container: record.container), on: pass.channel)
    let receiver = try receiver(received(record), record)
    let report = PassReport(received: try receiver.receive(TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels))
    if record.isMirror, pass.isFinal { try store(&record, greeting) }
    if record.isWhole { try build(&record, isFinal: pass.isFinal) }
    return report
  }

  /// Where the layer is received.
  private func received(_ record: LayerRecord) throws -> String {
    if record.isWhole { return WholeLayer.layer(staged(record)) }
    return try record.isMirror ? record.folder : staged(record).staged()
  }

  private func begin(_ record: LayerRecord) throws {
    if !record.isMirror { try staged(record).prepare() }
    if record.isMirror || record.isWhole { try Files.makeFolder(received(record)) }
  }

  private func whole(_ record: LayerRecord) throws -> WholeLayer {
    guard let store = try LayerStore.find(provider) else { throw provider.outOfReach("any layer", try provider.engine()) }
    return WholeLayer(
      image: try store.image(of: provider.container(record.container)), layer: try received(record),
      options: provider.trees.serving(TreeOptions(form: .own)))
  }

  /// The image's content is copied while the service runs.
  private func build(_ record: inout LayerRecord, isFinal: Bool) throws {
    let (whole, folder) = (try whole(record), try staged(record).staged())
    func note(_ storing: LayerRecord.Storing?) throws {
      record.storing = storing
      try record.write(context)
    }
    if record.storing != .image {
      // There is nothing yet, or a layer that was put there before, or a part of one.
      try note(nil)
      try whole.begin(folder)
      try note(.image)
    }
    guard isFinal else { return }
    try note(.begun)
    try whole.apply(folder)
    try note(.done)
  }

  private var copy: String { "\(context.temporaryFolder)/layer" }

  private func store(_ record: inout LayerRecord, _ greeting: LayerGreeting) throws {
    if record.storing != nil {
      // Somebody stopped in the middle, or what was received has changed since: nothing of it can be taken out again.
      guard let made = record.made else {
        throw FerryError(
          .precondition, "the container \(endpoint.container) holds what was received before, and nothing of it can be taken out",
          hint: "roll the run back and start anew")
      }
      try provider.engine().removeContainer(record.container, andAnonymousVolumes: true)
      (record.container, record.made) = (try make(greeting, record.form).id, made)
    }
    record.storing = .begun
    try record.write(context)
    try distant(record).store(provider.trees.serving(TreeOptions(form: record.form)))
    record.storing = .done
    try record.write(context)
  }

  private func distant(_ record: LayerRecord) throws -> DistantLayer {
    DistantLayer(engine: try provider.engine(), container: try provider.container(record.container), copy: copy)
  }

  /// The target, with a place to receive beside its layer. The first pass makes them.
  private func prepared(_ greeting: LayerGreeting, _ form: TreeForm) throws -> LayerRecord {
    if var record = try LayerRecord.read(context), !record.folder.isEmpty {
      record.form = form
      try record.write(context)
      try begin(record)
      return record
    }
    let engine = try provider.engine()
    let found =
      try endpoint.madeBy == nil
      ? engine.container(endpoint.container) : engine.container(ContainerEngine.stagedName(endpoint.container, run: context.run))
    let made = try LayerRecord.read(context)?.made
    let container: EngineContainer
    let store = try store(engine)
    if let found {
      if made == nil {
        if store == nil, endpoint.madeBy == nil { throw Self.isThere(found.name) }
        try refuseChanged(found)
      }
      container = found
    } else {
      container = try make(greeting, form)
    }
    guard try provider.base(container) == greeting.base else {
      throw FerryError(
        .precondition, "the container \(container.name) is made from another image than at the source, where it is \(greeting.image)",
        hint: "a layer means something on its own image only: bring that image here, with its tag or by `save` and `load`")
    }
    var record = LayerRecord(
      form: form, container: container.id, folder: DistantLayer.root(copy), owners: store?.owners, isWhole: store?.isWhole == true,
      isMirror: store == nil, made: found == nil ? endpoint.container : made)
    if let store { record.folder = try store.folder(of: container) }
    try record.write(context)
    try begin(record)
    return record
  }

  private func make(_ greeting: LayerGreeting, _ form: TreeForm) throws -> EngineContainer {
    guard let image = endpoint.image else { throw noContainer() }
    let engine = try provider.engine()
    guard try engine.image(image) != nil else { throw noImage(image) }
    // Written down first: what is made afterwards is known to be ours.
    try LayerRecord(form: form, container: "", folder: "", made: endpoint.container).write(context)
    let id = try engine.createContainer(endpoint.container, greeting.definition.body(image: image, volumes: endpoint.mounts ?? [:]))
    return try provider.container(id)
  }

  func receiver(_ request: DigestRequest) throws -> TreeReceiver {
    if let record = try LayerRecord.read(context), !record.folder.isEmpty {
      guard record.isMirror || record.isWhole else {
        return try receiver(staged(record).current(active: request.target == .active), record)
      }
      // What is read again is what the engine has, not the copy alone.
      if record.storing == .done, request.isFull {
        if record.isWhole {
          try whole(record).prove(staged(record).current(active: request.target == .active))
        } else {
          try distant(record).prove(provider.trees.serving(TreeOptions(form: record.form)))
        }
      }
      return try receiver(received(record), record)
    }
    guard request.target == .active else { throw FerryError(.precondition, "nothing was received yet") }
    // A process that knows nothing of the run: the container that has the name.
    let form = try request.offer?.decode(LayerOffer.self).form ?? .own
    let container = try provider.container(endpoint.container)
    guard let store = try LayerStore.find(provider), !store.isWhole else {
      throw FerryError(.unsupported, "the run's memory is gone, and \(container.name) has no layer that could be looked at alone")
    }
    let folder = try store.folder(of: container)
    return try receiver(folder, LayerRecord(form: form, container: container.id, folder: folder, owners: store.owners))
  }

  private func receiver(_ folder: String, _ record: LayerRecord) throws -> TreeReceiver {
    var options = TreeOptions(form: record.form)
    options.owners = record.owners
    return try provider.trees.receiver(at: folder, options)
  }

  func activate() throws {
    guard let record = try LayerRecord.read(context) else { throw FerryError(.precondition, "nothing was received yet") }
    if record.isMirror {
      if record.storing == .done { return }
      throw incomplete()
    }
    if try staged(record).isActive() { return }
    if record.isWhole, record.storing != .done { throw incomplete() }
    try requireDown(record)
    try staged(record).activate()
  }

  private func incomplete() -> FerryError {
    FerryError(.precondition, "the container \(endpoint.container) does not hold all that was received", hint: "resume the run")
  }

  func deactivate() throws {
    guard let record = try LayerRecord.read(context), !record.folder.isEmpty, !record.isMirror else { return }
    if try staged(record).isActive() { try requireDown(record) }
    try staged(record).deactivate()
  }

  /// The kernel forbids changes below a mounted overlay, and an exchanged folder would not be seen.
  private func requireDown(_ record: LayerRecord) throws {
    let container = try provider.container(record.container)
    if container.isRunning {
      throw FerryError(
        .precondition, "the container \(container.name) runs, and its layer is in use", hint: "list it under `services`, or stop it")
    }
    if try LayerStore.find(provider)?.isMounted(record.folder) == true {
      throw FerryError(
        .retry, "the layer of \(container.name) is mounted: somebody is looking into the stopped container",
        hint: "try again when they have ended")
    }
  }

  func discard() throws {
    guard let record = try LayerRecord.read(context) else { return }
    if !record.folder.isEmpty, !record.isMirror {
      try deactivate()
      try staged(record).release()
    }
    if let made = record.made {
      let name = record.container.isEmpty ? made : record.container
      try provider.engine().removeContainer(name, andAnonymousVolumes: true)
    }
    try LayerRecord.forget(context)
  }

  func release() throws {
    guard let record = try LayerRecord.read(context), !record.folder.isEmpty, !record.isMirror else { return }
    try staged(record).release()
  }
}
