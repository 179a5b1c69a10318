import FerryArchive
import FerryEngine
import FerryTreeKit

extension ContainerEngine {
  /// The metadata of a folder of a container: the first entry of an archive of it, of which no more is read.
  public func metadata(of folder: String, in container: String) throws -> EntryMetadata {
    try Self.joined({ try? self.archive(container, path: folder, to: $0) }) { tar in
      guard let entry = try ArchiveReader(tar).next(), entry.kind == .folder else {
        throw FerryError(.peer, "the engine's archive of \(folder) in the container \(container) does not begin with it")
      }
      return entry.metadata
    }
  }
}
