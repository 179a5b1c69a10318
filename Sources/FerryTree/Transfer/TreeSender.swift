import CLinux
import FerrySystem
import Glibc

/// The sending end of a tree: walks it, sends what the receiver does not have, and remembers what it sent.
///
/// It lives as long as its process; what it knows is also in the folder `state`, so that another process goes on from there.
public final class TreeSender {
  /// The code of the error that something has an attribute that the options refuse.
  public static let refusedAttribute = "refused-attribute"

  private let path: String
  private let state: TreeState
  /// May be set anew for each call, all but the form.
  public var options: TreeOptions
  private var index: TreeIndex?
  private var links = TreeLinks()
  private let blocks = Lock<[UInt64: ContentBlocks]>([:])
  private var partner: UInt64 = 0
  /// A walk of this process has seen everything, so that a tracker's word is enough from now on.
  private var hasWalked = false

  /// The tree at `root`. `state` is a folder of this transfer and end alone; it is made if there is none.
  public init(root: String, state: String, options: TreeOptions) throws {
    path = root
    self.options = options
    self.state = try TreeState(folder: state, form: options.form)
    index = self.state.load()
  }

  /// Sends what changed since the last pass. The channels are connected stream sockets; one is enough, and each serves any number of lanes.
  public func send(_ pass: TreePass, on channels: [Int32]) throws -> TreeReport {
    let wires = channels.map { TreeWire($0, options.cancellation) }
    guard let first = wires.first else { throw FerryError(.internal, "the pass came without a channel") }
    do { return try send(pass, first, wires) } catch {
      // Whatever the receiver waits for does not come.
      wires.forEach { $0.abort() }
      // What was sent may not have been applied: the receiver will say.
      hasWalked = false
      throw error
    }
  }

  private func send(_ pass: TreePass, _ first: TreeWire, _ wires: [TreeWire]) throws -> TreeReport {
    let root = try TreeRoot(path, oneFileSystem: options.oneFileSystem)
    let moment = FileTime.now
    let horizon = try horizon(root, pass) ? moment : nil
    let lanes = max(1, min(options.lanes, 64))
    let (agrees, files) = try agree(pass, first, lanes: lanes)
    guard let index else { throw FerryError(.internal, "a pass has no index") }
    let changes = agrees && hasWalked ? pass.changes.flatMap { $0.isComplete ? $0 : nil } : nil
    if changes == nil { links = TreeLinks() }
    let job = SendJob(
      pass, root: root, options: options, index: index, keeper: StateKeeper(state, index, every: options.keeping), links: links,
      match: LinkMatch(files), blocks: blocks, horizon: horizon, moment: moment, namesAll: !agrees, isTracked: changes != nil)
    try plan(job, changes)
    let workers = (0..<lanes).map { SendLane(job, wires[$0 % wires.count], lane: $0) }
    try run(workers, job, wires)
    if job.isTracked, links.lacksNames(pass: pass.number) {
      // Only a walk finds the other names of a file that had one.
      job.isTracked = false
      job.stack.restart(.folder([]))
      try run(workers, job, wires)
    }
    if !job.isTracked { links.haveAllNames() }
    if let worker = workers.first { try worker.sendLinks() }
    for worker in workers { try worker.writer.close() }

    var report = job.report
    for worker in workers {
      report.entries += worker.report.entries
      report.changed += worker.report.changed
      report.bytes += worker.report.bytes
    }
    report.removed = try finish(first, index)
    // Nothing tells when what could not be read can be: the next pass looks at everything.
    hasWalked = (hasWalked || changes == nil) && report.unread.isEmpty
    if !pass.isFinal { state.save(index) }
    return report
  }

  /// All lanes to their end; the first error ends them all.
  private func run(_ workers: [SendLane], _ job: SendJob, _ wires: [TreeWire]) throws {
    _ = try Threads.map(workers) { worker in
      do { try worker.run() } catch {
        job.fail(error)
        wires.forEach { $0.abort() }
      }
    }
    try job.check()
  }

  /// Flushes what maps have changed, so that a later write through one leaves a later time; from then on times can be believed.
  private func horizon(_ root: TreeRoot, _ pass: TreePass) throws -> Bool {
    // What lives in memory alone is never flushed, so nothing says when a mapped page of it changes.
    if root.isMemory { return false }
    // Nobody writes any more in the final pass, and a flush is dear.
    if !pass.isFinal { try root.folder.flush() }
    return true
  }

  /// Both ends say what the receiver has. Where they differ, the receiver is right. `files`: its names that are one file with others.
  private func agree(_ pass: TreePass, _ wire: TreeWire, lanes: Int) throws -> (isSo: Bool, files: [UInt64: UInt64]) {
    let mine = index ?? TreeIndex(seed: TreeState.random())
    let hello = TreeWords.Hello(
      version: TreeWords.version, pass: pass.number, isFinal: pass.isFinal, lanes: lanes, form: options.form, seed: mine.seed,
      belief: .init(mine, links), partner: partner)
    try TreeWords.send(hello, on: wire)
    let answer = try TreeWords.receive(TreeWords.Answer.self, on: wire)
    guard answer.version == TreeWords.version else {
      throw FerryError(.unsupported, "the other end speaks version \(answer.version) of the tree stream, this one \(TreeWords.version)")
    }
    if answer.partner != partner { blocks.withLock { $0 = [:] } }
    partner = answer.partner
    index = mine
    if answer.agrees { return (true, links.files) }
    hasWalked = false
    let (theirs, files) = try adopt(wire, answer.seed, mine)
    index = theirs
    return (false, files)
  }

  /// The receiver tells what it has. Where that is what was sent, what the source looked like then is still known.
  private func adopt(_ wire: TreeWire, _ seed: UInt64, _ mine: TreeIndex) throws -> (TreeIndex, files: [UInt64: UInt64]) {
    let theirs = TreeIndex(seed: seed)
    var files: [UInt64: UInt64] = [:]
    let block = TreeBlock()
    while true {
      try wire.receive(into: block)
      guard block.use == .table, (block.end - block.position) % TreeWords.row == 0 else {
        throw FerryError(.peer, "the other end of the channel does not speak as a tree's end does")
      }
      if block.position == block.end { return (theirs, files) }
      while block.position < block.end {
        let base = block.base + block.position
        let key = base.load(as: UInt64.self)
        let leaf = TreeLeaf(low: base.load(fromByteOffset: 8, as: UInt64.self), high: base.load(fromByteOffset: 16, as: UInt64.self))
        let known = mine.seed == seed ? mine.find(key) : nil
        theirs.set(known?.leaf == leaf ? known ?? TreeIndex.Slot() : TreeIndex.Slot(key: max(1, key), leaf: leaf))
        let file = base.load(fromByteOffset: 24, as: UInt64.self)
        if file != 0 { files[key] = file }
        block.position += TreeWords.row
      }
    }
  }

  /// What the lanes begin with.
  private func plan(_ job: SendJob, _ changes: TreeChanges?) throws {
    guard let changes else { return job.stack.push(.folder([])) }
    var parts: [[UInt8]: [UInt8]] = [:]
    var whole: Set<[UInt8]> = []
    for path in changes.subtrees {
      if job.root.status(of: path)?.kind == .folder { whole.insert(topmostUnknown(path, job.index) ?? path) }
    }
    for path in changes.entries.union(changes.subtrees).union(links.shared()) {
      if let top = topmostUnknown(path, job.index) {
        whole.insert(top)
        continue
      }
      guard !path.isEmpty else {
        job.stack.push(.itself(path))
        continue
      }
      let slash = path.lastIndex(of: 0x2f)
      let name = path[(slash.map { $0 + 1 } ?? 0)...]
      guard name.count < 256 else { continue }
      parts[slash.map { Array(path[..<$0]) } ?? [], default: []] += [UInt8(name.count)] + name
    }
    for path in whole where !Self.folders(above: path).contains(where: whole.contains) { job.stack.push(.folder(path)) }
    for (folder, names) in parts { job.stack.push(.part(folder: folder, names: names, listed: false)) }
  }

  /// The first folder above a path that was never sent, if there is one.
  private func topmostUnknown(_ path: [UInt8], _ index: TreeIndex) -> [UInt8]? {
    Self.folders(above: path).first { upper in upper.withUnsafeBytes { index.find(TreeIndex.key($0, index.seed)) } == nil }
  }

  /// The root first.
  private static func folders(above path: [UInt8]) -> [[UInt8]] {
    path.isEmpty ? [] : [[]] + path.indices.filter { path[$0] == 0x2f }.map { Array(path[..<$0]) }
  }

  /// The receiver's last words: what it removed, and what it has now.
  private func finish(_ wire: TreeWire, _ index: TreeIndex) throws -> Int64 {
    let block = TreeBlock()
    var removed: Int64 = 0
    while true {
      try wire.receive(into: block)
      if block.use == .control { break }
      guard block.use == .removed else { throw FerryError(.peer, "the other end of the channel does not speak as a tree's end does") }
      while block.position + 8 <= block.end {
        let key = (block.base + block.position).load(as: UInt64.self)
        if index.remove(key) { removed += 1 }
        links.leave(key)
        blocks.withLock { $0[key] = nil }
        block.position += 8
      }
    }
    let done = try TreeWords.parse(TreeWords.Done.self, block)
    // In a tree that is in use the ends may come to differ; the next pass begins with setting that right.
    if done.belief != .init(index, links) { hasWalked = false }
    return removed
  }

  /// The digest of the tree as it is (`full`, `sweep`) or as it was sent (`tracked`).
  public func digest(_ depth: TreeDigestDepth, algorithm: HashAlgorithm = .xxh3, listing: String? = nil) throws -> TreeDigest.Result {
    var account = TreeAccount(path: path, options: options, index: index, links: links)
    account.isCurrent = hasWalked
    account.knowsWrites = false
    return try account.digest(depth, algorithm: algorithm, listing: listing)
  }
}
