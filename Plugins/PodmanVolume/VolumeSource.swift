import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// transfer-state.
struct VolumeSource {
  let provider: VolumeProvider
  private var context: ProviderContext { provider.context }

  func prepare(_ offer: Offer) throws {
    if try VolumeRecord.read(context) != nil { return }
    let form = try offer.decode(VolumeOffer.self).form.common(with: .own)
    let volumes = try VolumeSelection(engine: provider.engine(), endpoint: provider.config.endpoint).resolve()
    let entries = try volumes.enumerated().map { index, moved in
      var entry = VolumeRecord.Entry(moved: moved, name: moved.volume.name)
      entry.isMirror = try moved.storedElsewhere == nil && !isWithinReach(moved.volume)
      if entry.isMirror { try mirror(entry, index).fetch(provider.treeOptions(form)) }
      try refuseEmpty(entry, index, isOne: volumes.count == 1)
      return entry
    }
    try VolumeRecord(form: form, entries: entries).write(context)
  }

  func isWithinReach(_ volume: EngineVolume) throws -> Bool {
    try provider.engine().sharesFiles && volume.mountpoint.map { Files.isFolder($0) } == true
  }

  private func mirror(_ entry: VolumeRecord.Entry, _ index: Int) throws -> VolumeMirror {
    VolumeMirror(engine: try provider.engine(), volume: entry.moved.volume.name, folder: "\(context.temporaryFolder)/mirror-\(index)")
  }

  private func refuseEmpty(_ entry: VolumeRecord.Entry, _ index: Int, isOne: Bool) throws {
    guard isOne, provider.config.allowEmpty != true, let folder = try folder(entry, index), Files.names(in: folder).isEmpty else { return }
    throw FerryError(
      .precondition, "the volume \(entry.moved.volume.name) is empty",
      hint: "is it the right one? If it may be empty, say `allow-empty: true`")
  }

  /// The folder with a volume's content; nil if only its definition is moved.
  private func folder(_ entry: VolumeRecord.Entry, _ index: Int) throws -> String? {
    guard entry.moved.storedElsewhere == nil else { return nil }
    if entry.isMirror { return try mirror(entry, index).root }
    guard let folder = entry.moved.volume.mountpoint, Files.isFolder(folder) else {
      throw FerryError(
        .notFound, "the volume \(entry.moved.volume.name) is gone", hint: "\(provider.kind.rawValue) volume ls lists what there is")
    }
    return folder
  }

  private func record() throws -> VolumeRecord {
    guard let record = try VolumeRecord.read(context) else { throw FerryError(.internal, "the pass came before `prepare`") }
    return record
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    var record = try record()
    let channel = try pass.channel
    try context.tell(
      VolumeWire.List(form: record.form, volumes: record.entries.map(\.moved), container: provider.config.endpoint.volumesFrom), on: channel
    )
    let names = try context.hear(VolumeWire.Names.self, on: channel).names
    guard names.count == record.entries.count else { throw FerryError(.peer, "the destination names \(names.count) volumes") }
    for (index, name) in names.enumerated() { record.entries[index].name = name }
    try record.write(context)
    var report = PassReport(bytes: 0, entries: 0, changed: 0, vanished: 0, unread: [])
    for (index, entry) in record.entries.enumerated() {
      if entry.isMirror { try mirror(entry, index).fetch(provider.treeOptions(record.form)) }
      guard let folder = try folder(entry, index) else { continue }
      let sent = try provider.sender(index, folder, record.form).send(
        TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels)
      report.bytes += sent.bytes
      report.entries += sent.entries
      report.changed? += sent.changed
      report.vanished? += sent.vanished
      report.unread? += sent.unread
      try turn(entry, channel)
    }
    return report
  }

  private func turn(_ entry: VolumeRecord.Entry, _ channel: Int32) throws {
    let mine = VolumeWire.Turn(done: entry.moved.volume.name)
    try context.tell(mine, on: channel)
    guard try context.hear(VolumeWire.Turn.self, on: channel) == mine else {
      throw FerryError(.peer, "the destination is at another volume")
    }
  }

  func digest(_ request: DigestRequest) throws -> DigestReport {
    let record = try record()
    let digest = VolumeDigest(request: request, folder: context.temporaryFolder)
    return try digest.report(
      try record.entries.enumerated().map { index, entry in
        // All is read again: from the volume, not from the copy.
        if entry.isMirror, request.isFull { try mirror(entry, index).fetch(provider.treeOptions(record.form)) }
        guard let folder = try folder(entry, index) else { return digest.definition(entry.name, entry.moved.volume) }
        let sender = try provider.sender(index, folder, record.form)
        return try digest.part(entry.name, index) { try sender.digest($0, algorithm: $1, listing: $2) }
      })
  }

  /// Removes what was moved. Content that is stored elsewhere is nobody's to remove.
  func retire() throws {
    guard let record = try VolumeRecord.read(context) else {
      throw FerryError(.precondition, "nothing is known of what was moved; nothing was removed")
    }
    let engine = try provider.engine()
    for entry in record.entries {
      let name = entry.moved.volume.name
      guard let volume = try engine.volume(name) else { continue }
      if let reason = entry.moved.storedElsewhere ?? volume.storedElsewhere {
        context.log(.info, "the volume \(name) is left as it is: \(reason)")
        continue
      }
      do { try engine.removeVolume(name) } catch let error as FerryError where error.class == .conflict || error.class == .io {
        // A container that is down still has it: what was moved goes, the name stays for whoever removes the container.
        try empty(volume, engine, error)
      }
    }
  }

  private func empty(_ volume: EngineVolume, _ engine: ContainerEngine, _ error: FerryError) throws {
    let users = try engine.containers(using: volume.name)
    guard !users.isEmpty else { throw error }
    if let running = users.first(where: \.isRunning) {
      throw FerryError(
        .conflict, "the container \(running.name) runs with the volume \(volume.name), which is not removed", hint: "stop it")
    }
    guard try isWithinReach(volume), let folder = volume.mountpoint else { throw error }
    try TreeRemoval.remove(folder, selection: nil, keepingRoot: true)
    context.log(
      .warning, "the volume \(volume.name) is empty now; it goes once the container \(users.map(\.name).joined(separator: ", ")) is removed"
    )
  }
}
