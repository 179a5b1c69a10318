import FerryArchive
import FerryEngineKit
import Glibc

/// An image on its way: its configuration, and those of its layers that the destination has not.
///
/// Layers are known by the digest of their content, which is the same on every machine. The destination's engine gets an archive in the form of an OCI
/// layout that is a `docker save` as well, in which the layers that it has are missing: engines look a layer up before they read it.
enum ImageParcel {
  /// Source: sends what is missing; answers how many bytes that were.
  static func send(
    _ image: EngineImage, without present: Set<String>, by engine: ContainerEngine, _ context: ProviderContext, on channel: Int32
  ) throws -> Int64 {
    let folder = "\(context.temporaryFolder)/image"
    try TreeRemoval.remove(folder)
    try Files.makeFolder(folder)
    defer { try? TreeRemoval.remove(folder) }
    let saved = try ContainerEngine.joined({ try engine.save(image.id, to: $0) }) { tar in
      try SavedImage(tar, folder: folder, without: present) { context.progress(bytes: $0) }
    }
    let layers = try saved.layers()
    guard layers.count == image.layers.count else {
      throw FerryError(.peer, "the engine's archive of the image \(image.id) has \(layers.count) layers instead of \(image.layers.count)")
    }
    let config = try saved.config()
    try context.tell(ContainerWire.Parcel(config: Int64(config.count), sizes: layers.map(\.size)), on: channel)
    let line = ChannelBytes(channel, context)
    try config.withUnsafeBytes { try line.send($0) }
    var sent = Int64(config.count)
    for (layer, digest) in zip(layers, image.layers) where !present.contains(digest) {
      guard let path = layer.path else {
        throw FerryError(.peer, "the engine's archive of the image \(image.id) lacks the layer \(digest)")
      }
      try line.send(file: path, layer.size)
      sent += layer.size
      context.progress(bytes: sent)
    }
    return sent
  }

  /// Destination: hands what comes to the engine; answers the image's id.
  static func receive(
    _ greeting: ContainerWire.Greeting, without present: Set<String>, by engine: ContainerEngine, _ context: ProviderContext,
    on channel: Int32
  ) throws -> (id: String, bytes: Int64) {
    let parcel = try context.hear(ContainerWire.Parcel.self, on: channel)
    guard parcel.sizes.count == greeting.layers.count, parcel.config > 0, parcel.config < 64 << 20, parcel.sizes.allSatisfy({ $0 >= 0 })
    else { throw FerryError(.peer, "the source announces no image") }
    let line = ChannelBytes(channel, context)
    let config = try line.receive(Int(parcel.config))
    let sha = ContentDigest(.sha256)
    let layers = zip(greeting.layers, parcel.sizes).map { (digest: $0, size: $1) }
    let layout = ImageLayout(config: config, digest: "sha256:\(sha.hex(of: config))", layers: layers)
    let missing = layers.filter { !present.contains($0.digest) }
    let said = try ContainerEngine.joined({ descriptor in
      let archive = try ArchiveWriter(descriptor)
      var received: Int64 = 0
      for (name, bytes) in layout.files {
        try archive.write(.plain(name, size: Int64(bytes.count))) { put in try bytes.withUnsafeBytes { try put($0) } }
      }
      // The same layer may stand in an image twice.
      var done: Set<String> = []
      for layer in missing {
        guard done.insert(layer.digest).inserted else {
          try line.receive(layer.size) { _ in }
          continue
        }
        try archive.write(.plain(ImageLayout.path(layer.digest), size: layer.size)) { put in
          try line.receive(layer.size) { bytes in
            try put(bytes)
            received += Int64(bytes.count)
            context.progress(bytes: received)
          }
        }
      }
      try archive.finish()
    }) { try engine.load(from: $0) }
    guard let image = try engine.findImage(layout.digest), image.layers == greeting.layers else {
      throw FerryError(.io, "the engine did not take the image: \(said.split(separator: "\n").last ?? "it said nothing")")
    }
    return (image.id, missing.reduce(parcel.config) { $0 + $1.size })
  }
}

extension ArchiveEntry {
  fileprivate static func plain(_ name: String, size: Int64) -> ArchiveEntry {
    var entry = ArchiveEntry(
      path: Array(name.utf8), kind: .file,
      metadata: EntryMetadata(mode: 0o644, owner: 0, group: 0, modified: FileTime(seconds: 0, nanoseconds: 0), attributes: []))
    entry.size = size
    return entry
  }
}

/// The form in which an engine is given an image.
struct ImageLayout {
  let config: [UInt8]
  let digest: String
  let layers: [(digest: String, size: Int64)]

  /// Where an archive has what has this digest.
  static func path(_ digest: String) -> String { "blobs/sha256/\(digest.drop { $0 != ":" }.dropFirst())" }

  /// All but the layers. Podman reads `index.json`, Docker `manifest.json`.
  var files: [(name: String, bytes: [UInt8])] {
    let content = "application/vnd.oci.image"
    let manifest: JSONValue = [
      "schemaVersion": 2, "mediaType": .string("\(content).manifest.v1+json"),
      "config": Self.reference("\(content).config.v1+json", digest, Int64(config.count)),
      "layers": .array(layers.map { Self.reference("\(content).layer.v1.tar", $0.digest, $0.size) }),
    ]
    let bytes = Array(manifest.text.utf8)
    let name = "sha256:\(ContentDigest(.sha256).hex(of: bytes))"
    let index: JSONValue = [
      "schemaVersion": 2, "manifests": [Self.reference("\(content).manifest.v1+json", name, Int64(bytes.count))],
    ]
    let docker: JSONValue = [
      ["Config": .string(Self.path(digest)), "RepoTags": nil, "Layers": .array(layers.map { .string(Self.path($0.digest)) })]
    ]
    return [
      ("oci-layout", Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8)), ("index.json", Array(index.text.utf8)),
      ("manifest.json", Array(docker.text.utf8)), (Self.path(name), bytes), (Self.path(digest), config),
    ]
  }

  private static func reference(_ type: String, _ digest: String, _ size: Int64) -> JSONValue {
    ["mediaType": .string(type), "digest": .string(digest), "size": .int(size)]
  }
}
