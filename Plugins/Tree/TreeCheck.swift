import FerryPluginKit
import FerryTree
import Glibc

/// Looks before anything is changed.
struct TreeCheck {
  let context: ProviderContext
  let config: TreeConfig

  func source(_ source: TreeSource) throws -> CheckReport {
    var report = CheckReport()
    let folder: String
    do { folder = try source.folder() } catch let error as FerryError {
      report.notices.append(.init(.error, error.message, hint: error.hint))
      return report
    }
    let count = try TreeCount(root: folder, selection: source.selection, cancellation: context.cancellation)
    report.bytes = count.bytes
    report.entries = count.entries
    if count.entries == 0, config.allowEmpty != true {
      report.notices.append(
        .init(.error, "nothing in \(folder) is selected", hint: "check `exclude`; if it may be empty, say `allow-empty: true`"))
    }
    if let first = count.unreadable.first {
      report.notices.append(.init(.error, "\(folder) holds what this user cannot read: \(first)", hint: "run as root, or exclude it"))
    }
    if geteuid() != 0 {
      report.notices.append(.init(.warning, "without root only attributes in the name space 'user' can be read at the source"))
    }
    return report
  }

  func destination(_ target: StagedFolder) throws -> CheckReport {
    var report = CheckReport()
    if let obstacle = target.obstacle(mayReplace: config.replace == true) {
      report.notices.append(.init(.error, obstacle.message, hint: obstacle.hint))
      return report
    }
    report.room = target.room
    let parent = Files.parent(of: target.path)
    let lost = try FileSystemProbe.form(in: parent).losses
    if !lost.isEmpty {
      let cause = geteuid() != 0 ? "without root" : "on the file system of \(parent)"
      report.notices.append(
        .init(.warning, "\(lost.joined(separator: ", ")) cannot be kept \(cause); they are left out of the proof as well"))
    }
    return report
  }
}
