import FerryRecords
import FerrySystem
import Haystack
import TestSupport
import Testing

@Suite struct WatchTests {
  let folder: TemporaryFolder
  /// Readings that come so rarely that what is seen is seen by the watch.
  static let rarely = (alone: 0, watched: 1_000_000)

  init() throws { folder = try TemporaryFolder() }

  private func names(_ mirror: Mirror) throws -> [String: String] {
    var names: [String: String] = [:]
    try mirror.store.forEach {
      if let id = $0.tree.id?.id, case .string(let name)? = $0.tree["dis"] { names[id] = name }
      return true
    }
    return names
  }

  @Test("a server that has watches is followed by one: changes come without a reading, and what leaves the filter goes by one")
  func follows() throws {
    let server = try RustyServer(300)
    let mirror = try Mirror(folder("mirror.db"), isFiltered: true)
    let follower = HaystackFollower(server.client(), mirror: mirror, readings: Self.rarely)
    let filter = "site and area < 200ft²"
    func refresh() throws -> HaystackFollower.Way { try follower.refresh(filter, isUrgent: false) }
    #expect(try refresh() == .read)
    #expect(follower.watched == 200)
    #expect(try refresh() == .none)
    try server.tell("set s7 dis Changed")
    #expect(try refresh() == .watched)
    #expect(try names(mirror)["s7"] == "Changed")
    // What lives in memory only is no change.
    let before = try mirror.store.read("s8")
    try server.tell("set s8 curVal 3")
    _ = try refresh()
    #expect(try mirror.store.read("s8") == before)
    // What no longer matches is looked at again by the server's own filter, and goes.
    try server.tell("set s9 area 900")
    #expect(try refresh() == .read)
    #expect(try names(mirror).count == 199 && mirror.store.read("s9") == nil)
    // What comes and what is removed no watch tells of: a reading does.
    try server.tell("add new New")
    try server.tell("remove s10")
    _ = try refresh()
    #expect(try follower.refresh(filter, isUrgent: true) == .read)
    #expect(try names(mirror).count == 199 && names(mirror)["new"] == "New" && names(mirror)["s10"] == nil)
    // With another filter it begins anew.
    #expect(try follower.refresh("site and area >= 200ft²", isUrgent: false) == .read)
    #expect(try names(mirror).count == 101 && follower.watched == 101)
    follower.close()
    #expect(follower.watched == 0)
  }

  @Test("a watch that the server no longer knows is opened anew after a reading; a server that is gone removes nothing")
  func expires() throws {
    let server = try RustyServer(60)
    let mirror = try Mirror(folder("mirror.db"), isFiltered: true)
    let notes = Lock<[String]>([])
    let follower = HaystackFollower(server.client(), mirror: mirror, readings: Self.rarely) { note in notes.withLock { $0.append(note) } }
    #expect(try follower.refresh("site", isUrgent: false) == .read)
    server.stop()
    let error = #expect(throws: FerryError.self) { try follower.refresh("site", isUrgent: false) }
    #expect(error?.class == .retry)
    #expect(try names(mirror).count == 60)
    try server.start()
    try server.tell("set s1 dis Later")
    #expect(try follower.refresh("site", isUrgent: false) == .read)
    #expect(try names(mirror)["s1"] == "Later")
    // While the client believes in its watch, the server forgets it.
    server.stop()
    try server.start()
    try server.tell("set s2 dis Again")
    try server.tell("remove s3")
    #expect(try follower.refresh("site", isUrgent: false) == .read)
    #expect(try names(mirror).count == 59 && names(mirror)["s2"] == "Again" && names(mirror)["s1"] == "Site 1")
    #expect(follower.watched == 59)
    #expect(notes.withLock { $0.contains { $0.contains("watch is gone") } })
    try server.tell("set s4 dis Third")
    #expect(try follower.refresh("site", isUrgent: false) == .watched)
    #expect(try names(mirror)["s4"] == "Third")
  }

  @Test("more records than the server watches are watched as far as it goes, and the others are read")
  func limits() throws {
    let server = try RustyServer(7000)
    let mirror = try Mirror(folder("mirror.db"), isFiltered: true)
    let follower = HaystackFollower(server.client(), mirror: mirror, readings: Self.rarely)
    #expect(try follower.refresh("site", isUrgent: false) == .read)
    #expect(follower.watched >= 500 && follower.watched <= 7000)
    for number in [0, 6999] { try server.tell("set s\(number) dis Changed") }
    _ = try follower.refresh("site", isUrgent: false)
    #expect(try follower.refresh("site", isUrgent: true) == .read)
    #expect(try names(mirror)["s0"] == "Changed" && names(mirror)["s6999"] == "Changed" && names(mirror).count == 7000)
  }

  @Test("where other records decide about a match, a change is looked at by a reading")
  func references() throws {
    let server = try RustyServer(5)
    let mirror = try Mirror(folder("mirror.db"), isFiltered: true)
    let follower = HaystackFollower(server.client(), mirror: mirror, readings: Self.rarely)
    #expect(try follower.refresh("site and not other->x", isUrgent: false) == .read)
    try server.tell("set s1 dis Changed")
    #expect(try follower.refresh("site and not other->x", isUrgent: false) == .read)
    #expect(try names(mirror)["s1"] == "Changed")
  }

  @Test("whatever a poll answers, nothing is removed but what a whole reading does not have")
  func badPolls() throws {
    let script = try Script("RecordsTests/bad.py")
    let base = "http://127.0.0.1:\(try script.line())"
    for way in [
      "err", "incomplete", "half", "cut", "kinds", "nothing", "html", "large", "status", "foreign", "nulls", "ten", "twice", "quiet",
      "news",
    ] {
      // The readings are whole: what is there stays there.
      let mirror = try Mirror(folder("watch-\(way).db"))
      let client = HaystackClient("\(base)/watch-\(way)", user: nil, password: [])
      let follower = HaystackFollower(client, mirror: mirror, readings: Self.rarely)
      #expect(try follower.refresh("dis", isUrgent: false) == .read)
      #expect(follower.watched == 50)
      let found = try follower.refresh("dis", isUrgent: false)
      #expect(try mirror.store.count() == 50, "\(way)")
      switch way {
      case "news", "ten", "twice": #expect(found == .watched, "\(way)")
      case "quiet": #expect(found == .none)
      case "foreign": #expect(try mirror.store.read("other") == nil)
      default: #expect(found == .read, "\(way)")
      }
      // And where the reading that follows is as bad, it is an error.
      guard ["err", "incomplete", "half", "cut", "kinds", "nothing", "html", "status"].contains(way) else { continue }
      let lost = try Mirror(folder("lost-\(way).db"))
      let losing = HaystackFollower(
        HaystackClient("\(base)/lost-\(way)", user: nil, password: []), mirror: lost, readings: Self.rarely)
      #expect(try losing.refresh("dis", isUrgent: false) == .read)
      #expect(throws: FerryError.self, "\(way)") { try losing.refresh("dis", isUrgent: false) }
      #expect(try lost.store.count() == 50, "\(way)")
    }
  }

  @Test("a server without watches is read, and not asked for one again and again")
  func without() throws {
    let script = try Script("RecordsTests/bad.py")
    let mirror = try Mirror(folder("mirror.db"))
    let notes = Lock<[String]>([])
    let follower = HaystackFollower(
      HaystackClient("http://127.0.0.1:\(try script.line())/whole", user: nil, password: []), mirror: mirror, readings: Self.rarely
    ) { note in notes.withLock { $0.append(note) } }
    for _ in 0..<3 { #expect(try follower.refresh("dis", isUrgent: false) == .read) }
    #expect(follower.watched == 0)
    #expect(notes.withLock { $0.filter { $0.contains("does not let its records be watched") }.count } == 1)
  }
}
