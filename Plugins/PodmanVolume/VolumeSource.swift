import FerryEngineKit
import Glibc

/// transfer-state.
struct VolumeSource {
  let provider: VolumeProvider
  private var context: ProviderContext { provider.context }

  func prepare(_ offer: Offer) throws {
    if try VolumeRecord.read(context) != nil { return }
    var form = try offer.decode(VolumeOffer.self).form.common(with: .own)
    let volumes = try VolumeSelection(provider: provider).resolve()
    let entries = try volumes.map { moved in
      var entry = VolumeRecord.Entry(moved: moved, name: moved.volume.name)
      if moved.storedElsewhere == nil {
        switch try provider.reach(moved.volume.mountpoint) {
        case .direct(let owners): entry.owners = owners
        case .throughEngine: entry.isMirror = true
        }
      }
      return entry
    }
    // What is not told of one volume counts of none.
    if entries.contains(where: \.isMirror), !DistantFolder.tellsOwners(provider.kind) { form.owners = false }
    for (index, entry) in entries.enumerated() {
      if entry.isMirror { try fetch(entry, index, form) }
      try refuseEmpty(entry, index, isOne: volumes.count == 1)
    }
    try VolumeRecord(form: form, entries: entries).write(context)
  }

  private func mirror(_ entry: VolumeRecord.Entry, _ index: Int) throws -> DistantFolder {
    try provider.distant(entry.moved.volume.name, copy: "mirror-\(index)")
  }

  private func fetch(_ entry: VolumeRecord.Entry, _ index: Int, _ form: TreeForm) throws {
    try mirror(entry, index).fetch(provider.trees.serving(TreeOptions(form: form)))
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

  /// The sending end of a volume's content; nil if only its definition is moved.
  private func tree(_ entry: VolumeRecord.Entry, _ index: Int, _ form: TreeForm) throws -> TrackedTree? {
    guard let folder = try folder(entry, index) else { return nil }
    var options = TreeOptions(form: form)
    options.owners = entry.owners
    let tree = try provider.trees.source(index, at: folder, options)
    // A copy is made anew for each pass: all of it has changed.
    tree.isTracked = !entry.isMirror && provider.config.track != false
    return tree
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
    var report = TreeReport()
    for (index, entry) in record.entries.enumerated() {
      if entry.isMirror { try fetch(entry, index, record.form) }
      guard let tree = try tree(entry, index, record.form) else { continue }
      report += try tree.send(pass)
      try turn(entry, channel)
    }
    return PassReport(sent: report, isFinal: pass.isFinal)
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
        if entry.isMirror, request.isFull { try fetch(entry, index, record.form) }
        guard let tree = try tree(entry, index, record.form) else { return digest.definition(entry.name, entry.moved.volume) }
        return try digest.part(entry.name, index) { try tree.digest(request, listing: $0) }
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
    guard let folder = volume.mountpoint, engine.shares(folder) else { throw error }
    try TreeRemoval.remove(folder, selection: nil, keepingRoot: true)
    context.log(
      .warning, "the volume \(volume.name) is empty now; it goes once the container \(users.map(\.name).joined(separator: ", ")) is removed"
    )
  }
}
