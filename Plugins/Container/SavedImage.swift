import FerryArchive
import FerryEngineKit
import Glibc

/// What `docker save` wrote, unpacked: which file of it is which layer is told by one that may come last.
struct SavedImage {
  private struct Content: Decodable {
    let Config: String
    let Layers: [String]
  }

  private var files: [String: (path: String?, size: Int64)] = [:]
  /// Names of the same thing: the archive has each layer once.
  private var links: [String: String] = [:]

  /// Reads an archive to its end. Files that are known by their name to be one of the layers in `present` are not kept.
  init(_ tar: Int32, folder: String, without present: Set<String>, progress: (Int64) -> Void) throws {
    let known = Set(present.map { String($0.drop { $0 != ":" }.dropFirst()) })
    let reader = try ArchiveReader(tar)
    var read: Int64 = 0
    while let entry = try reader.next() {
      let name = Self.plain(String(decoding: entry.path, as: UTF8.self))
      if let link = entry.hardLink {
        links[name] = Self.plain(String(decoding: link, as: UTF8.self))
      } else if entry.kind == .link {
        let parent = name.split(separator: "/").dropLast().joined(separator: "/")
        links[name] = Self.plain("\(parent)/\(String(decoding: entry.target, as: UTF8.self))")
      } else if entry.kind == .file {
        let word = name.split(separator: "/").last.map { String($0.prefix { $0 != "." }) } ?? ""
        guard !known.contains(word) else {
          files[name] = (nil, entry.size)
          continue
        }
        // Names in the archive are the archive's; on disk they are numbers.
        let path = "\(folder)/\(files.count)"
        let file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
        try reader.content { bytes, offset in
          try Self.write(bytes, file, at: offset)
          read += Int64(bytes.count)
          progress(read)
        }
        guard ftruncate(file.number, Int(entry.size)) == 0 else { throw FerryError(errno: errno, "cannot write \(path)") }
        files[name] = (path, entry.size)
      }
    }
  }

  private static func write(_ bytes: UnsafeRawBufferPointer, _ file: Descriptor, at offset: Int64) throws {
    var done = 0
    while done < bytes.count {
      let written = pwrite(file.number, bytes.baseAddress?.advanced(by: done), bytes.count - done, Int(offset) + done)
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { throw FerryError(errno: errno, "cannot write a layer of the image") }
      done += written
    }
  }

  /// Without `.`, `..` and doubled slashes.
  private static func plain(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return parts.joined(separator: "/")
  }

  private func find(_ name: String) throws -> (path: String?, size: Int64) {
    var name = Self.plain(name)
    for _ in 0..<8 {
      if let file = files[name] { return file }
      guard let next = links[name] else { break }
      name = next
    }
    throw FerryError(.peer, "the engine's archive of the image names \(name) and does not have it")
  }

  private func content() throws -> Content {
    guard let path = try find("manifest.json").path,
      let content = try JSONValue.decode([Content].self, from: Files.read(path)).first
    else { throw FerryError(.peer, "the engine's archive of the image holds no image") }
    return content
  }

  /// The image's configuration, byte by byte as its digest has it.
  func config() throws -> [UInt8] {
    guard let path = try find(content().Config).path else { throw FerryError(.peer, "the engine's archive has no configuration") }
    return try Files.read(path)
  }

  /// The layers, lowest first; without a path those that were not kept.
  func layers() throws -> [(path: String?, size: Int64)] { try content().Layers.map { try find($0) } }
}
