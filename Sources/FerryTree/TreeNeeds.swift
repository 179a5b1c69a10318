import CLinux
import FerrySystem
import Glibc

/// What a tree asks of the file system that is to hold it, found by looking at its metadata.
public struct TreeNeeds: Sendable, Codable, Hashable {
  /// How many entries have something, and the first that does.
  public struct Sample: Sendable, Codable, Hashable {
    /// How many.
    public var count: Int64 = 0
    /// The path of the first, as text.
    public var example = ""

    mutating func add(_ path: @autoclosure () -> [UInt8]) {
      if count == 0 { example = TreePath.escaped(path()) }
      count += 1
    }
  }

  /// The longest name, in bytes.
  public var longestName = Sized()
  /// The longest target of a link.
  public var longestLink = Sized()
  /// The highest owner or group.
  public var largestID = Sized()
  /// The largest value of an attribute.
  public var largestAttribute = Sized()
  /// The largest file.
  public var largestFile = Sized()
  /// Files with holes of a megabyte and more.
  public var sparse = Sample()
  /// Names that differ from another one of their folder in case or in how an accent is written.
  public var similarNames = Sample()
  /// Names that are no text, or have what some file systems forbid.
  public var awkwardNames = Sample()
  /// Entries of others than the user who asks.
  public var owned = Sample()
  /// Device files.
  public var devices = Sample()
  /// Fifos and sockets.
  public var pipes = Sample()
  /// Names of files that have several.
  public var hardLinks = Sample()
  /// Entries with ACLs.
  public var accessControl = Sample()
  /// Entries with attributes in the name space `user`.
  public var userAttributes = Sample()
  /// Entries with other attributes than these and capabilities.
  public var systemAttributes = Sample()
  /// Programs with capabilities.
  public var capabilities = Sample()
  /// Times with a fraction.
  public var fractions = Sample()
  /// The earliest time.
  public var earliest = Int64.max
  /// The latest one.
  public var latest = Int64.min

  /// The largest of something, and where.
  public struct Sized: Sendable, Codable, Hashable {
    /// How large.
    public var size: Int64 = 0
    /// The path, as text.
    public var example = ""

    mutating func take(_ size: Int64, _ path: @autoclosure () -> [UInt8]) {
      if size > self.size { (self.size, example) = (size, TreePath.escaped(path())) }
    }
  }

  /// Looks at a tree, without reading content. What vanishes meanwhile, or cannot be looked at, asks for nothing.
  public init(root: String, includes: ((_ path: [UInt8], _ kind: EntryKind) -> Bool)? = nil, cancellation: Cancellation? = nil) throws {
    let survey = NeedsSurvey(includes, cancellation)
    try TreeWalk.run(TreeFolder(root: root), survey)
    self = survey.needs
  }

  fileprivate init() {}
}

extension FileSystemAbilities {
  /// What of a tree will not survive here, one sentence each; empty if all of it will.
  public func losses(of needs: TreeNeeds) -> [String] {
    var lost: [String] = []
    func lose(_ what: String, _ sample: TreeNeeds.Sample, unless kept: Bool) {
      guard sample.count > 0, !kept else { return }
      lost.append("\(what): \(sample.count), the first is \(sample.example)")
    }
    func exceed(_ what: String, _ sized: TreeNeeds.Sized, _ limit: Int64) {
      if sized.size > limit { lost.append("\(what) up to \(sized.size) (here \(limit) at most): \(sized.example)") }
    }
    exceed("names of bytes", needs.longestName, Int64(longestName))
    exceed("targets of links of bytes", needs.longestLink, Int64(longestLink))
    exceed("files of bytes", needs.largestFile, largestFile)
    lose("names that differ in case or accents alone, of which one would replace the other", needs.similarNames, unless: distinguishesNames)
    lose("names that are no plain text", needs.awkwardNames, unless: anyBytes)
    lose("further names of files, which become files of their own", needs.hardLinks, unless: hardLinks)
    lose("fifos and sockets", needs.pipes, unless: pipes)
    lose("device files", needs.devices, unless: form.devices)
    lose("owners", needs.owned, unless: form.owners)
    if form.owners { exceed("owners", needs.largestID, Int64(largestID)) }
    lose("ACLs", needs.accessControl, unless: form.accessControl)
    lose("extended attributes of the name space 'user'", needs.userAttributes, unless: form.attributes != .none)
    lose("extended attributes of other name spaces", needs.systemAttributes, unless: form.attributes == .all)
    lose("capabilities of programs", needs.capabilities, unless: capabilities)
    if form.attributes != .none { exceed("extended attributes of bytes", needs.largestAttribute, Int64(largestAttribute)) }
    lose("holes in files, which take space here", needs.sparse, unless: holes)
    lose("fractions of seconds", needs.fractions, unless: nanoseconds)
    if needs.earliest < earliest { lost.append("times before \(earliest) seconds since 1970") }
    if needs.latest > latest { lost.append("times after \(latest) seconds since 1970") }
    return lost
  }
}

private final class NeedsSurvey: TreeVisitor {
  var needs = TreeNeeds()
  private let includes: ((_ path: [UInt8], _ kind: EntryKind) -> Bool)?
  private let cancellation: Cancellation?
  private let own = geteuid()
  private var device: UInt64?

  init(_ includes: ((_ path: [UInt8], _ kind: EntryKind) -> Bool)?, _ cancellation: Cancellation?) {
    self.includes = includes
    self.cancellation = cancellation
  }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if let cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "the check was cancelled") }
    if device ?? entry.identity.device != entry.identity.device { entries = [] }
    device = device ?? entry.identity.device
    if let includes { entries.removeAll { !includes(TreePath.joined(folder.path, $0.name), $0.kind) } }
    var folded: Set<String> = []
    for entry in entries {
      // Swift's strings are equal however an accent is written.
      guard !folded.insert(String(decoding: entry.name, as: UTF8.self).lowercased()).inserted else { continue }
      needs.similarNames.add(TreePath.joined(folder.path, entry.name))
    }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) {
    func path() -> [UInt8] { TreePath.joined(folder.path, entry.name) }
    needs.longestName.take(Int64(entry.name.count), path())
    if String(validating: entry.name, as: UTF8.self) == nil || entry.name.contains(where: { $0 < 0x20 || "\\:*?\"<>|".utf8.contains($0) })
      || entry.name.last == 0x20 || entry.name.last == 0x2e
    {
      needs.awkwardNames.add(path())
    }
    switch entry.kind {
    case .file:
      needs.largestFile.take(entry.size, path())
      if entry.size - entry.allocated >= 1 << 20 { needs.sparse.add(path()) }
    case .link: needs.longestLink.take(entry.size, path())
    case .fifo, .socket: needs.pipes.add(path())
    case .characterDevice, .blockDevice: needs.devices.add(path())
    case .folder: break
    }
    if entry.isShared { needs.hardLinks.add(path()) }
    if entry.owner != own { needs.owned.add(path()) }
    needs.largestID.take(Int64(max(entry.owner, entry.group)), path())
    if entry.modified.nanoseconds != 0 { needs.fractions.add(path()) }
    needs.earliest = min(needs.earliest, entry.modified.seconds)
    needs.latest = max(needs.latest, entry.modified.seconds)
    // What cannot be read is named by whoever is to read it.
    for (name, value) in (try? ExtendedAttributes.read(folder, entry.name)) ?? [] {
      let text = String(decoding: name, as: UTF8.self)
      if ExtendedAttributes.accessControl.contains(text) {
        needs.accessControl.add(path())
        continue
      }
      if text == "security.selinux" { continue }
      needs.largestAttribute.take(Int64(value.count), path())
      if text.hasPrefix("user.") {
        needs.userAttributes.add(path())
      } else if text == "security.capability" {
        needs.capabilities.add(path())
      } else {
        needs.systemAttributes.add(path())
      }
    }
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
  func failed(_ error: FerryError, path: [UInt8]) throws { if error.class == .cancelled { throw error } }
}
