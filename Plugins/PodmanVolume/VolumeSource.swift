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
    for moved in volumes { _ = try content(moved, mayBeEmpty: provider.config.allowEmpty == true || volumes.count > 1) }
    try VolumeRecord(form: form, entries: volumes.map { VolumeRecord.Entry(moved: $0, name: $0.volume.name) }).write(context)
  }

  /// The folder with a volume's content; nil if only its definition is moved.
  func content(_ moved: MovedVolume, mayBeEmpty: Bool = true) throws -> String? {
    guard moved.storedElsewhere == nil else { return nil }
    let engine = try provider.engine()
    guard engine.sharesFiles, let folder = moved.volume.mountpoint, Files.isFolder(folder) else {
      if try engine.volume(moved.volume.name) == nil {
        throw FerryError(
          .notFound, "the volume \(moved.volume.name) is gone", hint: "\(engine.kind.rawValue) volume ls lists what there is")
      }
      throw VolumeCheck.outOfReach(moved.volume.name, engine)
    }
    guard mayBeEmpty || !Files.names(in: folder).isEmpty else {
      throw FerryError(
        .precondition, "the volume \(moved.volume.name) is empty", hint: "is it the right one? If it may be empty, say `allow-empty: true`")
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
      guard let folder = try content(entry.moved) else { continue }
      let sender = try TreeSender(root: folder, state: provider.state(index), options: provider.treeOptions(record.form))
      let sent = try sender.send(TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels)
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
        guard let folder = try content(entry.moved) else { return digest.definition(entry.name, entry.moved.volume) }
        let sender = try TreeSender(root: folder, state: provider.state(index), options: provider.treeOptions(record.form))
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
    guard let folder = try content(MovedVolume(volume: volume, mounts: [])) else { return }
    try TreeRemoval.remove(folder, selection: nil, keepingRoot: true)
    context.log(
      .warning, "the volume \(volume.name) is empty now; it goes once the container \(users.map(\.name).joined(separator: ", ")) is removed"
    )
  }
}
