import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// receive-state.
///
/// A volume's name cannot be changed, so a new one is made under its real name with nothing in it, and its content is received in a folder beside
/// its data folder; `activate` exchanges the two.
struct VolumeDestination {
  let provider: VolumeProvider
  private var context: ProviderContext { provider.context }
  private var config: VolumeConfig { provider.config }

  func prepare() throws -> Offer {
    let engine = try provider.engine()
    guard engine.sharesFiles else { throw VolumeCheck.outOfReach("any volume", engine) }
    let form = try FileSystemProbe.form(in: engine.info.root)
    return Offer(.private, try JSONValue(encoding: VolumeOffer(form: form)).object ?? [:])
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    guard let offered = try pass.offer?.decode(VolumeOffer.self) else { throw FerryError(.internal, "the pass came without an offer") }
    let list = try context.hear(VolumeWire.List.self, on: channel)
    let record = try prepared(list, offered.form.common(with: list.form))
    try context.tell(VolumeWire.Names(names: record.entries.map(\.name)), on: channel)
    var report = PassReport(bytes: 0, entries: 0)
    for (index, entry) in record.entries.enumerated() {
      guard let staged = staged(entry, index) else { continue }
      let receiver = try provider.receiver(index, staged.staged(), record.form)
      let received = try receiver.receive(TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels)
      report.bytes += received.bytes
      report.entries += received.entries
      let mine = VolumeWire.Turn(done: entry.moved.volume.name)
      guard try context.hear(VolumeWire.Turn.self, on: channel) == mine else { throw FerryError(.peer, "the source is at another volume") }
      try context.tell(mine, on: channel)
    }
    return report
  }

  /// What this run knows of its volumes, with a place to receive each. The first pass makes them.
  private func prepared(_ list: VolumeWire.List, _ form: TreeForm) throws -> VolumeRecord {
    let names = try VolumeNaming(endpoint: config.endpoint).names(list)
    var record = try VolumeRecord.read(context) ?? VolumeRecord(form: form, entries: [])
    guard record.entries.isEmpty || record.entries.map(\.moved) == list.volumes else {
      throw FerryError(.peer, "the source speaks of other volumes than before", hint: "roll the run back and start anew")
    }
    record.form = form
    if record.entries.isEmpty {
      // All are looked at before the first is made.
      record.entries = zip(list.volumes, names).map { VolumeRecord.Entry(moved: $0, name: $1) }
      for entry in record.entries { try refuse(entry) }
      try warnOfMounts(list, names)
    }
    for index in record.entries.indices { try make(&record, index) }
    return record
  }

  /// Throws if what is there is in the way.
  private func refuse(_ entry: VolumeRecord.Entry) throws {
    let engine = try provider.engine()
    guard let existing = try engine.volume(entry.name) else { return }
    if entry.moved.storedElsewhere != nil {
      guard existing.definition == entry.moved.volume.definition else {
        throw FerryError(
          .conflict, "the volume \(entry.name) exists with another driver or other options than at the source",
          hint: "compare `\(engine.kind.rawValue) volume inspect \(entry.name)` at both ends; nothing was changed")
      }
      return
    }
    if let reason = existing.storedElsewhere {
      throw FerryError(.conflict, "nothing is written into the volume \(entry.name): \(reason)", hint: "choose another name with `to`")
    }
    guard let folder = existing.mountpoint, Files.isFolder(folder) else { throw VolumeCheck.outOfReach(entry.name, engine) }
    guard config.replace == true || Files.names(in: folder).isEmpty else { throw VolumeCheck.exists(entry.name) }
  }

  private func make(_ record: inout VolumeRecord, _ index: Int) throws {
    let entry = record.entries[index]
    guard entry.moved.storedElsewhere == nil else { return try record.write(context) }
    let engine = try provider.engine()
    if entry.folder == nil {
      if try engine.volume(entry.name) == nil {
        // Written down first: what is made afterwards is known to be ours.
        record.entries[index].isOurs = true
        try record.write(context)
        try engine.create(definition(entry))
      }
      guard let made = try engine.volume(entry.name), let folder = made.mountpoint, engine.sharesFiles, Files.isFolder(folder) else {
        throw VolumeCheck.outOfReach(entry.name, engine)
      }
      record.entries[index].folder = folder
    }
    try record.write(context)
    try staged(record.entries[index], index)?.prepare()
  }

  /// As at the source, under its new name.
  private func definition(_ entry: VolumeRecord.Entry) -> EngineVolume {
    var volume = entry.moved.volume
    volume.name = entry.name
    volume.labels?["com.docker.volume.anonymous"] = nil
    return volume
  }

  private func staged(_ entry: VolumeRecord.Entry, _ index: Int) -> StagedFolder? {
    guard let folder = entry.folder else { return nil }
    let (kv, key) = (context.kv, "received-\(index)")
    return StagedFolder(
      path: folder, run: context.run, memory: .init(get: { try kv.get(key) }, put: { try kv.put(key, $0) }))
  }

  /// The container that is to mount them may exist: how it does is compared with the source.
  private func warnOfMounts(_ list: VolumeWire.List, _ names: [String]) throws {
    guard list.container != nil else { return }
    let engine = try provider.engine()
    let container = try (config.endpoint.volumesFrom ?? list.container).flatMap { try engine.container($0) }
    for (moved, name) in zip(list.volumes, names) {
      for mount in moved.mounts {
        let wanted = "--mount type=volume,src=\(name),dst=\(mount.destination)\(mount.isWritable ? "" : ",readonly")"
        guard let container else {
          context.log(.info, "\(moved.volume.name) becomes \(name); a container mounts it with \(wanted)")
          continue
        }
        let found = container.mounts.first { $0.destination == mount.destination }
        if found?.name != name || found?.isWritable != mount.isWritable {
          context.log(
            .warning,
            "the container \(container.name) does not mount \(name) at \(mount.destination) as at the source; make it with \(wanted)")
        }
      }
    }
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let digest = VolumeDigest(request: request, folder: context.temporaryFolder)
    guard let record = try VolumeRecord.read(context) else { return try strangersDigest(digest) }
    return try digest.report(
      try record.entries.enumerated().map { index, entry in
        guard let staged = staged(entry, index) else {
          // Before `activate` it need not be there.
          return digest.definition(entry.name, try provider.engine().volume(entry.name) ?? entry.moved.volume)
        }
        let isActive = try request.target == .active || staged.isActive()
        guard !isActive else { return try part(digest, entry.name, index, staged.current(active: true), record.form) }
        let receiver = try provider.receiver(index, staged.staged(), record.form)
        return try digest.part(entry.name, index) { try receiver.digest($0, algorithm: $1, listing: $2) }
      })
  }

  /// What is there under the names that the manifest gives, for a process that knows nothing of the run.
  private func strangersDigest(_ digest: VolumeDigest) throws -> DigestReport {
    guard digest.request.target == .active else { throw FerryError(.precondition, "nothing was received yet") }
    let endpoint = config.endpoint
    guard endpoint.given != nil || endpoint.label != nil || endpoint.volumesFrom != nil else {
      throw FerryError(.precondition, "the run's memory is gone and `to` names no volumes", hint: "name them with `to.volumes`")
    }
    let volumes = try VolumeSelection(engine: provider.engine(), endpoint: endpoint).resolve()
    let form = try digest.request.offer?.decode(VolumeOffer.self).form ?? .own
    return try digest.report(
      try volumes.enumerated().map { index, moved in
        guard moved.storedElsewhere == nil else { return digest.definition(moved.volume.name, moved.volume) }
        guard let root = moved.volume.mountpoint else { throw VolumeCheck.outOfReach(moved.volume.name, try provider.engine()) }
        return try part(digest, moved.volume.name, index, root, form)
      })
  }

  private func part(_ digest: VolumeDigest, _ name: String, _ index: Int, _ root: String, _ form: TreeForm) throws -> TreeDigest.Part {
    let receiver = try TreeReceiver(root: root, state: provider.state(index), options: provider.treeOptions(form))
    return try digest.part(name, index) { try receiver.digest($0, algorithm: $1, listing: $2) }
  }

  func activate() throws {
    guard let record = try VolumeRecord.read(context) else { throw FerryError(.precondition, "nothing was received yet") }
    let engine = try provider.engine()
    for entry in record.entries {
      // What runs keeps the folder that it was started with: it would write into the old content.
      if let user = try engine.containers(using: entry.name).first(where: \.isRunning) {
        throw FerryError(
          .precondition, "the container \(user.name) runs with the volume \(entry.name)", hint: "list it under `services`, or stop it")
      }
    }
    for (index, entry) in record.entries.enumerated() {
      if let staged = staged(entry, index) {
        try staged.activate()
      } else if try engine.volume(entry.name) == nil {
        try engine.create(definition(entry))
        context.log(
          .info, "the volume \(entry.name) is defined as at the source; its content is where it was: \(entry.moved.storedElsewhere ?? "")")
      }
    }
  }

  func deactivate() throws {
    guard let record = try VolumeRecord.read(context) else { return }
    for (index, entry) in record.entries.enumerated().reversed() { try staged(entry, index)?.deactivate() }
  }

  func discard() throws {
    guard var record = try VolumeRecord.read(context) else { return }
    for (index, entry) in record.entries.enumerated().reversed() {
      try staged(entry, index)?.discard()
      if entry.isOurs, entry.moved.storedElsewhere == nil {
        try provider.engine().removeVolume(entry.name)
        record.entries[index].isOurs = false
        record.entries[index].folder = nil
        try record.write(context)
      }
    }
    try VolumeRecord.forget(context)
  }

  func release() throws {
    guard let record = try VolumeRecord.read(context) else { return }
    for (index, entry) in record.entries.enumerated() { try staged(entry, index)?.release() }
  }
}
