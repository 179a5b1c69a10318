import FerrySystem
import Glibc

extension ContainerEngine {
  /// Runs two halves at once, joined by a pipe: one writes, one reads to the end. The first error of the reader, who knows more, else the
  /// writer's, is thrown.
  public static func joined<Value>(
    _ write: @escaping @Sendable (Int32) throws -> Void, _ read: (Int32) throws -> Value
  ) throws -> Value {
    let pipe = try Descriptor.pipe()
    let written = Lock<(any Error)?>(nil)
    let over = Signal()
    Threads.detach { [end = pipe.write] in
      do { try write(end.number) } catch { written.withLock { $0 = error } }
      end.close()
      over.raise()
    }
    let result = Result { try read(pipe.read.number) }
    // A writer that still has something to say hears that nobody listens.
    pipe.read.close()
    over.wait()
    if case .failure(let error) = result {
      // An archive that is cut off is the writer's doing.
      if let cause = written.withLock({ $0 }), FerryError.wrap(cause).class != .io { throw cause }
      throw error
    }
    if let cause = written.withLock({ $0 }) { throw cause }
    return try result.get()
  }

  /// Runs `body` with a container that has something mounted at a place and is never started; afterwards nothing is left of it. Its image is empty,
  /// so none has to be there. `kind` is `volume` or, for a folder of the engine's machine, `bind`.
  public func withHelper<Value>(
    _ kind: String, _ source: String, at place: String, _ body: (_ container: String) throws -> Value
  ) throws -> Value {
    // Of no registry, else Podman looks for it where Docker's images come from; and Podman imports under no other tag.
    let name = Helper.name
    let image = Helper.image(of: name)
    try Self.joined({ try Self.writeEmptyArchive($0) }) { tar in
      _ = try client.ask(
        "POST", ["images", "create"], query: [("fromSrc", "-"), ("repo", image), ("tag", "latest")], body: .tar(tar))
    }
    defer { try? removeImage("\(image):latest") }
    let mount: JSONValue = ["Type": .string(kind), "Source": .string(source), "Target": .string(place)]
    let id = try createContainer(
      name, ["Image": .string("\(image):latest"), "Cmd": ["/none"], "HostConfig": ["Mounts": [mount], "NetworkMode": "none"]])
    defer { try? removeContainer(id) }
    return try body(id)
  }

  /// Two empty blocks are an archive of nothing.
  private static func writeEmptyArchive(_ descriptor: Int32) throws {
    var blocks = [UInt8](repeating: 0, count: 1024)
    guard Glibc.write(descriptor, &blocks, blocks.count) == blocks.count else { throw FerryError(errno: errno, "cannot write to a pipe") }
  }
}
