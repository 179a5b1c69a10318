import FerrySystem
import Glibc

extension SendLane {
  /// The names that are links to what other lanes have sent. All content is on its way by now.
  func sendLinks() throws {
    var said: [UInt8]?
    for link in job.takeLinks() + unmet() {
      guard let settled = try settled(link.group) else { continue }
      if said != link.folder {
        try link.folder.withUnsafeBytes { try writer.add(TreeRecord(.folder), extra: $0) }
        said = link.folder
      }
      let hashes = [settled.content.low, settled.content.high, settled.attributes.low, settled.attributes.high]
      try (hashes.withUnsafeBytes { Array($0) } + link.group.original).withUnsafeBytes { extra in
        try link.name.withUnsafeBytes { try writer.add(TreeRecord(.link, settled.meta), name: $0, extra: extra) }
      }
      let inside = link.folder.withUnsafeBytes { scratch.enter($0) }
      guard inside else { continue }
      link.name.withUnsafeBytes { scratch.look(at: $0) }
      let leaf = scratch.leaf(settled.meta, content: settled.content, attributes: settled.attributes)
      let size = settled.meta.kind == .file ? Int64(settled.meta.size) : 0
      settle(TreeIndex.Slot(key: link.key, stamp: link.stamp, leaf: leaf, size: size), bytes: 0)
      if link.isAlone {
        try sendFolder(link.folder)
        said = nil
      }
    }
  }

  /// Names that nobody named, which at the receiver still are what the file was before.
  private func unmet() -> [SendJob.Link] {
    job.links.unmet(pass: job.pass.number).compactMap { path, key, file, group in
      // Those that are gone are named.
      guard job.root.status(of: path)?.identity == file else { return nil }
      let slash = path.lastIndex(of: 0x2f)
      return SendJob.Link(
        folder: slash.map { Array(path[..<$0]) } ?? [], name: Array(path[(slash.map { $0 + 1 } ?? 0)...]), key: key, stamp: 0, group: group,
        isAlone: true)
    }
  }

  /// What the content of a group is. Where it did not go over in this pass, it has to be read for its hash.
  private func settled(_ group: TreeLinks.Group) throws -> (meta: TreeMeta, content: TreeLeaf, attributes: TreeLeaf)? {
    if let settled = group.settled { return settled }
    let survey = try SurveyedEntry.read(job.root, group.original, job.options, buffer)
    group.settled = survey.map { ($0.meta, $0.content, $0.attributes) }
    return group.settled
  }
}
