import FerryPluginKit
import Glibc

/// The destination's end of a repository behind the channel: an sftp-server with the channel as its stream, one for a whole pass. restic
/// after restic may begin anew on it: a server takes a second greeting as it took the first.
struct ResticServer {
  let context: ProviderContext
  /// The repository.
  let folder: String

  private static let places = [
    "/usr/lib/openssh/sftp-server", "/usr/lib/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/libexec/sftp-server",
    "/usr/lib/ssh/sftp-server",
  ]

  /// OpenSSH's server on this node.
  static func program() throws -> String {
    guard let found = places.first(where: { access($0, X_OK) == 0 }) else {
      throw FerryError(
        .precondition, "there is no sftp-server on this node", hint: "install OpenSSH's sftp server (Debian: openssh-sftp-server)")
    }
    return found
  }

  /// Serves until the source closes its end.
  func serve(on channel: Int32) throws {
    let requests = try Descriptor.pipe()
    let gate = SFTPGate(folder: folder)
    let ended = Signal()
    let verdict = Lock<FerryError?>(nil)
    let pulse = ChildActivity { [context] read in context.progress(bytes: read) }
    defer { pulse.end() }
    var command = Command([try Self.program(), "-e", "-l", "ERROR"])
    command.input = .descriptor(requests.read.number)
    command.output = .descriptor(channel)
    // What the source asks for is looked at before the server sees it; what it answers goes straight to the channel.
    let (input, cancellation) = (requests.write, context.cancellation)
    Threads.detach {
      do { try gate.pass(from: channel, to: input, until: cancellation) } catch {
        verdict.withLock { $0 = FerryError.wrap(error) }
      }
      input.close()
      ended.raise()
    }
    let outcome = Result { try context.run(command) }
    // A server that ended by itself leaves the gate waiting for a source that will not be answered.
    shutdown(channel, Int32(SHUT_RD))
    requests.read.close()
    ended.wait()
    if let failure = verdict.withLock({ $0 }) { throw failure }
    guard try outcome.get().succeeded else { throw FerryError(.io, "the sftp-server failed: \(try outcome.get().reason)") }
  }
}
