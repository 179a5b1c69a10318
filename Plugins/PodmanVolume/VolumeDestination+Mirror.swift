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

  func mirror(_ name: String, _ index: Int) throws -> VolumeMirror {
    VolumeMirror(engine: try provider.engine(), volume: name, folder: "\(context.temporaryFolder)/mirror-\(index)")
  }

  /// What the engine has of a volume, fetched anew.
  func readBack(_ name: String, _ index: Int, _ form: TreeForm) throws -> String {
    let back = VolumeMirror(engine: try provider.engine(), volume: name, folder: "\(context.temporaryFolder)/back-\(index)")
    try back.fetch(provider.trees.serving(TreeOptions(form: form)))
    return back.root
  }

  /// What can be compared is there at the destination, for whoever has nothing but the engine.
  func provable(_ name: String, _ index: Int) throws -> String {
    guard VolumeMirror.tellsOwners(provider.kind) || geteuid() != 0 else {
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
    let back = try readBack(entry.name, index, record.form)
    defer { try? TreeRemoval.remove(Files.parent(of: back)) }
    try compare(mirror.root, back, options, entry.name)
    record.entries[index].storing = .done
    try record.write(context)
  }

  private func compare(_ sent: String, _ back: String, _ options: TreeOptions, _ name: String) throws {
    func digest(_ root: String) throws -> (root: String, listing: [Substring]) {
      var digest = TreeDigest.Options()
      digest.form = options.form
      if !VolumeMirror.tellsOwners(provider.kind) { digest.form.owners = false }
      digest.cancellation = options.cancellation
      digest.progress = options.progress
      digest.listing = "\(context.temporaryFolder)/stored"
      let result = try TreeDigest.compute(root: root, digest)
      return (result.root, String(decoding: try Files.read("\(context.temporaryFolder)/stored"), as: UTF8.self).split(separator: "\n"))
    }
    let (sent, back) = (try digest(sent), try digest(back))
    guard sent.root != back.root else { return }
    let differing = Set(sent.listing).symmetricDifference(back.listing).compactMap { $0.split(separator: "\t").last }.sorted()
    throw FerryError(
      .io, "what the engine has of the volume \(name) is not what it was given: \(differing.prefix(3).joined(separator: ", "))",
      hint: "run Ferry as root beside the engine, where nothing has to go through its API")
  }
}
