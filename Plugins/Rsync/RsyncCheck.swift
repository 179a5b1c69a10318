import FerryPluginKit
import FerryTree
import Glibc

/// Looks before anything is changed.
struct RsyncCheck {
  let context: ProviderContext
  let config: RsyncConfig

  func source() throws -> CheckReport {
    var report = CheckReport()
    guard let tool = tool(&report) else { return report }
    if let rules = config.filterFile, access(rules, R_OK) != 0 {
      report.notices.append(.init(.error, "the filter file \(rules) cannot be read", hint: "`filter-file` is a file at the source"))
      return report
    }
    let source = RsyncSource(context: context, config: config)
    let folder: String
    do {
      folder = try source.folder()
      try config.demandOwners(in: folder)
    } catch let error as FerryError {
      report.notices.append(.init(.error, error.message, hint: error.hint))
      return report
    }
    let count = try TreeCount(root: folder, selection: try source.selection(tool.restrict(TreeForm())), cancellation: context.cancellation)
    report.bytes = count.bytes
    report.entries = count.entries
    if count.entries == 0, config.allowEmpty != true {
      report.notices.append(
        .init(.error, "nothing in \(folder) is selected", hint: "check the filters; if it may be empty, say `allow-empty: true`"))
    }
    if count.longestPath > 4000 {
      report.notices.append(
        .init(
          .error, "\(folder) holds a path of \(count.longestPath) bytes; rsync ends at 4,095",
          hint: "exclude it, or shorten its folders' names"))
    }
    if let first = count.unreadable.first {
      report.notices.append(.init(.error, "\(folder) holds what this user cannot read: \(first)", hint: "run as root, or exclude it"))
    }
    if geteuid() != 0 {
      report.notices.append(.init(.warning, "without root only attributes in the name space 'user' can be read at the source"))
    }
    return report
  }

  func destination(_ target: RsyncTarget) throws -> CheckReport {
    var report = CheckReport()
    guard let tool = tool(&report) else { return report }
    if let obstacle = target.obstacle(mayReplace: config.replace == true) {
      report.notices.append(.init(.error, obstacle.message, hint: obstacle.hint))
    }
    let parent = Files.parent(of: target.path)
    guard Files.isFolder(parent), access(parent, W_OK | X_OK) == 0 else { return report }
    report.room = target.room
    do { try config.demandOwners(in: parent) } catch {
      let failure = FerryError.wrap(error)
      report.notices.append(.init(.error, failure.message, hint: failure.hint))
    }
    report.notices += losses(tool.restrict(try FileSystemProbe.form(in: parent)), tool, parent)
    if config.transport == .daemon, geteuid() != 0 {
      report.notices.append(
        .init(
          .warning, "an rsync daemon without root takes the first slash from absolute symbolic links, and the proof will then fail",
          hint: "leave `transport` out, or run as root"))
    }
    if config.transport == .daemon {
      report.notices.append(.init(.warning, "transport daemon is not encrypted", hint: "use it inside a VPN, or leave `transport` out"))
    }
    return report
  }

  private func tool(_ report: inout CheckReport) -> RsyncTool? {
    do {
      let tool = try RsyncTool(context)
      report.versions["rsync"] = tool.version
      if tool.isRecent { return tool }
      report.notices.append(.init(.error, "rsync \(tool.version) is too old", hint: "install 3.1.3 or newer on this node"))
    } catch {
      let failure = FerryError.wrap(error)
      report.notices.append(.init(.error, failure.message, hint: failure.hint))
    }
    return nil
  }

  private func losses(_ form: TreeForm, _ tool: RsyncTool, _ parent: String) -> [CheckReport.Notice] {
    let lost = form.losses
    if lost.isEmpty { return [] }
    let cause =
      geteuid() != 0
      ? "without root" : tool.knowsAccessControl && tool.knowsAttributes ? "on the file system of \(parent)" : "with this build of rsync"
    return [.init(.warning, "\(lost.joined(separator: ", ")) cannot be kept \(cause); they are left out of the proof as well")]
  }
}
