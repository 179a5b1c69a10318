import FerryEngineKit
import Glibc

/// Looks before anything is changed.
struct VolumeCheck {
  let provider: VolumeProvider
  private var config: VolumeConfig { provider.config }

  func source(_ target: TargetAbilities?) throws -> CheckReport {
    try provider.report { report, engine in
      let volumes = try VolumeSelection(provider: provider).resolve()
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
        guard case .direct(let owners) = try provider.reach(moved.volume.mountpoint), let folder = moved.volume.mountpoint else {
          report.notices.append(
            .init(
              .warning,
              "the volume \(name) is read through the engine, whole for each pass, and "
                + DistantFolder.losses(withOwners: geteuid() != 0 || !DistantFolder.tellsOwners(provider.kind)),
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
        var options = provider.trees.serving(TreeOptions(form: .own))
        options.owners = owners
        report.notices += try target?.notices(for: folder, options, as: "the volume \(name)") ?? []
      }
      if unknown {
        (report.bytes, report.entries) = (nil, nil)
      } else if report.entries == 0, config.allowEmpty != true {
        report.notices.append(.init(.error, "all volumes are empty", hint: "if they may be empty, say `allow-empty: true`"))
      }
    }
  }

  func destination() throws -> CheckReport {
    try provider.report { report, engine in
      switch try provider.reach(engine.info.root) {
      case .direct(let owners):
        report.room = Files.room(in: engine.info.root)
        report.abilities = try JSONValue(encoding: TargetAbilities(in: engine.info.root).limited(by: owners))
      case .throughEngine:
        // A copy, and what is read back to prove it.
        report.room = Files.room(in: provider.context.temporaryFolder).map { $0 / 2 }
        report.abilities = try JSONValue(
          encoding: DistantFolder.abilities(
            in: provider.context.temporaryFolder, as: "a volume that is written through the engine", provider.kind))
        report.notices.append(
          .init(
            .warning,
            "volumes are written through the engine, whole in the final pass while nothing serves, and "
              + DistantFolder.losses(withOwners: geteuid() != 0),
            hint: "it takes room for each volume in Ferry's own folder at the destination; beside the engine, as root, neither is so"))
      }
      for name in config.endpoint.given ?? [] {
        guard let volume = try engine.volume(name) else { continue }
        if volume.storedElsewhere == nil, case .throughEngine = try provider.reach(volume.mountpoint) {
          throw VolumeDestination.isThere(name)
        }
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

  static func exists(_ name: String) -> FerryError {
    FerryError(
      .conflict, "the volume \(name) exists and is not empty; nothing was changed",
      hint: "say `replace: true` to replace its content, which is kept until the run has succeeded, or choose another name with `to`")
  }
}
