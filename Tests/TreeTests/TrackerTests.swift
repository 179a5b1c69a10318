import CLinux
import FerrySystem
@testable import FerryTree
import Glibc
import TestSupport
import Testing

/// A way to track and a file system to do it on.
struct Tracking: Sendable, CustomTestStringConvertible {
  let method: ChangeTracker.Method
  let parent: String
  var testDescription: String { "\(method.rawValue) below \(parent)" }

  static let all = [ChangeTracker.Method.fanotify, .inotify].filter { $0 != .fanotify || geteuid() == 0 }.flatMap { method in
    ["/tmp", "/dev/shm"].map { Tracking(method: method, parent: $0) }
  }
}

@Suite(.serialized) struct TrackerTests {
  /// A folder of the test's own on such a file system. fanotify's queue is the whole file system's, which other suites fill meanwhile: for it
  /// the file system is the test's own too, where that can be.
  private final class Place {
    let path: String
    private let own: LoopFileSystem?
    convenience init(_ tracking: Tracking) throws {
      let apart = tracking.method == .fanotify && tracking.parent == "/tmp"
      let own = apart ? try? LoopFileSystem(.ext4, in: TemporaryFolder(), megabytes: 200) : nil
      try self.init(in: own?.path ?? tracking.parent, own)
    }

    /// Another one on the same file system.
    convenience init(beside place: Place) throws { try self.init(in: Files.parent(of: place.path), place.own) }

    private init(in parent: String, _ own: LoopFileSystem?) throws {
      self.own = own
      var template = Array("\(parent)/ferry-test-XXXXXX".utf8CString)
      guard mkdtemp(&template) != nil else { throw FerryError(errno: errno, "cannot make a folder") }
      path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    deinit { _ = try? Command(["rm", "-rf", "--one-file-system", path]).run() }
  }

  private func tracker(_ tracking: Tracking, _ root: String) throws -> ChangeTracker {
    let tracker = try ChangeTracker(root: root, best: tracking.method)
    #expect(tracker.method == tracking.method, "\(tracker.reason)")
    return tracker
  }

  /// What changed and is in none of what was named.
  private func missed(_ before: TreeSnapshot, _ after: TreeSnapshot, _ named: TreeChanges) -> [String] {
    func isNamed(_ path: [UInt8]) -> Bool {
      if named.entries.contains(path) || named.subtrees.contains([]) { return true }
      var end = path.count
      while true {
        let part = Array(path[..<end])
        if named.subtrees.contains(part) { return true }
        // With a folder that is gone, all below it is.
        if end < path.count, named.entries.contains(part), after.entries[part]?.isFolder != true { return true }
        guard let slash = path[..<end].lastIndex(of: 0x2f) else { return false }
        end = slash
      }
    }
    return after.changed(since: before).filter { path in
      if isNamed(path) { return false }
      // Another name of a file that was named: whoever reads that name sees that it has others.
      guard let file = after.shared[path] ?? before.shared[path] else { return true }
      return !(after.shared.merging(before.shared) { $1 }).contains { $0.value == file && isNamed($0.key) }
    }.map { BareFolder.shown($0) }
  }

  @Test("thousands of random edits: whatever changed was named", arguments: Tracking.all)
  func superset(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    let edits = RandomEdits(place.path, seed: 4)
    try edits.run(500)
    let tracker = try tracker(tracking, place.path)
    var complete = 0
    for round in 0..<8 where complete < 6 {
      let before = try TreeSnapshot(place.path)
      try edits.run(800)
      let named = tracker.drain()
      let after = try TreeSnapshot(place.path)
      // The queue is the whole file system's, and may run over on a busy machine: to say so is right, and proves nothing.
      guard named.isComplete else { continue }
      complete += 1
      #expect(missed(before, after, named) == [], "round \(round)")
      // And nothing is named when nothing happens.
      #expect(tracker.drain().entries == [], "round \(round)")
    }
    #expect(complete > 2)
  }

  @Test("edits that go on while changes are drained are in these changes or in the next", arguments: Tracking.all)
  func concurrent(_ tracking: Tracking) throws {
    // The queue is the whole file system's, and may run over on a busy machine: to say so is right, and proves nothing.
    // Many short tries: other suites of this program edit on the same file system meanwhile.
    for seed in 0..<UInt64(30) { if try isComplete(tracking, seed) { return } }
    // That a drain can be complete at all is what the other tests want.
    print("skipped: the queue ran over in each of 30 tries")
  }

  private func isComplete(_ tracking: Tracking, _ seed: UInt64) throws -> Bool {
    let place = try Place(tracking)
    try RandomEdits(place.path, seed: seed).run(300)
    let tracker = try tracker(tracking, place.path)
    let before = try TreeSnapshot(place.path)
    let finished = Lock(false)
    let path = place.path
    let ended = Signal()
    Threads.detach {
      try? RandomEdits(path, seed: seed + 100).run(1500)
      finished.withLock { $0 = true }
      ended.raise()
    }
    var named = TreeChanges()
    while !finished.withLock({ $0 }) { named = named.union(tracker.drain()) }
    ended.wait()
    named = named.union(tracker.drain())
    if named.isComplete { #expect(missed(before, try TreeSnapshot(place.path), named) == []) }
    return named.isComplete
  }

  @Test("one change names one entry, and a new one its folder as well", arguments: Tracking.all)
  func precise(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    for index in 0..<30 { try Files.makeFolder("\(place.path)/d\(index)/inner") }
    let file = try Descriptor.open("\(place.path)/d7/inner/file", O_WRONLY | O_CREAT)
    let tracker = try tracker(tracking, place.path)
    func bytes(_ text: String...) -> Set<[UInt8]> { Set(text.map { Array($0.utf8) }) }
    try file.write([1])
    #expect(tracker.drain().entries == bytes("d7/inner/file"))
    chmod("\(place.path)/d8", 0o711)
    #expect(tracker.drain().entries == bytes("d8"))
    rename("\(place.path)/d9", "\(place.path)/d10/moved")
    let moved = tracker.drain()
    #expect(moved.entries.isSuperset(of: bytes("", "d9", "d10", "d10/moved")))
    #expect(moved.subtrees == bytes("d10/moved"))
    // Known by where it is now.
    try Descriptor.open("\(place.path)/d10/moved/inner/new", O_WRONLY | O_CREAT).close()
    #expect(tracker.drain().entries == bytes("d10/moved/inner", "d10/moved/inner/new"))
    // Elsewhere.
    let other = try Place(beside: place)
    rename("\(place.path)/d11", "\(other.path)/d11")
    #expect(tracker.drain().entries == bytes("", "d11"))
    try Descriptor.open("\(other.path)/d11/inner/new", O_WRONLY | O_CREAT).close()
    #expect(tracker.drain().isEmpty)
    rename("\(other.path)/d11", "\(place.path)/back")
    #expect(tracker.drain().subtrees == bytes("back"))
    try Descriptor.open("\(place.path)/back/inner/again", O_WRONLY | O_CREAT).close()
    #expect(tracker.drain().entries == bytes("back/inner", "back/inner/again"))
    file.close()
    tracker.stop()
    #expect(!tracker.drain().isComplete)
  }

  @Test("folders that swap their names are both still followed", arguments: Tracking.all)
  func swapped(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    for name in ["a/inner", "b/inner"] { try Files.makeFolder("\(place.path)/\(name)") }
    let tracker = try tracker(tracking, place.path)
    #expect(clinux_rename(AT_FDCWD, "\(place.path)/a", AT_FDCWD, "\(place.path)/b", 2 /* exchange */) == 0)
    #expect(tracker.drain().subtrees == [Array("a".utf8), Array("b".utf8)])
    for name in ["a", "b"] {
      try Descriptor.open("\(place.path)/\(name)/inner/new", O_WRONLY | O_CREAT).close()
      #expect(tracker.drain().entries == [Array("\(name)/inner".utf8), Array("\(name)/inner/new".utf8)])
    }
  }

  @Test(
    "a file that was written through a name that is gone is named by the one it has", .enabled(if: geteuid() == 0, "only fanotify tells"))
  func alias() throws {
    for parent in ["/tmp", "/dev/shm"] {
      let place = try Place(Tracking(method: .inotify, parent: parent))
      try Files.makeFolder("\(place.path)/d")
      try Descriptor.open("\(place.path)/kept", O_WRONLY | O_CREAT).close()
      let tracker = try ChangeTracker(root: place.path)
      link("\(place.path)/kept", "\(place.path)/d/other")
      let file = try Descriptor.open("\(place.path)/d/other", O_WRONLY)
      try file.write([1])
      try Files.remove("\(place.path)/d")
      let changes = tracker.drain()
      #expect(!changes.isComplete || changes.entries.contains(Array("kept".utf8)))
      try file.write([2])
      let later = tracker.drain()
      #expect(!later.isComplete || later.entries.contains(Array("kept".utf8)))
    }
  }

  @Test("a root that is moved, with all that is above it, is still the same tree", arguments: Tracking.all)
  func movedRoot(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    try Files.makeFolder("\(place.path)/above/tree/d")
    let tracker = try tracker(tracking, "\(place.path)/above/tree")
    rename("\(place.path)/above", "\(place.path)/elsewhere")
    try Descriptor.open("\(place.path)/elsewhere/tree/d/new", O_WRONLY | O_CREAT).close()
    #expect(tracker.drain().entries.contains(Array("d/new".utf8)))
  }

  @Test("a path longer than system calls take is named", arguments: Tracking.all)
  func longPath(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    var folder = try BareFolder(place.path)
    for level in 0..<24 { folder = try folder.folder(Array("\(level)-".utf8) + Array(repeating: 0x6c, count: 200)) }
    let tracker = try tracker(tracking, place.path)
    try folder.file("file", "x")
    let inner = try folder.folder("new")
    let first = tracker.drain()
    #expect(first.entries.contains { $0.count > 4500 && $0.suffix(5) == Array("/file".utf8) })
    try inner.file("later", "x")
    #expect(tracker.drain().entries.contains { $0.suffix(10) == Array("/new/later".utf8) })
  }

  @Test("a queue that runs over is said to be incomplete, once, and nothing is missed after it", arguments: Tracking.all)
  func overflow(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    let root = try TreeFolder(root: place.path)
    // Without a thread that empties it.
    let watcher: any ChangeWatcher =
      tracking.method == .fanotify ? try FanotifyWatcher(root, memory: 1 << 24) : try InotifyWatcher(root, memory: 1 << 24)
    let limit = try Files.read("/proc/sys/fs/\(tracking.method == .fanotify ? "fanotify" : "inotify")/max_queued_events")
    let many = (Int(String(decoding: limit, as: UTF8.self).filter(\.isNumber)) ?? 16384) + 100
    try Files.makeFolder("\(place.path)/made while events are lost/inner")
    // At least one event each that is like no other: what happens to one name is one event.
    symlink("x", "\(place.path)/0")
    for index in 0..<many { rename("\(place.path)/\(index)", "\(place.path)/\(index + 1)") }
    try Files.makeFolder("\(place.path)/made unseen/inner")
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 8)
    defer { buffer.deallocate() }
    func drain() throws -> TreeChanges {
      while try watcher.consume(buffer) > 0 {}
      return try watcher.take()()
    }
    let first = try drain()
    #expect(!first.isComplete)
    try Descriptor.open("\(place.path)/made unseen/inner/file", O_WRONLY | O_CREAT).close()
    let next = try drain()
    #expect(next.isComplete)
    #expect(next.entries.contains(Array("made unseen/inner/file".utf8)))
  }

  @Test("memory is bounded: folders in which much changed are scanned whole, and beyond that everything is")
  func bounded() {
    var changes = ChangeSet<Int>(limit: 100_000)
    for index in 0..<100_000 { changes.add(Array("name \(index)".utf8), in: 1) }
    changes.add(Array("other".utf8), in: 2)
    let taken = changes.take().paths { Array("folder \($0)".utf8) }
    #expect(taken.isComplete)
    #expect(taken.subtrees == [Array("folder 1".utf8)])
    #expect(taken.entries == [Array("folder 1".utf8), Array("folder 2/other".utf8)])
    for index in 0..<100_000 { changes.add([1], in: index) }
    #expect(!changes.isComplete)
    #expect(!changes.take().isComplete)
    #expect(changes.isComplete)
  }

  @Test(
    "what is mounted in the tree from elsewhere is scanned each time", .enabled(if: geteuid() == 0, "mounting is root's"),
    arguments: Tracking.all)
  func mounted(_ tracking: Tracking) throws {
    let place = try Place(tracking)
    for name in ["tree/a", "tree/mount", "other"] { try Files.makeFolder("\(place.path)/\(name)") }
    try #require(try Command(["mount", "--bind", "\(place.path)/other", "\(place.path)/tree/mount"]).run().succeeded)
    defer { _ = try? Command(["umount", "\(place.path)/tree/mount"]).run() }
    let tracker = try tracker(tracking, "\(place.path)/tree")
    try Descriptor.open("\(place.path)/tree/mount/file", O_WRONLY | O_CREAT).close()
    #expect(tracker.drain().subtrees.contains(Array("mount".utf8)))
  }

  @Test("where there is no way to track, every drain says so")
  func none() throws {
    let place = try Place(Tracking(method: .none, parent: "/tmp"))
    let tracker = try ChangeTracker(root: place.path, best: .none)
    #expect(tracker.method == .none)
    #expect(!tracker.drain().isComplete)
  }
}
