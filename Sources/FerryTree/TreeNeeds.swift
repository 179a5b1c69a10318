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
  /// Fifos.
  public var pipes = Sample()
  /// Sockets.
  public var sockets = Sample()
  /// Files and folders that are immutable or append-only.
  public var flags = Sample()
  /// Names of files that have several.
  public var hardLinks = Sample()
  /// Entries with ACLs.
  public var accessControl = Sample()
  /// Entries with attributes in the name space `user`.
  public var userAttributes = Sample()
  /// Entries with other attributes than these and capabilities.
  public var systemAttributes = Sample()
  /// Entries that an overlay has marked.
  public var layerMarks = Sample()
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

  /// Looks at a tree, or what the options include of it, without reading content. What vanishes meanwhile, or cannot be looked at, asks for
  /// nothing.
  public init(root: String, options: TreeOptions = TreeOptions()) throws {
    let survey = NeedsSurvey(options)
    try TreeWalk.run(TreeFolder(root: root), survey)
    self = survey.needs
  }

  fileprivate init() {}
}

/// Something of a tree that will not survive somewhere.
public struct TreeLoss: Sendable, Hashable {
  /// A sentence.
  public var text: String
  /// Both ends leave it out and say so; if not, the transfer would fail for it.
  public var isLeftOut: Bool
}

extension FileSystemAbilities {
  /// What of a tree will not survive here; empty if all of it will.
  public func losses(of needs: TreeNeeds) -> [TreeLoss] {
    var lost: [TreeLoss] = []
    func lose(_ what: String, _ sample: TreeNeeds.Sample, unless kept: Bool, isLeftOut: Bool = false) {
      guard sample.count > 0, !kept else { return }
      lost.append(TreeLoss(text: "\(what): \(sample.count), the first is \(sample.example)", isLeftOut: isLeftOut))
    }
    func exceed(_ what: String, _ sized: TreeNeeds.Sized, _ limit: Int64) {
      guard sized.size > limit else { return }
      lost.append(TreeLoss(text: "\(what) up to \(sized.size) (there \(limit) at most): \(sized.example)", isLeftOut: false))
    }
    exceed("names of bytes", needs.longestName, Int64(longestName))
    exceed("targets of links of bytes", needs.longestLink, Int64(longestLink))
    exceed("files of bytes", needs.largestFile, largestFile)
    lose("names that differ in case or accents alone, of which one would replace the other", needs.similarNames, unless: distinguishesNames)
    lose("names that are no plain text", needs.awkwardNames, unless: anyBytes)
    lose("further names of files", needs.hardLinks, unless: hardLinks)
    lose("fifos", needs.pipes, unless: pipes)
    lose("sockets", needs.sockets, unless: form.sockets, isLeftOut: true)
    lose("device files", needs.devices, unless: form.devices, isLeftOut: true)
    lose("owners", needs.owned, unless: form.owners, isLeftOut: true)
    if form.owners { exceed("owners", needs.largestID, Int64(largestID)) }
    lose("ACLs", needs.accessControl, unless: form.accessControl, isLeftOut: true)
    lose(
      "extended attributes of the name space 'user'", needs.userAttributes, unless: [.user, .all].contains(form.attributes), isLeftOut: true
    )
    lose("extended attributes of other name spaces", needs.systemAttributes, unless: form.attributes == .all, isLeftOut: true)
    lose("marks of layers", needs.layerMarks, unless: [.layers, .all].contains(form.attributes), isLeftOut: true)
    lose("capabilities of programs", needs.capabilities, unless: capabilities, isLeftOut: form.attributes != .all)
    if form.attributes != .none { exceed("extended attributes of bytes", needs.largestAttribute, Int64(largestAttribute)) }
    lose("holes in files, which take space there", needs.sparse, unless: holes, isLeftOut: true)
    lose("fractions of seconds", needs.fractions, unless: nanoseconds, isLeftOut: true)
    lose("flags (immutable, append-only)", needs.flags, unless: false, isLeftOut: true)
    if needs.earliest < earliest { lost.append(TreeLoss(text: "times before \(earliest) seconds since 1970", isLeftOut: false)) }
    if needs.latest > latest { lost.append(TreeLoss(text: "times after \(latest) seconds since 1970", isLeftOut: false)) }
    return lost
  }
}

private final class NeedsSurvey: TreeVisitor {
  var needs = TreeNeeds()
  private let options: TreeOptions
  private let own = geteuid()
  private var device: UInt64?

  init(_ options: TreeOptions) { self.options = options }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if let cancellation = options.cancellation, cancellation.isCancelled { throw FerryError(.cancelled, "the check was cancelled") }
    if options.oneFileSystem, device ?? entry.identity.device != entry.identity.device { entries = [] }
    device = device ?? entry.identity.device
    if let selection = options.selection { entries.removeAll { !selection.contains(TreePath.joined(folder.path, $0.name), $0.kind) } }
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
    case .fifo: needs.pipes.add(path())
    case .socket: needs.sockets.add(path())
    case .characterDevice, .blockDevice: needs.devices.add(path())
    case .folder: break
    }
    if entry.isShared { needs.hardLinks.add(path()) }
    // In a user namespace its root is whoever has it.
    let owner = options.owners.map { $0.inStream(user: entry.owner) ?? .max } ?? entry.owner
    let group = options.owners.map { $0.inStream(group: entry.group) ?? .max } ?? entry.group
    if owner != (options.owners == nil ? own : 0) { needs.owned.add(path()) }
    needs.largestID.take(Int64(max(owner, group)), path())
    if withCString(entry.name, { clinux_is_locked(folder.descriptor.number, $0) }) == 1 { needs.flags.add(path()) }
    if entry.modified.nanoseconds != 0 { needs.fractions.add(path()) }
    needs.earliest = min(needs.earliest, entry.modified.seconds)
    needs.latest = max(needs.latest, entry.modified.seconds)
    // What cannot be read is named by whoever is to read it.
    for (stored, value) in (try? ExtendedAttributes.read(folder, entry.name)) ?? [] {
      guard let name = options.owners == nil ? stored : options.owners?.inStream(attribute: stored) else { continue }
      let text = String(decoding: name, as: UTF8.self)
      if ExtendedAttributes.accessControl.contains(text) {
        needs.accessControl.add(path())
        continue
      }
      // What is one system's own is carried nowhere.
      guard TreeForm().holds(name) else { continue }
      needs.largestAttribute.take(Int64(value.count), path())
      if text.hasPrefix("user.") {
        needs.userAttributes.add(path())
      } else if text == "security.capability" {
        needs.capabilities.add(path())
      } else if TreeForm(attributes: .layers).holds(name) {
        needs.layerMarks.add(path())
      } else {
        needs.systemAttributes.add(path())
      }
    }
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
  func failed(_ error: FerryError, path: [UInt8]) throws { if error.class == .cancelled { throw error } }
}
