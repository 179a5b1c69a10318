import FerryEngineKit
import Glibc

/// Stopping and going on.
extension LiveContainer {
  /// How far the source's container is stopped.
  private enum Stage: String, Codable { case freezing, frozen }
  private static let stage = "stage"
  private static let restoring = "restoring"
  /// How often connections are closed that were made between the last time and the checkpoint.
  private static let mostTries = 10

  var connections: [String] { config.connections == .keep ? ["--tcp-established"] : [] }

  func sourceContainer() throws -> EngineContainer? {
    guard let note = try ContainerNote.read(context) else { return nil }
    return try base.engine().container(note.container)
  }

  func freeze() throws {
    if try context.kv.get(Self.stage, as: Stage.self) == .frozen, Files.exists(archive) { return }
    guard let container = try sourceContainer(), container.isRunning else { throw notRunning() }
    try context.kv.put(Self.stage, Stage.freezing)
    var leans = try context.kv.get(Self.lastAhead, as: Int.self)
    // A checkpoint that fails may have marked memory as seen: what is tried after it, by whomever, leans on nothing.
    for key in [Self.lastAhead, Self.leaning] { try context.kv.remove(key) }
    for attempt in 1... {
      if Files.exists(archive) { try Files.remove(archive) }
      if config.connections == .close, let process = container.json["State"]?["Pid"]?.int {
        try ContainerSockets(process)?.close(context)
      }
      do {
        try podman.run(
          ["checkpoint", "--export", archive, "--compress", "none", "--ignore-volumes", "--file-locks"]
            + (leans == nil ? [] : ["--with-previous"]) + connections + [container.id])
        break
      } catch let error as FerryError where config.connections != .keep && error.message.contains("tcp-established") {
        leans = nil
        if config.connections == .close, attempt < Self.mostTries { continue }
        throw FerryError(
          .precondition, "\(container.name) has established TCP connections, and runs on",
          hint: "say `connections: close` to end them, or `connections: keep` where the destination has the same address")
      }
    }
    if let leans { try context.kv.put(Self.leaning, leans) }
    try context.kv.put(Self.stage, Stage.frozen)
  }

  func thaw() throws {
    try podman.settle()
    guard try context.kv.get(Self.stage, as: Stage.self) != nil, let container = try sourceContainer() else { return }
    if container.json["State"]?["Status"]?.string == "paused" {
      // A checkpoint that was broken off.
      try podman.run(["unpause", container.id])
    } else if !container.isRunning {
      try podman.run(["restore", "--file-locks"] + connections + [container.id])
    }
    if Files.exists(archive) { try Files.remove(archive) }
    try context.kv.remove(Self.stage)
  }

  func activate() throws {
    try podman.settle()
    let engine = try base.engine()
    if let container = try engine.container(name) {
      guard try context.kv.get(Self.restoring, as: Bool.self) == true else { throw exists() }
      if container.isRunning { return }
      try podman.run(["rm", "--force", container.id])
    }
    try context.kv.put(Self.restoring, true)
    let previous = try leansOn() == nil ? [] : ["--import-previous", ahead]
    // With a name Podman gives other addresses, which is what others' containers at the destination need; connections need the old ones.
    let called = config.connections == .keep ? [] : ["--name", name]
    try podman.run(["restore", "--import", archive, "--ignore-volumes", "--file-locks"] + previous + called + connections)
    guard try engine.container(name)?.isRunning == true else {
      throw FerryError(.io, "the container \(name) was restored and does not run", hint: "`podman logs \(name)` may say why")
    }
  }

  func deactivate() throws {
    try podman.settle()
    guard try context.kv.get(Self.restoring, as: Bool.self) == true else { return }
    if try base.engine().container(name) != nil { try podman.run(["rm", "--force", "--time", "0", name]) }
    try context.kv.remove(Self.restoring)
  }
}
