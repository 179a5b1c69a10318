import FerryTreeKit
import Glibc

/// Looks before anything is changed.
struct TreeCheck {
  let context: ProviderContext
  let config: TreeConfig
  let trees: TreeEnds

  func source(_ source: TreeSource, _ target: TargetAbilities?) throws -> CheckReport {
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
    report.notices += try target?.notices(for: folder, trees.serving(source.options(.own)), as: folder) ?? []
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
    report.abilities = try JSONValue(encoding: TargetAbilities(in: Files.parent(of: target.path)))
    return report
  }
}
