import FerryArchive
import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

/// Both receiving ends under streams that were changed at random: nothing is written elsewhere, nothing crashes, and each ends in bounded
/// time. What the stream says may be taken or refused.
@Suite(.serialized) struct FuzzTests {
  private static let rounds = Int(Environment.all["FERRY_FUZZ"] ?? "") ?? 60

  /// A folder around the one that receives, by which an escape shows.
  private struct Cage {
    let folder: TemporaryFolder
    let before: TreeSnapshot

    init() throws {
      folder = try TemporaryFolder()
      try folder.write("outside/secret", "secret")
      try Files.makeFolder(folder("inside"))
      symlink("../outside", folder("link"))
      before = try TreeSnapshot(folder("outside"))
    }

    func check(_ note: String) throws {
      let after = try TreeSnapshot(folder("outside"))
      #expect(after.changed(since: before).isEmpty, "\(note)")
      #expect(Files.names(in: folder.path).filter { !["inside", "outside", "link", "state"].contains($0) } == [], "\(note)")
    }
  }

  private static func mutate(_ bytes: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<Int.random(in: 1...6, using: &generator) where !bytes.isEmpty {
      let place = Int.random(in: 0..<bytes.count, using: &generator)
      switch Int.random(in: 0..<8, using: &generator) {
      case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 1: bytes[place] = [0, 1, 0x2e, 0x2f, 0x7f, 0x80, 0xff].randomElement(using: &generator) ?? 0
      case 2: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...40, using: &generator)))
      case 3: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 64)], at: place)
      case 4: bytes.removeLast(bytes.count - place)
      case 5: for offset in place..<min(bytes.count, place + 8) { bytes[offset] = 0xff }
      case 6:
        let evil = Array(
          ["../../outside/secret", "/../../link/x", "link/secret", "..", "."].randomElement(using: &generator)?.utf8 ?? "".utf8)
        for (offset, byte) in evil.enumerated() where place + offset < bytes.count { bytes[place + offset] = byte }
      default:
        let other = Int.random(in: 0..<bytes.count, using: &generator)
        bytes.swapAt(place, other)
      }
    }
    return bytes
  }

  private static func tree(_ folder: TemporaryFolder) throws -> String {
    let tree = try AwkwardTree(at: folder("tree"), [.links, .hardLinks, .modes, .attributes, .accessLists, .special])
    try folder.write("tree/secret/file", String(repeating: "content", count: 400))
    let sparse = try Descriptor.open(folder("tree/sparse"), O_WRONLY | O_CREAT)
    pwrite(sparse.number, [1, 2, 3], 3, 3 << 20)
    return tree.root
  }

  @Test("archives")
  func archives() throws {
    let source = try TemporaryFolder()
    let root = try Self.tree(source)
    let file = try Descriptor.open(source("archive"), O_RDWR | O_CREAT)
    _ = try TreeArchive.pack(TreeFolder(root: root), to: file.number, options: TreeOptions(form: .own))
    let whole = try Files.read(source("archive"))
    var generator = SeededGenerator(11)
    var (taken, refused) = (0, 0)
    for round in 0..<Self.rounds * 3 {
      let cage = try Cage()
      try Files.replace(cage.folder("state"), with: Self.mutate(whole, &generator))
      let file = try Descriptor.open(cage.folder("state"), O_RDONLY)
      var options = TreeOptions(form: .own)
      (options.limits.bytes, options.limits.fileSize, options.limits.entries) = (1 << 30, 1 << 30, 10_000)
      do {
        _ = try TreeArchive.unpack(
          from: file.number, into: TreeFolder(root: cage.folder("inside")), options: options, whiteouts: round % 2 == 0)
        taken += 1
      } catch is FerryError { refused += 1 }
      try cage.check("round \(round)")
    }
    #expect(refused > 0)
    print("archives: \(taken) taken, \(refused) refused")
  }

  /// What the sender says in a pass, as bytes.
  private func stream(_ isFinal: Bool) throws -> [UInt8] {
    let source = try TemporaryFolder()
    let root = try Self.tree(source)
    let ((one, two), (three, four)) = (try Descriptor.socketPair(), try Descriptor.socketPair())
    let said = Lock<[UInt8]>([])
    try Files.makeFolder(source("to"))
    let options = TreeOptions(form: .own)
    let sender = Held(try TreeSender(root: root, state: source("sender"), options: options))
    let receiver = Held(try TreeReceiver(root: source("to"), state: source("receiver"), options: options))
    // In the middle somebody listens.
    _ = try Threads.map([0, 1, 2, 3]) { part in
      switch part {
      case 0: _ = try sender.value.send(TreePass(number: 0, isFinal: isFinal), on: [one.number])
      case 1: _ = try receiver.value.receive(TreePass(number: 0, isFinal: isFinal), on: [four.number])
      case 2: try Self.copy(two.number, three.number) { bytes in said.withLock { $0 += bytes } }
      default: try Self.copy(three.number, two.number) { _ in }
      }
      if part == 0 { shutdown(one.number, Int32(SHUT_WR)) }
      if part == 1 { shutdown(four.number, Int32(SHUT_WR)) }
    }
    return said.withLock { $0 }
  }

  private static func copy(_ from: Int32, _ to: Int32, _ note: ([UInt8]) -> Void) throws {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = read(from, &buffer, buffer.count)
      guard count > 0 else { break }
      note(Array(buffer[..<count]))
      var start = 0
      while start < count {
        let sent = buffer.withUnsafeBytes { send(to, $0.baseAddress?.advanced(by: start), count - start, Int32(MSG_NOSIGNAL)) }
        guard sent > 0 else { return }
        start += sent
      }
    }
    shutdown(to, Int32(SHUT_WR))
  }

  private struct Held<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  @Test("tree streams", arguments: [false, true])
  func streams(_ isFinal: Bool) throws {
    let whole = try stream(isFinal)
    try #require(whole.count > 10_000)
    var generator = SeededGenerator(isFinal ? 12 : 13)
    var (taken, refused) = (0, 0)
    for round in 0..<Self.rounds {
      let cage = try Cage()
      var bytes = round == 0 ? whole : Self.mutate(whole, &generator)
      // The first words are JSON with a seed of the sender's: kept whole most of the time, or nothing else would be seen.
      if round % 8 != 0, round > 0 {
        bytes = Array(whole[..<Self.head(whole)]) + Self.mutate(Array(whole[Self.head(whole)...]), &generator)
      }
      var options = TreeOptions(form: .own)
      (options.limits.fileSize, options.limits.entries) = (1 << 30, 10_000)
      let receiver = Held(try TreeReceiver(root: cage.folder("inside"), state: cage.folder("state"), options: options))
      let (near, far) = try Descriptor.socketPair()
      let spoken = bytes
      let ended = Signal()
      Threads.detach {
        var start = 0
        while start < spoken.count {
          let sent = spoken.withUnsafeBytes {
            send(near.number, $0.baseAddress?.advanced(by: start), spoken.count - start, Int32(MSG_NOSIGNAL))
          }
          guard sent > 0 else { break }
          start += sent
        }
        shutdown(near.number, Int32(SHUT_WR))
        var buffer = [UInt8](repeating: 0, count: 65536)
        while read(near.number, &buffer, buffer.count) > 0 {}
        ended.raise()
      }
      let done = Signal()
      let outcome = Lock<Bool?>(nil)
      Threads.detach {
        let result = Result { try receiver.value.receive(TreePass(number: 0, isFinal: isFinal), on: [far.number]) }
        far.close()
        outcome.withLock { if case .success = result { $0 = true } else { $0 = false } }
        done.raise()
      }
      // One that waits for what never comes would wait for ever.
      try #require(done.wait(atMost: .seconds(60)), "round \(round) does not end")
      ended.wait()
      if outcome.withLock({ $0 }) == true { taken += 1 } else { refused += 1 }
      if round == 0 { #expect(taken == 1) }
      try cage.check("round \(round)")
    }
    #expect(refused > 0)
    print("streams: \(taken) taken, \(refused) refused")
  }

  /// Where the first block ends.
  private static func head(_ bytes: [UInt8]) -> Int { 16 + Int(bytes[0]) + Int(bytes[1]) << 8 + Int(bytes[2]) << 16 }
}
