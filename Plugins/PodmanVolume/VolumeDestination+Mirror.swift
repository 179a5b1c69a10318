import FerryEngineKit
import Glibc

/// Volumes whose data folder is out of reach. A new one is made under its real name and stays empty while passes go into a copy beside. The final pass
/// stores that copy through the engine and reads it back: what the engine gives back is what was received, or the run goes no further.
///
/// Podman gives no owners back: that it took them is not proven, and what it has later cannot be compared with the source.
///
/// No engine's API deletes a file of a volume or gives a volume another name, so one that exists is never the target.
extension VolumeDestination {
  static func isThere(_ name: String) -> FerryError {
    FerryError(
      .conflict, "the volume \(name) exists, and its data folder is not within reach, so it could not be given back as it was",
      hint: "remove it, choose another name with `to`, or run Ferry as root beside the engine")
  }

  func mirror(_ name: String, _ index: Int) throws -> DistantFolder { try provider.distant(name, copy: "mirror-\(index)") }

  /// What the engine has of a volume, fetched anew.
  func readBack(_ name: String, _ index: Int, _ form: TreeForm) throws -> String {
    let back = try provider.distant(name, copy: "back-\(index)")
    try back.fetch(provider.trees.serving(TreeOptions(form: form)))
    return back.root
  }

  /// What can be compared is there at the destination, for whoever has nothing but the engine.
  func provable(_ name: String, _ index: Int) throws -> String {
    guard DistantFolder.tellsOwners(provider.kind) || geteuid() != 0 else {
      throw FerryError(
        .unsupported, "what the volume \(name) holds cannot be proven from here: through its API Podman tells no owners",
        hint: "run Ferry as root beside the engine")
    }
    return try readBack(name, index, .own)
  }

  func store(_ record: inout VolumeRecord, _ index: Int) throws {
    let entry = record.entries[index]
    let engine = try provider.engine()
    if entry.storing != nil {
      // Somebody stopped in the middle, or what was received has changed since: nothing of it can be taken out again.
      try engine.removeVolume(entry.name)
      try engine.create(definition(entry))
    }
    record.entries[index].storing = .begun
    try record.write(context)
    let mirror = try mirror(entry.name, index)
    let options = provider.trees.serving(TreeOptions(form: record.form))
    try mirror.store(options)
    try mirror.prove(options, in: "\(context.temporaryFolder)/back-\(index)")
    record.entries[index].storing = .done
    try record.write(context)
  }
}
