import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite(.serialized) struct ProbeTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test("what is tried is gone again, and a tree that came to be here needs nothing that is not here", arguments: ["/tmp", "/dev/shm"])
  func own(_ parent: String) throws {
    var template = Array("\(parent)/ferry-test-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let place = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { _ = try? Command(["rm", "-rf", place]).run() }
    let abilities = try FileSystemAbilities(in: place)
    #expect(Files.names(in: place) == [])
    _ = try AwkwardTree(at: "\(place)/tree", crowd: 10)
    let needs = try TreeNeeds(root: "\(place)/tree")
    #expect(abilities.losses(of: needs) == [])
  }

  @Test(
    "each thing that a file system cannot hold is named, with the first path that needs it",
    .enabled(if: geteuid() == 0, "devices are root's"))
  func losses() throws {
    let tree = try AwkwardTree(at: folder("tree"), crowd: 10)
    let needs = try TreeNeeds(root: tree.root)
    var abilities = try FileSystemAbilities(in: folder.path)
    func expect(_ change: (inout FileSystemAbilities) -> Void, _ words: String..., location: SourceLocation = #_sourceLocation) {
      var less = abilities
      change(&less)
      let lost = less.losses(of: needs)
      #expect(lost.count == words.count, "\(lost)", sourceLocation: location)
      for word in words { #expect(lost.contains { $0.text.contains(word) }, "\(lost)", sourceLocation: location) }
    }
    abilities.largestAttribute = max(abilities.largestAttribute, Int(needs.largestAttribute.size))
    expect({ _ in })
    expect({ $0.longestName = 143 }, "names of bytes")
    expect({ $0.longestLink = 1000 }, "links/longest")
    expect({ $0.largestFile = (1 << 32) - 1 }, "sparse/5 GB")
    expect({ $0.distinguishesNames = false }, "differ in case")
    expect({ $0.anyBytes = false }, "no plain text")
    expect({ $0.hardLinks = false }, "further names")
    expect({ $0.pipes = false }, "fifos")
    expect({ $0.form.sockets = false }, "sockets")
    expect({ $0.form.devices = false }, "device files")
    expect({ $0.form.owners = false }, "owners")
    expect({ $0.largestID = 65535 }, "owners up to")
    expect({ $0.form.accessControl = false }, "ACLs")
    expect({ $0.form.attributes = .user }, "other name spaces")
    expect({ $0.form.attributes = .none }, "'user'", "other name spaces")
    expect({ $0.capabilities = false }, "capabilities")
    expect({ $0.largestAttribute = 1000 }, "attributes of bytes")
    expect({ $0.holes = false }, "holes")
    expect({ $0.nanoseconds = false }, "fractions")
    expect({ $0.earliest = 0 }, "times before")
    expect({ $0.latest = (1 << 31) - 1 }, "times after")
  }

  @Test(
    "an ext4 of old, with small inodes and no fine or late times, is found out",
    .enabled(if: LoopFileSystem.works(.small), "no loop device can be mounted"))
  func small() throws {
    let place = try LoopFileSystem(.small, in: folder)
    let abilities = try FileSystemAbilities(in: place.path)
    #expect(!abilities.nanoseconds)
    #expect(abilities.latest < 1 << 32 && abilities.holes && abilities.hardLinks && abilities.distinguishesNames && abilities.form.owners)
  }
}
