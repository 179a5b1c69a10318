import FerrySystem
import Glibc

/// One `digest<TAB>id` line a record, sorted by the bytes of the id. Lines are written as they come, which is in order but where some ids belong to
/// other projects: then sort(1) puts them right. So a set of any size costs no memory.
final class IDListing {
  private let path: String
  private let file: Descriptor
  private var buffer: [UInt8] = []
  private var last: [UInt8] = []
  private var isSorted = true

  init(path: String) throws {
    self.path = path
    file = try Descriptor.open(path, O_WRONLY | O_CREAT | O_TRUNC)
  }

  func add(_ digest: String, _ id: some Collection<UInt8>) throws {
    if isSorted {
      isSorted = !id.lexicographicallyPrecedes(last)
      last.replaceSubrange(last.indices, with: id)
    }
    buffer += digest.utf8
    buffer.append(UInt8(ascii: "\t"))
    buffer += id
    buffer.append(UInt8(ascii: "\n"))
    if buffer.count > 1 << 18 { try flush() }
  }

  func finish() throws {
    try flush()
    guard !isSorted else { return }
    let sort = Command(["sort", "--field-separator=\t", "--key=2", "--output=\(path)", "--", path], environment: ["LC_ALL": "C"])
    let outcome = try sort.run()
    guard outcome.succeeded else { throw FerryError(.io, "cannot sort \(path): \(outcome.reason)") }
  }

  private func flush() throws {
    do { try file.write(buffer) } catch { throw FerryError.wrap(error).inside(path) }
    buffer.removeAll(keepingCapacity: true)
  }
}
