import FerryPluginKit
import FerryTree
import Glibc

/// What the destination offers.
struct ResticOffer: Codable {
  /// What it can hold and restic can carry.
  var form: TreeForm
  /// The destination's restic.
  var version: String
}

/// receive-state.
struct ResticDestination {
  let context: ProviderContext
  let config: ResticConfig
  let target: StagedFolder
  let memory: ResticMemory

  /// Neither sockets nor that two names are one link, fifo or device is in a snapshot.
  static func form(in folder: String) throws -> TreeForm {
    try FileSystemProbe.form(in: folder).common(with: TreeForm(sockets: false, sharedSpecials: false))
  }

  var module: ResticModule? { ResticModule(context, config.endpoint) }

  /// What all places that are written to can hold.
  func form() throws -> TreeForm {
    let form = try Self.form(in: target.holder)
    return try module.map { form.common(with: try Self.form(in: $0.storage())) } ?? form
  }

  func prepare() throws -> Offer {
    let tool = try memory.tool(context)
    try target.prepare()
    let repository = try ResticRepository(context, config, memory)
    if repository.isKeeper { try repository.open() }
    let offer = ResticOffer(form: try form(), version: tool.version)
    return Offer(.private, try JSONValue(encoding: offer).object ?? [:])
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let repository = try ResticRepository(context, config, memory)
    switch repository.location {
    case .channel(let path):
      let before = Set(Files.names(in: "\(path)/snapshots"))
      try ResticServer(context: context, folder: path).serve(on: pass.channel)
      // The end of the stream means nothing: what counts is that the snapshot is there.
      let nothing = FerryError(.peer, "the source wrote no snapshot in pass \(pass.number)")
      guard !before.isSuperset(of: Files.names(in: "\(path)/snapshots")) else { throw nothing }
      guard pass.isFinal else { return PassReport(bytes: 0, entries: 0) }
      // Which one it is restic finds while it restores.
      do { return try restore(.newest(tags: ResticSource.tags(context, pass: pass.number)), repository) } catch let error as FerryError
        where error.class == .notFound
      { throw nothing }
    case .url:
      let snapshot = try word(on: pass.channel).snapshot
      // restic before 0.17 restores everything each time: once is enough.
      guard pass.isFinal else { return PassReport(bytes: 0, entries: 0) }
      return try restore(.named(snapshot), repository)
    }
  }

  /// Restores a snapshot beside the target; until it is whole, nothing that was received before is touched.
  func restore(_ snapshot: ResticChoice, _ repository: ResticRepository) throws -> PassReport {
    if module != nil { return try restoreModule(snapshot, repository) }
    try fill(target) { incoming in
      try repository.restore(snapshot, to: incoming)
      return try root(in: incoming)
    }
    return try report([target])
  }

  /// Has a folder filled beside a target, and then takes it for what was received.
  func fill(_ target: StagedFolder, _ work: (_ incoming: String) throws -> String) throws {
    let incoming = "\(target.holder)/incoming"
    try TreeRemoval.remove(incoming)
    try Files.makeFolder(incoming)
    let holder = try TreeFolder(root: target.holder)
    try target.adopt(try flushing(holder) { try work(incoming) })
    try TreeRemoval.remove(incoming)
    try holder.flush()
  }

  /// restic leaves what it writes to the page cache. It goes to the disk while more is written, so that little is left to be done at the end.
  private func flushing<Value>(_ folder: TreeFolder, _ work: () throws -> Value) rethrows -> Value {
    let (early, last) = (EarlyFlush(folder), Lock<Int64>(0))
    let activity = ChildActivity { read in
      early.note(
        last.withLock { last in
          defer { last = read }
          return read - last
        })
    }
    defer {
      activity.end()
      early.end()
    }
    return try work()
  }

  func report(_ targets: [StagedFolder]) throws -> PassReport {
    try targets.reduce(into: PassReport(bytes: 0, entries: 0)) { report, target in
      let count = try TreeCount(root: target.staged(), cancellation: context.cancellation)
      report.bytes += count.bytes
      report.entries += count.entries
    }
  }

  /// The folder that a snapshot is about: its one root.
  private func root(in incoming: String) throws -> String {
    let names = Files.names(in: incoming)
    guard names.count == 1, let name = names.first, Files.isFolder("\(incoming)/\(name)") else {
      throw FerryError(.precondition, "the snapshot holds \(names.count) roots, and one folder was expected")
    }
    return "\(incoming)/\(name)"
  }

  private func word(on channel: Int32) throws -> ResticWord {
    var line: [UInt8] = []
    while true {
      var states = [channel, context.cancellation.descriptor].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      // The source is at work on its own and reports from there.
      context.progress(bytes: 0)
      let ready = poll(&states, 2, 1000)
      if ready < 0 && errno != EINTR { throw FerryError(errno: errno, "cannot wait for the source") }
      try context.checkCancellation()
      guard ready > 0, states[0].revents != 0 else { continue }
      var byte: UInt8 = 0
      let count = recv(channel, &byte, 1, 0)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard count > 0 else { throw FerryError(.peer, "the source ended before its snapshot was written") }
      if byte == 10 { return try JSONValue.decode(ResticWord.self, from: line) }
      line.append(byte)
      guard line.count < 4096 else { throw FerryError(.peer, "the source's word on its snapshot has no end") }
    }
  }
}
