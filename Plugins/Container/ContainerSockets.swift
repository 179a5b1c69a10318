import FerryEngineKit
import Glibc

/// The TCP sockets of a container, in the network namespace of its first process.
struct ContainerSockets {
  let process: Int64
  /// Whether the namespace is the host's: then there are others' sockets among them.
  let isShared: Bool

  /// nil: there is no such process.
  init?(_ process: Int64) {
    func namespace(_ process: String) -> (dev_t, ino_t)? {
      var status = stat()
      return stat("/proc/\(process)/ns/net", &status) == 0 ? (status.st_dev, status.st_ino) : nil
    }
    guard process > 0, let its = namespace("\(process)"), let ours = namespace("self") else { return nil }
    self.process = process
    isShared = its == ours
  }

  /// How many connections there are. A line of the kernel's table has the state in its fourth word: 06 is TIME_WAIT, 07 closed, 0A listening.
  var connected: Int {
    ["tcp", "tcp6"].reduce(0) { sum, table in
      let lines =
        (try? Files.read("/proc/\(process)/net/\(table)")).map { String(decoding: $0, as: UTF8.self).split(separator: "\n") } ?? []
      return sum
        + lines.dropFirst().count { line in
          let words = line.split(separator: " ")
          return words.count > 3 && !["06", "07", "0A"].contains(words[3])
        }
    }
  }

  /// Resets all connections: both ends are told at once.
  func close(_ context: ProviderContext) throws {
    let outcome = try context.run(
      Command(
        ["nsenter", "--target", "\(process)", "--net", "ss", "--kill", "--tcp", "--numeric", "--no-header", "state", "connected"],
        timeout: .seconds(60)))
    guard outcome.succeeded else {
      throw FerryError(
        .io, "the container's connections cannot be closed: \(outcome.reason)",
        hint: "`ss --kill` needs iproute2, and a kernel with CONFIG_INET_DIAG_DESTROY")
    }
  }
}
