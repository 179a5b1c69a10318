import FerryTreeKit
import Glibc

/// Looks before anything is changed.
struct ResticCheck {
  let context: ProviderContext
  let config: ResticConfig
  let memory: ResticMemory

  func source() throws -> CheckReport {
    var report = CheckReport()
    let repository = try ResticRepository(context, config, memory)
    guard look(&report, repository) else { return report }
    for path in [config.includeFile, config.excludeFile].compactMap({ $0 }) where access(path, R_OK) != 0 {
      report.notices.append(
        .init(.error, "the file \(path) cannot be read", hint: "`include-file` and `exclude-file` are files at the source"))
    }
    let parts: [ResticPart]
    do {
      try ResticModule(context, config.endpoint)?.demandAccess()
      parts = try ResticSource(context: context, config: config, memory: memory).parts()
    } catch {
      add(error, to: &report)
      return report
    }
    for part in parts { try look(&report, part.folder) }
    if geteuid() != 0 {
      report.notices.append(.init(.warning, "without root only attributes in the name space 'user' can be read at the source"))
    }
    return report
  }

  private func look(_ report: inout CheckReport, _ folder: String) throws {
    let count = try TreeCount(root: folder, cancellation: context.cancellation)
    // What restic will select of it only restic knows.
    if !config.selects { (report.bytes, report.entries) = (count.bytes, count.entries) }
    if let sockets = count.kinds[.socket] {
      report.notices.append(.init(.warning, "\(sockets) sockets are not kept by restic; they are left out of the proof as well"))
    }
    if folder.utf8.count + count.longestPath > 4000, !config.selects {
      report.notices.append(
        .init(
          .error, "\(folder) holds a path of \(count.longestPath) bytes; restic ends at 4,095 with the folder's own",
          hint: "exclude it, or shorten its folders' names"))
    }
    if let first = count.unreadable.first, !config.selects {
      report.notices.append(.init(.error, "\(folder) holds what this user cannot read: \(first)", hint: "run as root, or exclude it"))
    }
  }

  /// With `listing`, what is stored is asked for as well, for the call that follows: that opens the repository as the probe does.
  func destination(_ target: StagedFolder, listing: Bool = false) throws -> CheckReport {
    var report = CheckReport()
    let repository = try ResticRepository(context, config, memory)
    guard look(&report, repository, listing: listing) else { return report }
    if case .channel = repository.location {
      do { _ = try ResticServer.program() } catch { add(error, to: &report) }
    }
    let module = ResticModule(context, config.endpoint)
    do { try module?.demandAccess() } catch { add(error, to: &report) }
    // A module's state folder is completed, not replaced.
    if let obstacle = target.obstacle(mayReplace: config.replace == true || module != nil) {
      add(obstacle, to: &report)
      return report
    }
    report.room = target.room
    let parent = Files.parent(of: target.path)
    report.notices += [CheckReport.Notice.lost(try FileSystemProbe.form(in: parent), in: parent)].compactMap { $0 }
    return report
  }

  /// The tool, the password, and whether that opens the repository, if there is one already.
  private func look(_ report: inout CheckReport, _ repository: ResticRepository, listing: Bool = false) -> Bool {
    do {
      let tool = try memory.tool(context)
      report.versions["restic"] = tool.version
      guard tool.isRecent else {
        report.notices.append(.init(.error, "restic \(tool.version) is too old", hint: "install 0.14 or newer on this node"))
        return false
      }
      _ = try context.secret("password")
      guard repository.isReachable else { return true }
      if listing {
        do { memory.keep(try ResticDeposit(context: context, repository: repository).fetch()) } catch let error as FerryError
          where error.class == .notFound
        {}
      } else if let failure = try repository.probe(), failure.class != .notFound {
        // One that is not there yet is made in `prepare`.
        throw failure
      }
      return true
    } catch {
      add(error, to: &report)
      return false
    }
  }

  private func add(_ error: any Error, to report: inout CheckReport) {
    let failure = FerryError.wrap(error)
    report.notices.append(.init(.error, failure.message, hint: failure.hint))
  }
}
