import FerrySystem
import Glibc

/// Passes: hot ones while the service runs, and the one while nothing writes.
extension RunDriver {
  /// What one pass of one item has moved.
  struct Moved: Codable, Sendable {
    var bytes: Int64 = 0
    var entries: Int64 = 0
    var changed: Int64 = 0
    /// Bytes through the channel.
    var sent: Int64 = 0
    /// How the provider found what had to move.
    var method: String?
    var seconds: Double = 0
    /// What a store was told in advance to keep with it.
    var deposit: Deposit?
  }

  /// Hot passes until the run has converged; answers the predicted outage.
  func copy() throws -> Double {
    var convergence = Convergence(
      budget: budget, maxPasses: manifest.cutover.maxPasses, parallel: manifest.limits.parallel, stopAndStart: try earlierStopAndStart())
    // Without services nothing is stopped, so nothing is gained by another pass: the final one follows at once.
    let stopsNothing = try manifest.services.isEmpty && budget == nil && manifest.mode != .follow && !freezeStopsSomething()
    while true {
      try throwIfCancelled()
      let number = try nextPass()
      guard let moved = try persistentPass(number) else { continue }
      let digests = stopsNothing || staysForever ? [] : try warmDigests(number)
      convergence.add(.init(transfer: moved.map(\.seconds), digest: digests, bytes: moved.reduce(0) { $0 + $1.bytes }))
      if manifest.mode == .follow {
        if requests.isPosted(.cutover) { break }
        if !staysForever { waitForIncrement() }
        continue
      }
      if stopsNothing { break }
      if case .enough(let reason) = convergence.decision {
        events.emit(.predicted) {
          $0.phase = .copy
          $0.seconds = convergence.predictedOutage
          $0.text = reason.rawValue
        }
        break
      }
    }
    requests.clear(.cutover)
    try throwIfPredictionMisses(convergence.predictedOutage)
    return convergence.predictedOutage
  }

  /// Whether the `freeze` of an item is an outage, as its provider's offer says.
  private func freezeStopsSomething() throws -> Bool {
    try node(entry.sides.last ?? .source).record().offers.values.contains { $0["stops-source"]?.bool == true }
  }

  /// Whether an item is followed for ever: its passes stay, and what goes wrong in one is tried again rather than undone.
  var staysForever: Bool { manifest.mode == .follow && manifest.state.contains { $0.follow == .forever } }

  /// How long a pass of an item that is followed for ever stays, unless a cutover is asked for.
  private static let stay: Int64 = 60

  /// A hot pass; nil if it failed in a way that may be over soon, and the run is one that goes on for ever.
  private func persistentPass(_ number: Int) throws -> [Moved]? {
    do { return try pass(number, final: false) } catch let error as FerryError {
      guard staysForever, !hasLostNode, [.peer, .io, .retry].contains(error.class) else { throw error }
      try throwIfCancelled()
      events.emit(.notice) { $0.text = "\(error); trying again" }
      waitForIncrement()
      return nil
    }
  }

  /// One pass of all items.
  func pass(_ number: Int, final: Bool) throws -> [Moved] {
    let steps = manifest.state.map { Step(final ? .final : .copy, item: $0.name, pass: number) }
    return try column(steps) { [self] step in
      let moved = try transfer(step.item ?? "", pass: number, final: final)
      events.emit(.pass) {
        $0.phase = step.phase
        $0.item = step.item
        $0.pass = number
        $0.bytes = moved.bytes
        $0.entries = moved.changed
        $0.seconds = moved.seconds
        $0.text = moved.method
      }
      return try JSONValue(encoding: moved)
    }.map { try $0.decode() }
  }

  /// Counts over the whole run: a resumed run goes on where the one before it was.
  func nextPass() throws -> Int {
    let earlier = try lastPass.withLock { $0 } ?? journal.steps(id).compactMap(\.step.pass).max() ?? -1
    lastPass.withLock { $0 = earlier + 1 }
    return earlier + 1
  }

  private func transfer(_ item: String, pass: Int, final: Bool) throws -> Moved {
    if entry.options.half != nil { return try store(item, pass: pass, final: final) }
    do { return try move(item, pass: pass, final: final) } catch let error as FerryError {
      // What somebody on the way has broken goes another way, once.
      guard error.code == ChannelFailure.code, try channels.fallBack(because: error.message) else { throw error }
      try throwIfCancelled()
      return try move(item, pass: pass, final: final)
    }
  }

  private func move(_ item: String, pass: Int, final: Bool) throws -> Moved {
    let channel = "\(item)-\(pass)"
    try channels.make(channel)
    let began = ContinuousClock.now
    let stays = !final && manifest.mode == .follow && manifest.state.contains { $0.name == item && $0.follow == .forever }
    let over = stays ? windUpForCutover(item) : nil
    defer { over?.raise() }
    let replies = try Threads.map([Side.source, .destination]) { [self] side in
      Result {
        try node(side).call(
          CallRequest(
            item: item, call: side == .source ? .transfer : .receive, pass: pass, first: pass == 0, final: final,
            arguments: passArguments(stays: stays), channel: channel))
      }
    }
    let (sent, received) = try bothOrTheCause(replies[0], replies[1])
    let (out, into) = (sent.counts ?? .init(), received.counts ?? .init())
    guard out.sent == into.received, into.refused == 0 else {
      throw FerryError(
        .peer, "'\(item)': \(out.sent) bytes left the source and \(into.received) were taken at the destination",
        hint: "`ferry resume \(id)` copies it again")
    }
    if final { try demandAllRead(item, sent.result) }
    return Moved(
      bytes: sent.result["bytes"]?.int ?? 0, entries: sent.result["entries"]?.int ?? 0, changed: sent.result["changed"]?.int ?? 0,
      sent: out.sent + into.sent, method: sent.result["method"]?.string, seconds: began.duration(to: .now).inSeconds)
  }

  /// Has the source end a pass that stays once somebody asks for the cutover. Said again until the pass is over: it may not have begun.
  private func windUpForCutover(_ item: String) -> Signal {
    let over = Signal()
    Threads.detach { [self] in
      while !over.wait(atMost: .milliseconds(200)) {
        if requests.isPosted(.cutover) { _ = try? node(.source).send(.windUp, JSONValue.object(["item": .string(item)])) }
      }
    }
    return over
  }

  /// In a hot pass the next one may read what this one could not. There is none after the final pass: a provider that does not fail by itself
  /// has not kept its contract, and what it left out would be missing without a word.
  func demandAllRead(_ item: String, _ reply: JSONValue) throws {
    guard let unread = reply["unread"]?.array, let first = unread.first?.string else { return }
    throw FerryError(
      .io, "'\(item)': \(unread.count == 1 ? "an entry" : "\(unread.count) entries") could not be read in the final pass: \(first)",
      hint: "mend or exclude what cannot be read, then run again")
  }

  private func passArguments(stays: Bool) -> JSONValue {
    var arguments: JSONValue = ["manifest": manifest.identity]
    if stays { arguments["stay"] = .int(Self.stay) }
    return arguments
  }

  /// When one end fails the other fails for want of it: the error to show is that of the one that failed by itself.
  private func bothOrTheCause(_ source: Result<CallReply, any Error>, _ destination: Result<CallReply, any Error>) throws -> (
    CallReply, CallReply
  ) {
    switch (source, destination) {
    case (.success(let sent), .success(let received)): return (sent, received)
    case (.failure(let error), .success), (.success, .failure(let error)): throw error
    case (.failure(let left), .failure(let right)):
      let (left, right) = (FerryError.wrap(left), FerryError.wrap(right))
      if left.code == ChannelFailure.code && right.code != ChannelFailure.code { throw right }
      let follows: Set<ErrorClass> = [.peer, .io, .retry]
      throw follows.contains(left.class) && !follows.contains(right.class)
        ? right : (left.class == .peer && right.class != .peer ? right : left)
    }
  }

  /// Digests while the service runs are worth nothing as proof, but they leave each end's cache warm: in the outage only what changed is read
  /// again. And they tell how long that takes.
  private func warmDigests(_ pass: Int) throws -> [Double] {
    guard manifest.verify != .full else { return manifest.state.map { _ in 0 } }
    let sides = entry.sides
    let offers = try node(sides.last ?? .source).record().offers
    let work = manifest.state.flatMap { item in sides.map { (item.name, $0) } }
    let seconds = try Threads.map(work, limit: manifest.limits.parallel * 2) { [self] item, side in
      let arguments = digestArguments(offer: offers[item] ?? [:], target: side == .destination ? "staged" : nil)
      // In a hot pass a file may vanish under the digest: the next pass is a better judge.
      return (try? node(side).call(CallRequest(item: item, call: .digest, pass: pass, arguments: arguments)))?.seconds ?? 0
    }
    try throwIfCancelled()
    return stride(from: 0, to: seconds.count, by: sides.count).map { seconds[$0..<$0 + sides.count].max() ?? 0 }
  }

  private func waitForIncrement() {
    for _ in 0..<20 where !requests.isPosted(.cutover) && !requests.isPosted(.cancel) && !cancellation.isCancelled { usleep(100_000) }
  }

  // MARK: The budget

  var budget: Double? { (entry.options.maxDowntime ?? manifest.cutover.maxDowntime)?.inSeconds }

  private func throwIfPredictionMisses(_ predicted: Double) throws {
    guard let budget, predicted > budget else { return }
    let words = "the outage is predicted to take \(Text.seconds(predicted)), the budget is \(Text.seconds(budget))"
    if manifest.cutover.onMiss == .abort {
      throw FerryError(.precondition, words, hint: "the service was not touched; raise --max-downtime, or set cutover.on-miss: proceed")
    }
    events.emit(.notice) { $0.text = "\(words); on-miss: proceed" }
  }

  /// Before the seal: an outage that has already overrun its budget ends by going back, not by going on.
  func throwIfOverBudget(_ predicted: Double) throws {
    guard let budget, manifest.cutover.onMiss == .abort,
      let began = try journal.steps(id).last(where: { $0.step.phase == .quiesce && $0.step.act == "quiesce" })?.began
    else { return }
    let spent = wallClock() - began
    guard spent > budget else { return }
    throw FerryError(
      .precondition, "the outage has taken \(Text.seconds(spent)) already, the budget is \(Text.seconds(budget))",
      hint: "raise --max-downtime, or set cutover.on-miss: proceed")
  }

  private func earlierStopAndStart() throws -> Double {
    let earlier = try journal.runs().first { $0.id != id && $0.manifest.name == manifest.name && $0.receipt != nil }
    return earlier?.receipt.map { $0.outage.stop + $0.outage.start } ?? 0
  }
}

/// Numbers as people read them.
public enum Text {
  /// Seconds with one decimal, or minutes: `2.4s`, `3m05s`.
  public static func seconds(_ value: Double) -> String {
    if value >= 60 {
      let whole = Int(value.rounded())
      return "\(whole / 60)m\(whole % 60 < 10 ? "0" : "")\(whole % 60)s"
    }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)s"
  }

  /// Bytes in binary units: `41 MiB`, `1.2 GiB`.
  public static func bytes(_ value: Int64) -> String {
    var number = Double(value)
    var unit = 0
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while number >= 1024 && unit < units.count - 1 {
      number /= 1024
      unit += 1
    }
    if unit == 0 || number >= 10 { return "\(Int(number.rounded())) \(units[unit])" }
    let tenths = Int((number * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
  }

  /// A whole number in groups of three: `48,211`.
  public static func count(_ value: Int64) -> String {
    var digits = Array(String(abs(value)))
    var place = digits.count - 3
    while place > 0 {
      digits.insert(",", at: place)
      place -= 3
    }
    return (value < 0 ? "-" : "") + String(digits)
  }
}
