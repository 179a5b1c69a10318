import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// transfer-state.
struct LayerSource {
  let provider: LayerProvider
  private var context: ProviderContext { provider.context }
  private var name: String { provider.config.endpoint.container }

  func check() throws -> CheckReport {
    try provider.report { report, engine in
      let container = try provider.container(name)
      let folder = try LayerFolder.find(container, engine)
      try refuseReferences(folder)
      let count = try TreeCount(root: folder, cancellation: context.cancellation)
      report.bytes = count.bytes
      report.entries = count.entries
      if count.entries == 0, provider.config.allowEmpty != true {
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

  private func refuseReferences(_ folder: String) throws {
    guard let path = try LayerFolder.reference(in: folder, context.cancellation) else { return }
    throw FerryError(
      .unsupported, "the layer of \(name) only points at what is in its image: \(path)",
      hint: "it was mounted with redirect_dir=on or metacopy=on; copy that folder inside the container to make it whole")
  }

  func prepare(_ offer: Offer) throws {
    if try LayerRecord.read(context) != nil { return }
    let form = try offer.decode(LayerOffer.self).form.common(with: .own)
    let container = try provider.container(name)
    let folder = try LayerFolder.find(container, provider.engine())
    guard provider.config.allowEmpty == true || !Files.names(in: folder).isEmpty else {
      throw FerryError(
        .precondition, "the container \(name) has changed nothing over its image", hint: "if that may be, say `allow-empty: true`")
    }
    try LayerRecord(form: form, container: container.id, folder: folder).write(context)
  }

  private func record() throws -> LayerRecord {
    guard let record = try LayerRecord.read(context) else { throw FerryError(.internal, "the call came before `prepare`") }
    guard Files.isFolder(record.folder) else {
      throw FerryError(
        .notFound, "the layer of \(name) is gone: there is no \(record.folder)", hint: "was the container removed or made anew?")
    }
    return record
  }

  func sender() throws -> TreeSender {
    let record = try record()
    return try TreeSender(root: record.folder, state: provider.state, options: provider.treeOptions(record.form))
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let record = try record()
    let container = try provider.container(record.container)
    if pass.isFirst || pass.isFinal { try refuseReferences(record.folder) }
    let greeting = LayerGreeting(
      form: record.form, base: try provider.base(container), image: container.json["Config"]?["Image"]?.string ?? container.image,
      definition: ContainerDefinition(container))
    try context.tell(greeting, on: pass.channel)
    _ = try context.hear(LayerReady.self, on: pass.channel)
    let sent = try sender().send(TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels)
    return PassReport(bytes: sent.bytes, entries: sent.entries, changed: sent.changed, vanished: sent.vanished, unread: sent.unread)
  }

  /// Removes the container, and with it its layer. Its volumes are not the layer's.
  func retire() throws {
    let engine = try provider.engine()
    guard let record = try LayerRecord.read(context), let container = try engine.container(record.container) else { return }
    guard !container.isRunning else {
      throw FerryError(.precondition, "the container \(container.name) runs and is not removed", hint: "stop it")
    }
    try engine.removeContainer(container.id)
  }
}
