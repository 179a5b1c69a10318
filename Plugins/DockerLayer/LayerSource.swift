import FerryEngineKit
import Glibc

/// transfer-state.
struct LayerSource {
  let provider: LayerProvider
  private var context: ProviderContext { provider.context }
  private var name: String { provider.config.endpoint.container }

  func check(_ target: TargetAbilities?) throws -> CheckReport {
    try provider.report { report, engine in
      let container = try provider.container(name)
      do {
        let (folder, owners) = try folder(container)
        let count = try TreeCount(root: folder, cancellation: context.cancellation)
        var options = provider.trees.serving(TreeOptions(form: .own))
        options.owners = owners
        report.notices += try target?.notices(for: folder, options, as: "the layer") ?? []
        report.bytes = count.bytes
        report.entries = count.entries
      } catch let error as FerryError where error.class == .unsupported {
        try requireRoot(error)
        report.entries = Int64(try engine.changes(of: container.id).count)
        report.notices.append(
          .init(
            .warning, "the layer is read through the engine, whole for each pass, and \(LayerMirror.losses): \(error.message)",
            hint: "it takes room for the layer in Ferry's own folder at the source"))
      }
      if report.entries == 0, provider.config.allowEmpty != true {
        report.notices.append(
          .init(
            .error, "the container \(name) has changed nothing over its image",
            hint: "its volumes are moved with \(provider.kind.rawValue)-volume; if its layer may be empty, say `allow-empty: true`"))
      }
      for mount in container.mounts {
        report.notices.append(
          .init(
            .warning, "what is mounted at \(mount.destination) is not part of the layer",
            hint: mount.type == "volume"
              ? "move the volume \(mount.name ?? "") with \(provider.kind.rawValue)-volume"
              : "move it with `provider: tree` if it is needed"))
      }
    }
  }

  /// The folder of the container's layer; `unsupported` if it has to be read through the engine.
  private func folder(_ container: EngineContainer) throws -> (String, LayerOwners?) {
    guard let store = try LayerStore.find(provider) else {
      throw provider.outOfReach("the layer of \(container.name)", try provider.engine())
    }
    if store.isWhole {
      throw FerryError(.unsupported, "the storage driver 'vfs' keeps whole file systems, and no layer of \(container.name)")
    }
    let folder = try store.folder(of: container)
    try refuseReferences(folder)
    return (folder, store.owners)
  }

  private func refuseReferences(_ folder: String) throws {
    if let path = try LayerFolder.reference(in: folder, context.cancellation) { throw pointing(path) }
  }

  private func pointing(_ what: String) -> FerryError {
    FerryError(
      .unsupported, "the layer of \(name) only points at what is in its image: \(what)",
      hint: "it was mounted with redirect_dir=on or metacopy=on")
  }

  /// Deletions are device files, and a mark on a folder is an attribute that only root may set.
  private func requireRoot(_ cause: FerryError) throws { if geteuid() != 0 { throw cause } }

  func prepare(_ offer: Offer) throws {
    if try LayerRecord.read(context) != nil { return }
    let form = try offer.decode(LayerOffer.self).form.common(with: .own)
    let container = try provider.container(name)
    var record = LayerRecord(form: form, container: container.id, folder: "")
    do { (record.folder, record.owners) = try folder(container) } catch let error as FerryError where error.class == .unsupported {
      try requireRoot(error)
      record.folder = "\(context.temporaryFolder)/layer"
      record.isMirror = true
      try fetch(record)
    }
    guard provider.config.allowEmpty == true || !Files.names(in: record.folder).isEmpty else {
      throw FerryError(
        .precondition, "the container \(name) has changed nothing over its image", hint: "if that may be, say `allow-empty: true`")
    }
    try record.write(context)
  }

  private func fetch(_ record: LayerRecord) throws {
    try LayerMirror(engine: provider.engine(), container: record.container, folder: record.folder)
      .fetch(provider.trees.serving(TreeOptions(form: record.form)))
  }

  private func record() throws -> LayerRecord {
    guard let record = try LayerRecord.read(context) else { throw FerryError(.internal, "the call came before `prepare`") }
    guard Files.isFolder(record.folder) else {
      throw FerryError(
        .notFound, "the layer of \(name) is gone: there is no \(record.folder)", hint: "was the container removed or made anew?")
    }
    return record
  }

  func digest(_ request: DigestRequest) throws -> TreeDigest.Result {
    let record = try record()
    // All is read again: from the container, not from the copy.
    if record.isMirror, request.isFull { try fetch(record) }
    return try tree(record).digest(request, listing: request.listing)
  }

  /// What is written through an overlay shows in the layer's folder, where the kernel tells of it. A copy is made anew for each pass: all of it has
  /// changed.
  private func tree(_ record: LayerRecord) throws -> TrackedTree {
    var options = TreeOptions(form: record.form)
    options.refused = LayerFolder.references
    options.owners = record.owners
    let tree = try provider.trees.source(at: record.folder, options)
    tree.isTracked = !record.isMirror && provider.config.track != false && provider.hearsWrites()
    return tree
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let record = try record()
    let container = try provider.container(record.container)
    if record.isMirror { try fetch(record) }
    let greeting = LayerGreeting(
      form: record.form, base: try provider.base(container), image: container.json["Config"]?["Image"]?.string ?? container.image,
      definition: ContainerDefinition(container))
    try context.tell(greeting, on: pass.channel)
    _ = try context.hear(LayerReady.self, on: pass.channel)
    do { return PassReport(sent: try tree(record).send(pass), isFinal: pass.isFinal) } catch let error as FerryError
      where error.code == TreeSender.refusedAttribute
    { throw pointing(error.message) }
  }

  /// Removes the container, and with it its layer. Its volumes are not the layer's.
  func retire() throws {
    if let record = try LayerRecord.read(context) { try provider.retire(record.container) }
  }
}
