import FerryEngine
import FerryPluginKit
import FerryTree
import Glibc

/// Looks before anything is changed.
struct VolumeCheck {
  let provider: VolumeProvider
  private var config: VolumeConfig { provider.config }

  func source() throws -> CheckReport {
    try report { report, engine in
      let source = VolumeSource(provider: provider)
      let volumes = try VolumeSelection(engine: engine, endpoint: config.endpoint).resolve()
      var unknown = false
      report.bytes = 0
      report.entries = 0
      for moved in volumes {
        let name = moved.volume.name
        if let reason = moved.storedElsewhere {
          report.notices.append(
            .init(
              .warning, "of the volume \(name) only the definition is moved, and its content is neither copied nor removed: \(reason)",
              hint: "if both ends reach it, there is nothing to copy; if not, move the content by its own means"))
          report.entries? += 1
          continue
        }
        guard try source.isWithinReach(moved.volume), let folder = moved.volume.mountpoint else {
          report.notices.append(
            .init(
              .warning, "the volume \(name) is read through the engine, whole for each pass, and \(VolumeMirror.losses)",
              hint: "it takes room for the volume in Ferry's own folder at the source; beside the engine, as root, neither is so"))
          unknown = true
          continue
        }
        let count = try TreeCount(root: folder, cancellation: provider.context.cancellation)
        report.bytes? += count.bytes
        report.entries? += count.entries
        if let first = count.unreadable.first {
          report.notices.append(.init(.error, "the volume \(name) holds what this user cannot read: \(first)", hint: "run as root"))
        }
      }
      if unknown {
        (report.bytes, report.entries) = (nil, nil)
      } else if report.entries == 0, config.allowEmpty != true {
        report.notices.append(.init(.error, "all volumes are empty", hint: "if they may be empty, say `allow-empty: true`"))
      }
    }
  }

  func destination() throws -> CheckReport {
    try report { report, engine in
      guard engine.sharesFiles else { throw Self.outOfReach("any volume", engine) }
      var space = statvfs()
      if statvfs(engine.info.root, &space) == 0 { report.room = Int64(clamping: UInt64(space.f_bavail) * UInt64(space.f_frsize)) }
      let form = try FileSystemProbe.form(in: engine.info.root)
      if !form.losses.isEmpty {
        report.notices.append(
          .init(
            .warning,
            "\(form.losses.joined(separator: ", ")) cannot be kept on the file system of \(engine.info.root); they are left out of the proof as well"
          ))
      }
      for name in config.endpoint.given ?? [] {
        guard let volume = try engine.volume(name) else { continue }
        if volume.storedElsewhere == nil, config.replace != true, let folder = volume.mountpoint, !Files.names(in: folder).isEmpty {
          throw Self.exists(name)
        }
        for user in try engine.containers(using: name) where user.isRunning {
          report.notices.append(
            .init(.warning, "the container \(user.name) runs with the volume \(name)", hint: "list it under `services`, or stop it before"))
        }
      }
    }
  }

  /// A report that holds what kept it from being complete.
  private func report(_ look: (inout CheckReport, ContainerEngine) throws -> Void) throws -> CheckReport {
    var report = CheckReport()
    do {
      let engine = try provider.engine()
      report.versions[engine.kind.rawValue] = engine.info.version
      try look(&report, engine)
    } catch let error as FerryError where error.class != .cancelled {
      report.notices.append(.init(.error, error.message, hint: error.hint))
    }
    return report
  }

  static func outOfReach(_ name: String, _ engine: ContainerEngine) -> FerryError {
    FerryError(
      .unsupported,
      "the data folder of \(name) is not within reach: \(engine.client.address) is of another machine, user or user namespace",
      hint: "run Ferry as root beside the engine")
  }

  static func exists(_ name: String) -> FerryError {
    FerryError(
      .conflict, "the volume \(name) exists and is not empty; nothing was changed",
      hint: "say `replace: true` to replace its content, which is kept until the run has succeeded, or choose another name with `to`")
  }
}
