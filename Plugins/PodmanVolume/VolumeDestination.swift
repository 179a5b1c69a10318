import FerryEngineKit
import Glibc

/// receive-state.
///
/// A volume's name cannot be changed, so a new one is made under its real name with nothing in it, and its content is received in a folder beside
/// its data folder; `activate` exchanges the two. Where the data folder is out of reach, see `VolumeDestination+Mirror`.
struct VolumeDestination {
  let provider: VolumeProvider
  var context: ProviderContext { provider.context }
  private var config: VolumeConfig { provider.config }

  func prepare() throws -> Offer {
    let root = try provider.engine().info.root
    let form =
      switch try provider.reach(root) {
      case .direct: try FileSystemProbe.form(in: root)
      case .throughEngine: DistantFolder.form(try FileSystemProbe.form(in: context.temporaryFolder), provider.kind)
      }
    return Offer(.private, try JSONValue(encoding: VolumeOffer(form: form)).object ?? [:])
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    guard let offered = try pass.offer?.decode(VolumeOffer.self) else { throw FerryError(.internal, "the pass came without an offer") }
    let list = try context.hear(VolumeWire.List.self, on: channel)
    var record = try prepared(list, offered.form.common(with: list.form))
    try context.tell(VolumeWire.Names(names: record.entries.map(\.name)), on: channel)
    var report = TreeReport()
    for (index, entry) in record.entries.enumerated() {
      guard let root = try root(entry, index, .staged) else { continue }
      let receiver = try receiver(entry, index, root, record.form)
      report += try receiver.receive(TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels)
      let mine = VolumeWire.Turn(done: entry.moved.volume.name)
      guard try context.hear(VolumeWire.Turn.self, on: channel) == mine else { throw FerryError(.peer, "the source is at another volume") }
      try context.tell(mine, on: channel)
      if entry.isMirror, pass.isFinal { try store(&record, index) }
    }
    return PassReport(received: report)
  }

  /// Where a volume's content is; nil if only its definition is moved.
  private func root(_ entry: VolumeRecord.Entry, _ index: Int, _ target: DigestRequest.Target) throws -> String? {
    if entry.isMirror { return try target == .active ? provable(entry.name, index) : mirror(entry.name, index).root }
    return try staged(entry, index)?.current(active: target == .active)
  }

  private func receiver(_ entry: VolumeRecord.Entry, _ index: Int, _ root: String, _ form: TreeForm) throws -> TreeReceiver {
    var options = TreeOptions(form: form)
    options.owners = entry.owners
    return try provider.trees.receiver(index, at: root, options)
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
    guard case .direct = try provider.reach(existing.mountpoint), let folder = existing.mountpoint else { throw Self.isThere(entry.name) }
    guard config.replace == true || Files.names(in: folder).isEmpty else { throw VolumeCheck.exists(entry.name) }
  }

  private func make(_ record: inout VolumeRecord, _ index: Int) throws {
    let entry = record.entries[index]
    guard entry.moved.storedElsewhere == nil else { return try record.write(context) }
    let engine = try provider.engine()
    if entry.folder == nil, !entry.isMirror {
      if try engine.volume(entry.name) == nil {
        // Written down first: what is made afterwards is known to be ours.
        record.entries[index].isOurs = true
        try record.write(context)
        try engine.create(definition(entry))
      }
      guard let made = try engine.volume(entry.name) else {
        throw FerryError(.conflict, "the volume \(entry.name) was made and is gone", hint: "does somebody prune volumes?")
      }
      switch try provider.reach(made.mountpoint) {
      case .direct(let owners): (record.entries[index].folder, record.entries[index].owners) = (made.mountpoint, owners)
      case .throughEngine: record.entries[index].isMirror = true
      }
    }
    try record.write(context)
    if record.entries[index].isMirror { try Files.makeFolder(mirror(entry.name, index).root) }
    try staged(record.entries[index], index)?.prepare()
  }

  /// As at the source, under its new name.
  func definition(_ entry: VolumeRecord.Entry) -> EngineVolume {
    var volume = entry.moved.volume
    volume.name = entry.name
    volume.labels?["com.docker.volume.anonymous"] = nil
    return volume
  }

  private func staged(_ entry: VolumeRecord.Entry, _ index: Int) -> StagedFolder? {
    entry.folder.map { StagedFolder(path: $0, context, key: "received-\(index)") }
  }

  /// The container that is to mount them may exist: how it does is compared with the source.
  private func warnOfMounts(_ list: VolumeWire.List, _ names: [String]) throws {
    guard list.container != nil else { return }
    let engine = try provider.engine()
    let container = try (config.endpoint.volumesFrom ?? list.container).flatMap { try engine.container($0) }
    for (moved, name) in zip(list.volumes, names) {
      for mount in moved.mounts {
        let wanted =
          mount.relabelling != nil
          ? "--volume \(mount.line(name))"
          : "--mount type=volume,src=\(name),dst=\(mount.destination)\(mount.isWritable ? "" : ",readonly")"
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
        // What is read again is what the engine has, not the copy.
        let isStored = entry.storing == .done && request.isFull && DistantFolder.tellsOwners(provider.kind)
        guard let root = try root(entry, index, isStored ? .active : request.target) else {
          // Before `activate` it need not be there.
          return digest.definition(entry.name, try provider.engine().volume(entry.name) ?? entry.moved.volume)
        }
        let receiver = try receiver(entry, index, root, record.form)
        return try digest.part(entry.name, index) { try receiver.digest(request, listing: $0) }
      })
  }

  /// What is there under the names that the manifest gives, for a process that knows nothing of the run.
  private func strangersDigest(_ digest: VolumeDigest) throws -> DigestReport {
    guard digest.request.target == .active else { throw FerryError(.precondition, "nothing was received yet") }
    let endpoint = config.endpoint
    guard endpoint.given != nil || endpoint.label != nil || endpoint.volumesFrom != nil else {
      throw FerryError(.precondition, "the run's memory is gone and `to` names no volumes", hint: "name them with `to.volumes`")
    }
    let volumes = try VolumeSelection(provider: provider).resolve()
    let form = try digest.request.offer?.decode(VolumeOffer.self).form ?? .own
    return try digest.report(
      try volumes.enumerated().map { index, moved in
        guard moved.storedElsewhere == nil else { return digest.definition(moved.volume.name, moved.volume) }
        let name = moved.volume.name
        var options = TreeOptions(form: form)
        let root: String
        switch try provider.reach(moved.volume.mountpoint) {
        case .direct(let owners): (root, options.owners) = (moved.volume.mountpoint ?? "", owners)
        case .throughEngine: root = try provable(name, index)
        }
        let receiver = try provider.trees.receiver(index, at: root, options)
        return try digest.part(name, index) { try receiver.digest(digest.request, listing: $0) }
      })
  }

  func activate() throws {
    guard let record = try VolumeRecord.read(context) else { throw FerryError(.precondition, "nothing was received yet") }
    let engine = try provider.engine()
    for entry in record.entries {
      if entry.isMirror, entry.storing != .done {
        throw FerryError(.precondition, "the volume \(entry.name) does not hold all that was received", hint: "resume the run")
      }
      // What runs keeps the folder that it was started with: it would write into the old content.
      if let user = try engine.containers(using: entry.name).first(where: \.isRunning) {
        throw FerryError(
          .precondition, "the container \(user.name) runs with the volume \(entry.name)", hint: "list it under `services`, or stop it")
      }
    }
    for (index, entry) in record.entries.enumerated() {
      if let staged = staged(entry, index) {
        try staged.activate()
      } else if entry.isMirror {
        continue
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
