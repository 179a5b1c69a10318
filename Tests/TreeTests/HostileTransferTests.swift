import FerrySystem
import Glibc
import TestSupport
import Testing

@testable import FerryTree

/// What a sender could say that is not Ferry. The receiver's root lies beside a folder that must never be touched.
@Suite("Hostile streams") struct HostileTransferTests {
  let folder: TemporaryFolder
  var root: String { folder("root") }
  var outside: String { folder("outside") }

  init() throws {
    folder = try TemporaryFolder()
    try Files.makeFolder(folder("root/inner"))
    try folder.write("outside/precious", "precious")
    symlink(outside, folder("root/door"))
    symlink("..", folder("root/up"))
  }

  /// What a receiver says of a stream of one lane, which `write` fills.
  private func receive(
    form: TreeForm = TreeForm(), limits: TreeLimits = TreeLimits(), closes: Bool = true,
    _ write: @escaping @Sendable (LaneWriter) throws -> Void
  ) throws -> FerryError? {
    var options = TreeOptions(form: form)
    options.limits = limits
    let receiver = try TreeReceiver(root: root, state: folder("state"), options: options)
    let (mine, its) = try Descriptor.socketPair()
    let talk = Talk(receiver: receiver, mine: mine, its: its, form: form, closes: closes, write: write)
    let results = try Threads.map([true, false]) { isSender in
      isSender ? try talk.send() : talk.receive()
    }
    return results[1]
  }

  private struct Talk: @unchecked Sendable {
    let receiver: TreeReceiver
    let mine: Descriptor
    let its: Descriptor
    let form: TreeForm
    let closes: Bool
    let write: @Sendable (LaneWriter) throws -> Void

    func send() throws -> FerryError? {
      let wire = TreeWire(mine.number, nil)
      let index = TreeIndex(seed: 7)
      try TreeWords.send(
        TreeWords.Hello(
          version: TreeWords.version, pass: 0, isFinal: true, lanes: 1, form: form, seed: 7, belief: .init(index, TreeLinks()), partner: 0),
        on: wire)
      let writer = LaneWriter(wire, lane: 0)
      do {
        try write(writer)
        if closes { try writer.close() } else { try writer.flush() }
      } catch {}
      shutdown(mine.number, Int32(SHUT_WR))
      // Whatever the receiver has to say is taken until it ends.
      while let bytes = try? mine.read(upTo: 65536), !bytes.isEmpty {}
      return nil
    }

    func receive() -> FerryError? {
      defer { its.close() }
      do { _ = try receiver.receive(TreePass(number: 0, isFinal: true), on: [its.number]) } catch { return FerryError.wrap(error) }
      return nil
    }
  }

  private static func file(_ kind: EntryKind = .file, size: Int = 1) -> TreeRecord {
    TreeRecord(
      .entry, TreeMeta(kind: kind, mode: 0o644, owner: 0, group: 0, seconds: 1, nanoseconds: 1, size: UInt64(size)))
  }
  private static func enter(_ writer: LaneWriter, _ path: String) throws {
    try Array(path.utf8).withUnsafeBytes { try writer.add(TreeRecord(.folder), extra: $0) }
  }
  private static func add(_ writer: LaneWriter, _ record: TreeRecord, _ name: [UInt8], extra: [UInt8] = [], body: [UInt8] = []) throws {
    try name.withUnsafeBytes { name in
      try extra.withUnsafeBytes { extra in try body.withUnsafeBytes { try writer.add(record, name: name, extra: extra, body: $0) } }
    }
  }

  private func expectNothingOutside() throws {
    #expect(Files.names(in: outside) == ["precious"])
    #expect(try folder.read("outside/precious") == "precious")
    #expect(Files.names(in: folder.path) == ["outside", "root", "state"])
  }

  @Test("a name that is no name in a folder", arguments: ["", ".", "..", "a/b", "/a", "a\0b", String(repeating: "n", count: 256)])
  func names(_ name: String) throws {
    let error = try receive { writer in
      try Self.enter(writer, "inner")
      try Self.add(writer, Self.file(), Array(name.utf8), body: [1])
    }
    #expect(error?.class == .peer)
    #expect(Files.names(in: folder("root/inner")).isEmpty)
    try expectNothingOutside()
  }

  @Test("a folder outside of the root", arguments: ["..", "../outside", "/etc", "inner/../..", "inner//x", "./inner", "inner/."])
  func paths(_ path: String) throws {
    let error = try receive { writer in
      try Self.enter(writer, path)
      try Self.add(writer, Self.file(), [0x78], body: [1])
    }
    #expect(error?.class == .peer)
    try expectNothingOutside()
  }

  @Test("a link on the way is replaced by a folder, never followed", arguments: ["door", "door/deep", "up/outside"])
  func links(_ path: String) throws {
    _ = try receive { writer in
      try Self.enter(writer, path)
      try Self.add(writer, Self.file(), Array("precious".utf8), body: [1])
      try Self.add(writer, TreeRecord(.names, [.first, .last]), [])
      try Self.add(writer, TreeRecord(.remove), Array("precious".utf8))
    }
    try expectNothingOutside()
  }

  @Test("a link that the stream itself makes is not followed by what comes after") func ownLink() throws {
    let outside = outside
    _ = try receive { writer in
      try Self.enter(writer, "")
      try Self.add(writer, Self.file(.link, size: 0), Array("trap".utf8), body: Array(outside.utf8))
      try Self.enter(writer, "trap")
      try Self.add(writer, Self.file(), Array("precious".utf8), body: [1])
    }
    try expectNothingOutside()
  }

  @Test("a hard link to what lies outside", arguments: ["../outside/precious", "/etc/passwd", "door/precious"]) func hardLinks(
    _ target: String
  ) throws {
    let error = try receive { writer in
      try Self.enter(writer, "")
      var link = Self.file()
      link.use = .link
      try Self.add(writer, link, Array("mine".utf8), extra: [UInt8](repeating: 0, count: 32) + Array(target.utf8))
    }
    #expect(error != nil)
    #expect(!Files.exists(folder("root/mine")))
    try expectNothingOutside()
  }

  @Test("devices and attributes that were not agreed on") func forbidden() throws {
    let form = TreeForm(devices: false, attributes: .user)
    let device = try receive(form: form) { writer in
      try Self.enter(writer, "")
      try Self.add(writer, Self.file(.characterDevice, size: 259), Array("null".utf8))
    }
    #expect(device?.class == .peer)
    #expect(!Files.exists(folder("root/null")))
    let name = Array("trusted.x".utf8)
    let attribute = try receive(form: form) { writer in
      try Self.enter(writer, "")
      try Self.add(writer, Self.file(), Array("f".utf8), extra: [UInt8(name.count), 0, 1, 0, 0, 0] + name + [1], body: [1])
    }
    #expect(attribute?.class == .peer)
    #expect(!Files.exists(folder("root/f")))
  }

  @Test("bombs: too many entries, a file too long, content out of its place") func bombs() throws {
    var limits = TreeLimits()
    limits.entries = 10
    limits.fileSize = 1 << 20
    let many = try receive(limits: limits) { writer in
      try Self.enter(writer, "")
      for index in 0..<1000 {
        try Self.add(writer, Self.file(), Array("\(index)".utf8), body: [1])
        try writer.flush()
      }
    }
    #expect(many?.class == .peer)
    #expect(Files.names(in: root).count < 200)
    for (size, offset, length) in [(1 << 40, 0, 1), (1 << 19, 1 << 40, 1), (1 << 19, 5, 1 << 20)] {
      let error = try receive(limits: limits) { writer in
        try Self.enter(writer, "")
        var head = Self.file(size: size)
        head.flags = .large
        try Self.add(writer, head, Array("large".utf8))
        var data = TreeRecord(.data)
        data.size = UInt64(offset)
        try Self.add(writer, data, [], body: [UInt8](repeating: 1, count: length))
      }
      #expect(error?.class == .peer)
      #expect(!Files.exists(folder("root/large")))
    }
    #expect(Files.names(in: root).allSatisfy { !$0.hasPrefix(".ferry") }, "nothing half is left")
  }

  @Test("a stream that ends early is no end, and leaves no half file", arguments: [true, false]) func early(inFile: Bool) throws {
    let error = try receive(closes: false) { writer in
      try Self.enter(writer, "inner")
      try Self.add(writer, Self.file(), Array("whole".utf8), body: [1])
      if inFile {
        var head = Self.file(size: 1 << 20)
        head.flags = .large
        try Self.add(writer, head, Array("half".utf8))
        var data = TreeRecord(.data)
        data.size = 0
        try Self.add(writer, data, [], body: [UInt8](repeating: 1, count: 4096))
      }
    }
    #expect(error?.class == .peer)
    #expect(Files.names(in: folder("root/inner")) == ["whole"])
  }

  @Test("a sum that is not the stream's") func sum() throws {
    let error = try receive { writer in
      try Self.enter(writer, "")
      try Self.add(writer, Self.file(), Array("f".utf8), body: [1])
      writer.count(TreeLeaf(low: 1, high: 2))
    }
    #expect(error?.class == .io)
  }

  @Test("streams of random bytes and flipped bits end in an error, and nothing outside is touched", arguments: 0..<60)
  func fuzz(seed: Int) throws {
    let error = try receive(closes: false) { writer in
      var generator = SeededGenerator(UInt64(seed))
      try Self.enter(writer, "inner")
      try Self.add(writer, Self.file(size: 3), Array("a".utf8), body: [1, 2, 3])
      try Self.enter(writer, "door")
      try Self.add(writer, Self.file(size: 3), Array("precious".utf8), body: [1, 2, 3])
      var hard = Self.file()
      hard.use = .link
      try Self.add(writer, hard, Array("b".utf8), extra: [UInt8](repeating: 0, count: 32) + Array("inner/a".utf8))
      try Self.add(writer, TreeRecord(.names, [.first, .last]), [], body: [1, 0x61])
      let end = writer.block.position
      for _ in 0..<(1 + seed % 12) {
        let place = Int.random(in: TreeBlock.header..<end, using: &generator)
        writer.block.base.storeBytes(of: UInt8.random(in: 0...255, using: &generator), toByteOffset: place, as: UInt8.self)
      }
    }
    #expect(error != nil)
    try expectNothingOutside()
  }
}
