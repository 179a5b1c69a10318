import FerryRecords
import FerrySystem
import Glibc
import Haystack
import TestSupport

/// A server project, a client project, and what is needed to clone from one into the other.
final class Pair: Sendable {
  let folder: TemporaryFolder
  let serverPath: String
  let clientPath: String
  static let set = "p:client:r:set"

  init(server: String = "server", client: String = "client") throws {
    folder = try TemporaryFolder()
    serverPath = folder("server.db")
    clientPath = folder("client.db")
    _ = try RecordStore(creating: serverPath, project: server)
    _ = try RecordStore(creating: clientPath, project: client)
  }

  func server() throws -> RecordStore { try RecordStore(path: serverPath) }
  func client() throws -> RecordStore { try RecordStore(path: clientPath) }

  /// Makes or changes the client's clone set.
  func want(_ filter: String, from server: String = "server", set: String = Pair.set) throws {
    try client().put(CloneSet(id: set, server: server, filter: filter))
  }

  struct Outcome {
    var server: CloneServer.Report
    var client: CloneClient.Report
    var warnings: [String]
  }

  /// One exchange, each end on a thread and with connections of its own. `cut` ends the line after so many bytes.
  @discardableResult func sync(
    set: String = Pair.set, tuning: CloneClient.Tuning = .init(), allowsRemovals: Bool = false, server given: ServerBox? = nil,
    history: Bool = false,
    cutAfter: Int? = nil
  ) throws -> Outcome {
    let (left, right) = try Descriptor.socketPair()
    let relay = try cutAfter.map { try Relay(left, cutAfter: $0) }
    let far = relay?.far ?? left
    let warnings = Lock<[String]>([])
    let results = try Threads.map([0, 1]) { [self] end in
      Result {
        if end == 0 {
          defer { far.close() }
          let box = try given ?? ServerBox(serverPath)
          return Ends.server(try box.server.serve(far.number, refresh: box.refresh))
        }
        defer { right.close() }
        let client = try CloneClient(try client(), set: set, tuning: tuning, allowsRemovals: allowsRemovals) { warning in
          warnings.withLock { $0.append(warning) }
        }
        return Ends.client(try client.run(right.number, history: history))
      }
    }
    relay?.end()
    let failures = results.compactMap { if case .failure(let error) = $0 { FerryError.wrap(error) } else { nil } }
    if let failure = failures.first(where: { $0.class != .peer }) ?? failures.first { throw failure }
    guard case .server(let server) = try results[0].get(), case .client(let client) = try results[1].get() else {
      throw FerryError(.internal, "the ends are mixed up")
    }
    return Outcome(server: server, client: client, warnings: warnings.withLock { $0 })
  }

  /// Both ends stay while `work` runs.
  @discardableResult func live(
    tuning: CloneClient.Tuning, server given: ServerBox? = nil, _ work: () throws -> Void
  ) throws -> CloneClient.Report {
    let (left, right) = try Descriptor.socketPair()
    let box = try given ?? ServerBox(serverPath)
    let (isOver, ended) = (Lock(false), Signal())
    let failure = Lock<FerryError?>(nil)
    let report = Lock<CloneClient.Report?>(nil)
    Threads.detach {
      do { _ = try box.server.serve(left.number, stays: { !isOver.withLock { $0 } }) } catch {
        failure.withLock { $0 = FerryError.wrap(error) }
      }
      left.close()
    }
    Threads.detach { [self] in
      do {
        let client = try CloneClient(client(), set: Pair.set, tuning: tuning, allowsRemovals: true)
        let found = try client.run(right.number, stays: true)
        report.withLock { $0 = found }
      } catch { failure.withLock { $0 = FerryError.wrap(error) } }
      right.close()
      ended.raise()
    }
    let outcome = Result { try work() }
    isOver.withLock { $0 = true }
    guard ended.wait(atMost: .seconds(60)) else { throw FerryError(.internal, "the ends do not end") }
    try outcome.get()
    if let failure = failure.withLock({ $0 }) { throw failure }
    guard let report = report.withLock({ $0 }) else { throw FerryError(.internal, "the client has no report") }
    return report
  }

  private enum Ends: Sendable {
    case server(CloneServer.Report)
    case client(CloneClient.Report)
  }

  /// What the clones of a set should be: the matching progenitors, seen from the client. By means of trees, not of the code under test.
  func expected(_ filter: String, limit: Int = .max) throws -> [String] {
    let store = try server()
    let filter = try Filter(filter)
    var records: [HDict] = []
    try store.forEach(filter) {
      var record = $0.tree
      for name in ["curVal", "connStatus"] { record[name] = nil }
      records.append(record)
      return true
    }
    return records.map { relative(.dict($0)) }.sorted().prefix(limit).map { $0 }
  }

  func clones(set: String = Pair.set) throws -> [String] {
    var records: [String] = []
    try client().forEach(Filter("clone")) { packed in
      var record = packed.tree
      guard case .ref(let owner)? = record["cloneSetRef"], owner.id == set else { return true }
      record["mod"] = record["cloneMod"]
      for name in ["clone", "cloneSetRef", "cloneMod"] { record[name] = nil }
      records.append(relative(.dict(record)))
      return true
    }
    return records.sorted()
  }

  private func relative(_ value: HValue) -> String {
    ZincWriter.text(value).split(separator: "p:server:r:", omittingEmptySubsequences: false).joined()
      .split(separator: "p:client:r:", omittingEmptySubsequences: false).joined()
  }

  /// Everything in the client that is no clone.
  func ownRecords() throws -> [String] {
    var records: [String] = []
    try client().forEach(Filter("not clone")) {
      records.append(ZincWriter.text(.dict($0.tree)))
      return true
    }
    return records
  }
}

/// A server that lives on between exchanges. Used by one thread at a time.
final class ServerBox: @unchecked Sendable {
  let server: CloneServer
  /// How its store is kept up to date, if that is a mirror.
  let refresh: (String, RecordOutlet?) throws -> Void
  init(_ server: CloneServer, refresh: @escaping (String, RecordOutlet?) throws -> Void = { _, _ in }) {
    (self.server, self.refresh) = (server, refresh)
  }
  convenience init(_ path: String) throws { self.init(try CloneServer(RecordStore(path: path))) }
}

/// Carries bytes between two sockets and hangs up after some.
final class Relay: Sendable {
  let far: Descriptor
  private let done = Signal()

  init(_ near: Descriptor, cutAfter: Int) throws {
    let (mine, far) = try Descriptor.socketPair()
    self.far = far
    let left = Lock(cutAfter)
    let finished = Lock(0)
    for (from, to) in [(near, mine), (mine, near)] {
      Threads.detach { [done] in
        while let bytes = try? from.read(upTo: 4096), !bytes.isEmpty {
          let allowed = left.withLock { left in
            defer { left -= bytes.count }
            return min(bytes.count, left)
          }
          if allowed > 0, (try? to.write(Array(bytes.prefix(allowed)))) == nil { break }
          if allowed < bytes.count { break }
        }
        shutdown(near.number, Int32(SHUT_RDWR))
        shutdown(mine.number, Int32(SHUT_RDWR))
        let count = finished.withLock { count in
          count += 1
          return count
        }
        if count == 2 { done.raise() }
      }
    }
  }

  func end() { _ = done.wait(atMost: .seconds(60)) }
}

/// A record from Zinc.
func record(_ zinc: String) throws -> HDict {
  guard case .dict(let dict)? = try ZincReader.value(zinc) else { throw FerryError(.internal, "no dict: \(zinc)") }
  return dict
}
