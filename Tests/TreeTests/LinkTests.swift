import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

/// Nothing of an entry itself tells that its file was split or joined: content, metadata and so the leaves are what they were.
@Suite("Hard links") struct LinkTests {
  /// How the last pass comes to know.
  enum Way: CaseIterable {
    case swept, tracked, freshSender, freshReceiver, bothFresh
  }

  private static let names = ["one", "two", "three", "four"]

  /// Makes the file anew under its first name and links the others to it; all that are made so are alike, their times too.
  private func make(_ folder: BareFolder, _ kind: EntryKind, _ names: String...) throws {
    for name in names { _ = folder.call(name) { unlinkat($0, $1, 0) } }
    switch kind {
    case .link: try #require(folder.call(names[0]) { symlinkat("target", $0, $1) })
    case .fifo: try #require(folder.call(names[0]) { mkfifoat($0, $1, 0o644) })
    default: try folder.file(names[0], "the same")
    }
    for name in names.dropFirst() { try #require(folder.call(names[0]) { linkat($0, $1, $0, name, 0) }) }
    try #require(folder.setTime(Array(names[0].utf8), 1_000_000_000))
  }

  /// By the second one all times are old enough to be believed.
  private func first(_ ends: TransferEnds) throws {
    try ends.pass()
    try ends.pass()
  }

  private func last(_ ends: TransferEnds, _ way: Way) throws {
    switch way {
    case .swept, .tracked: break
    case .freshSender: try ends.forget(["sender"])
    case .freshReceiver: try ends.forget(["receiver"])
    case .bothFresh: try ends.forget()
    }
    let changes = TreeChanges(entries: Set(Self.names.map { Array($0.utf8) } + [[]]))
    try ends.pass(final: true, changes: way == .tracked ? changes : nil)
    #expect(try ends.differences() == [])
    #expect(try ends.digests().count == 1)
  }

  @Test(
    "a file that is split into two that are alike, times and all, is two at the other end", arguments: Way.allCases,
    [EntryKind.file, .link, .fifo])
  func split(_ way: Way, _ kind: EntryKind) throws {
    let ends = try TransferEnds()
    let folder = try BareFolder(ends.from)
    try make(folder, kind, "one", "two")
    try first(ends)
    try make(folder, kind, "two")
    try last(ends, way)
  }

  @Test("two files that were alike and became one are one at the other end", arguments: Way.allCases)
  func join(_ way: Way) throws {
    let ends = try TransferEnds()
    let folder = try BareFolder(ends.from)
    for name in Self.names { try make(folder, .file, name) }
    try first(ends)
    try #require(folder.call("two") { unlinkat($0, $1, 0) })
    try #require(folder.call("one") { linkat($0, $1, $0, "two", 0) })
    try last(ends, way)
  }

  @Test("names that change partners have the new ones at the other end", arguments: Way.allCases)
  func regroup(_ way: Way) throws {
    let ends = try TransferEnds()
    let folder = try BareFolder(ends.from)
    try make(folder, .file, "one", "two")
    try make(folder, .file, "three", "four")
    try first(ends)
    try make(folder, .file, "one", "three")
    try make(folder, .file, "two", "four")
    try last(ends, way)
  }

  @Test("one of two names that goes leaves the other one as it is: nothing is sent again") func removed() throws {
    let ends = try TransferEnds()
    let folder = try BareFolder(ends.from)
    try make(folder, .file, "one", "two")
    try first(ends)
    try #require(folder.call("two") { unlinkat($0, $1, 0) })
    let pass = try ends.pass(final: true)
    #expect(pass.sent.bytes == 0)
    #expect(try ends.digests().count == 1)
  }

  @Test(
    "what was split or joined at the receiving end between two processes is set right, though nothing changed at the source",
    arguments: [true, false])
  func elsewhere(isSplit: Bool) throws {
    let ends = try TransferEnds()
    let (from, to) = (try BareFolder(ends.from), try BareFolder(ends.to))
    try make(from, .file, "one", "two")
    try make(from, .file, "three")
    try first(ends)
    try make(to, .file, "two")
    if !isSplit { try make(to, .file, "one", "two", "three") }
    try last(ends, .bothFresh)
  }
}
