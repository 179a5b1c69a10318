import CLinux
import FerrySystem
import Glibc

/// The receiving end of a tree: applies what a stream says, below its root and nowhere else, whatever the stream says.
///
/// Nobody else is to look at the root before all passes are over: folders get their times last, and a killed process leaves the file that it
/// was writing half. The next pass, of whatever process, finds such a file and has it sent again.
///
/// It lives as long as its process; what it knows is also in the folder `state`, so that another process goes on from there.
public final class TreeReceiver {
  private let path: String
  private let folder: String
  private var state: TreeState
  /// May be set anew for each call, all but the form: that becomes the sender's, if it is within this end's.
  public var options: TreeOptions
  private var index: TreeIndex?
  private var links = TreeLinks()
  private let blocks = Lock<[UInt64: ContentBlocks]>([:])
  /// Tells this process from others: block hashes are in its memory alone.
  private let partner = TreeState.random()

  /// The folder that receives. `state` is a folder of this transfer and end alone; it is made if there is none.
  public init(root: String, state: String, options: TreeOptions) throws {
    path = root
    folder = state
    self.options = options
    self.state = try TreeState(folder: state, form: options.form)
  }

  /// Applies one pass.
  public func receive(_ pass: TreePass, on channels: [Int32]) throws -> TreeReport {
    let wires = channels.map { TreeWire($0, options.cancellation) }
    guard let first = wires.first else { throw FerryError(.internal, "the pass came without a channel") }
    do { return try receive(pass, first, wires) } catch {
      wires.forEach { $0.abort() }
      throw error
    }
  }

  private func receive(_ pass: TreePass, _ first: TreeWire, _ wires: [TreeWire]) throws -> TreeReport {
    let root = try TreeRoot(path, oneFileSystem: true)
    let hello = try TreeWords.receive(TreeWords.Hello.self, on: first)
    guard hello.version == TreeWords.version else {
      throw FerryError(.unsupported, "the other end speaks version \(hello.version) of the tree stream, this one \(TreeWords.version)")
    }
    guard hello.form.common(with: options.form) == hello.form, hello.pass == pass.number, hello.isFinal == pass.isFinal,
      (1...64).contains(hello.lanes),
      hello.seed != 0
    else { throw FerryError(.peer, "the ends do not agree on the pass, or on what of the tree counts") }
    if hello.form != options.form {
      options.form = hello.form
      state = try TreeState(folder: folder, form: hello.form)
    }
    let index = try answer(hello, root, first)
    let job = ReceiveJob(
      isFinal: pass.isFinal, root: root, options: options, index: index, keeper: StateKeeper(state, index, every: options.keeping),
      links: links, blocks: blocks)
    let lanes = (0..<hello.lanes).map { ReceiveLane(job, number: $0) }
    do {
      defer { job.early.end() }
      try run(lanes, job, wires)
    }
    try job.finish(lanes.flatMap(\.late))
    // The last pass is on disk before anybody hears that it is done. The others are too, so that it has little to wait for.
    try root.folder.flush()
    var report = TreeReport()
    let gone = job.gone
    report.changed = lanes.reduce(0) { $0 + $1.changed }
    report.entries = report.changed
    report.bytes = job.bytes
    report.removed = Int64(gone.count)
    try say(gone, first)
    try TreeWords.send(TreeWords.Done(belief: .init(index, links), changed: report.changed, bytes: report.bytes), on: first)
    if !pass.isFinal { state.save(index) }
    return report
  }

  /// A thread for each lane, and one for each channel that deals out what comes.
  private func run(_ lanes: [ReceiveLane], _ job: ReceiveJob, _ wires: [TreeWire]) throws {
    var works: [@Sendable () throws -> Void] = lanes.map { lane in { try lane.run() } }
    for (number, wire) in wires.enumerated() {
      let own = Set(lanes.indices.filter { $0 % wires.count == number }.map(UInt16.init))
      works.append { try Self.deal(wire, own, lanes, job) }
    }
    _ = try Threads.map(works) { work in
      do { try work() } catch {
        job.fail(error)
        (lanes.map(\.queue) + [job.pool]).forEach { $0.close() }
        wires.forEach { $0.abort() }
      }
    }
    try job.check()
  }

  /// Reads one channel until the last block of each of its lanes has come.
  private static func deal(_ wire: TreeWire, _ own: Set<UInt16>, _ lanes: [ReceiveLane], _ job: ReceiveJob) throws {
    var open = own
    while !open.isEmpty {
      guard let block = job.pool.free() else { return }
      try wire.receive(into: block)
      guard block.use == .lane || block.use == .last, open.contains(block.lane) else {
        throw FerryError(.peer, "the other end of the channel does not speak as a tree's end does")
      }
      let lane = lanes[Int(block.lane)]
      let isLast = block.use == .last
      lane.queue.push(block)
      if isLast {
        open.remove(lane.number)
        lane.queue.close()
      }
    }
  }

  /// Says whether the sender is right about what is here; if not, what is.
  private func answer(_ hello: TreeWords.Hello, _ root: TreeRoot, _ wire: TreeWire) throws -> TreeIndex {
    let mine = try index ?? survey(root, seed: hello.seed)
    // An empty folder needs no words.
    let index = mine.total.count <= 1 && hello.belief.count == 0 ? TreeIndex(seed: hello.seed) : mine
    self.index = index
    let agrees = index.seed == hello.seed && hello.belief == .init(index, links)
    try TreeWords.send(TreeWords.Answer(version: TreeWords.version, seed: index.seed, agrees: agrees, partner: partner), on: wire)
    if agrees { return index }
    let block = TreeBlock()
    block.reset(.table)
    let files = links.files
    try index.forEach { slot in
      if block.room < TreeWords.row {
        try wire.send(block)
        block.reset(.table)
      }
      withUnsafeBytes(of: (slot.key, slot.leaf.low, slot.leaf.high, files[slot.key] ?? 0)) { block.append($0) }
    }
    if !block.isEmpty { try wire.send(block) }
    block.reset(.table)
    try wire.send(block)
    return index
  }

  /// Another process was here before: what it left is looked at, and what looks as it says is not read again.
  private func survey(_ root: TreeRoot, seed: UInt64) throws -> TreeIndex {
    let kept = state.load()
    let survey = TreeSurvey(root, options, known: kept, seed: kept?.seed ?? seed, gathers: true)
    try survey.run()
    links = survey.links
    return survey.gathered
  }

  private func say(_ gone: [UInt64], _ wire: TreeWire) throws {
    let block = TreeBlock()
    block.reset(.removed)
    for key in gone {
      if block.room < 8 {
        try wire.send(block)
        block.reset(.removed)
      }
      withUnsafeBytes(of: key) { block.append($0) }
    }
    if !block.isEmpty { try wire.send(block) }
  }

  /// The digest of the tree as it is (`full`, `sweep`) or as it was received (`tracked`).
  public func digest(_ depth: TreeDigestDepth, algorithm: HashAlgorithm = .xxh3, listing: String? = nil) throws -> TreeDigest.Result {
    var account = TreeAccount(path: path, options: options, index: index, links: links)
    account.knowsWrites = true
    return try account.digest(depth, algorithm: algorithm, listing: listing)
  }
}
