import FerrySystem
import Glibc

/// A walk in the order of paths that comes to the same sum as a survey and writes a line for each leaf. It is slower: one thread.
final class ListingWalk: TreeVisitor {
  private let root: TreeRoot
  private let options: TreeOptions
  private let known: TreeIndex?
  private let listing: DigestListing
  private let scratch: LeafScratch
  private let attributes: AttributeScratch
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: TreeBlock.content, alignment: 4096)
  private var sum = TreeLeaf()
  private var count: Int64 = 0
  private var bytes: Int64 = 0
  private var shared: [FileIdentity: [[UInt8]]] = [:]
  private var read: Int64 = 0

  init(_ root: TreeRoot, _ options: TreeOptions, known: TreeIndex?, listing: String) throws {
    (self.root, self.options, self.known) = (root, options, known)
    self.listing = try DigestListing(path: listing)
    scratch = LeafScratch(path: options.limits.path)
    attributes = AttributeScratch(options)
  }
  deinit { buffer.deallocate() }

  func run() throws -> TreeDigest.Result {
    try TreeWalk.run(root.folder, self)
    try listing.finish()
    for paths in shared.values where paths.count > 1 { sum += TreeLinks.leaf(paths) }
    return TreeAccount.result(sum, count, bytes)
  }

  func opened(_ folder: TreeFolder, entry: TreeEntry, entries: inout [TreeEntry]) throws {
    if options.cancellation?.isCancelled == true { throw FerryError(.cancelled, "the digest was cancelled") }
    options.progress?(read, count)
    let inside = folder.path.withUnsafeBytes { scratch.enter($0) }
    guard inside else { throw folder.failure(ENAMETOOLONG, "cannot read", []) }
    if options.oneFileSystem, entry.identity.device != root.device { entries = [] }
    entries.removeAll { entry in TreePath.joined(folder.path, entry.name).withUnsafeBytes { !options.holds($0, entry.kind) } }
    if folder.path.isEmpty { try visit(folder, entry: entry, index: 0) }
  }

  func visit(_ folder: TreeFolder, entry: TreeEntry, index: Int) throws {
    let path = TreePath.joined(folder.path, entry.name)
    let leaf: TreeLeaf? = try entry.name.withUnsafeBytes { name in
      let inside = folder.path.withUnsafeBytes { scratch.enter($0) }
      guard inside else { throw folder.failure(ENAMETOOLONG, "cannot read", entry.name) }
      scratch.look(at: name)
      return try TreeRoot.withText(name) { try self.leaf(folder, $0, isRoot: entry.name.isEmpty) }
    }
    guard let leaf else { throw folder.failure(ENOENT, "cannot look at", entry.name) }
    sum += leaf
    count += 1
    try listing.add(leaf.shown, path)
  }

  private func leaf(_ folder: TreeFolder, _ text: UnsafePointer<CChar>, isRoot: Bool) throws -> TreeLeaf? {
    let number = folder.descriptor.number
    guard let status = isRoot ? TreeStatus(descriptor: number) : TreeStatus(folder: number, text) else { return nil }
    var isFirst = true
    if status.isShared {
      isFirst = shared[status.identity] == nil
      shared[status.identity, default: []].append(Array(scratch.path))
    }
    if isFirst { bytes += status.size }
    if let known = known?.find(scratch.key(known?.seed ?? 0)), known.stamp == status.stamp { return known.leaf }
    var meta: TreeMeta
    do { meta = try status.meta(options) } catch { throw FerryError.wrap(error).inside(TreePath.escaped(Array(scratch.path))) }
    if isRoot || status.kind == .folder {
      let name = UnsafeRawBufferPointer(start: text, count: isRoot ? 0 : strlen(text))
      let failed = try readFolder(folder, Array(name))
      guard failed == 0 else { throw root.failure(-failed, "cannot read the attributes of", scratch.path) }
      return scratch.leaf(meta, content: TreeLeaf(), attributes: attributes.leaf)
    }
    let found = try SurveyedEntry.read(number, text, status, attributes, buffer, options.cancellation) { read += $0 }
    switch found {
    case .failure(let failed): throw root.failure(failed.code, "cannot read", scratch.path)
    case .success(let (content, size)):
      if status.kind == .file { meta.size = UInt64(size) }
      return scratch.leaf(meta, content: content, attributes: attributes.leaf)
    }
  }

  private func readFolder(_ folder: TreeFolder, _ name: [UInt8]) throws -> Int32 {
    if name.isEmpty { return attributes.read(descriptor: folder.descriptor.number) }
    let inner = try folder.folder(name)
    return attributes.read(descriptor: inner.descriptor.number)
  }

  func closed(_ parent: TreeFolder?, entry: TreeEntry, index: Int?) {}
  func failed(_ error: FerryError, path: [UInt8]) throws { throw error }
}
