import FerrySystem
import Glibc

/// One `digest<TAB>path` line an entry, sorted by the bytes of the path. Written as it goes, so its size costs no memory.
final class DigestListing {
  private let file: Descriptor
  private let path: String
  private var buffer: [UInt8] = []

  init(path: String) throws {
    self.path = path
    file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  }

  func add(_ hash: TreeHash, _ entry: [UInt8]) throws {
    buffer += Array("\(hash.hex)\t\(entry.isEmpty ? "." : TreePath.escaped(entry))\n".utf8)
    if buffer.count > 1 << 18 { try flush() }
  }

  func finish() throws {
    try flush()
    file.close()
  }

  private func flush() throws {
    do { try file.write(buffer) } catch { throw FerryError.wrap(error).inside(path) }
    buffer.removeAll(keepingCapacity: true)
  }
}
