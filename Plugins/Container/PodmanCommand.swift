import FerryEngineKit
import Glibc

/// Podman's own command. Checkpoints are its alone, and what it has begun it ends, whatever becomes of this process: a checkpoint or a restore that is
/// killed half-way would leave processes that neither run nor are saved.
struct PodmanCommand {
  private let context: ProviderContext
  private let call: [String]
  private var lock: String { "\(context.temporaryFolder)/podman.lock" }
  private var permit: String { "\(context.temporaryFolder)/podman.permit" }

  init(_ context: ProviderContext, _ endpoint: ContainerConfig.Endpoint) {
    self.context = context
    call = endpoint.podman ?? ["podman"]
  }

  /// A session of its own, which holds the lock until Podman has ended; without the permit it does nothing.
  private static let script = #"exec 9>>"$1"; flock 9 || exit; [ -e "$2" ] || exit 75; shift 2; "$@" 9>&-"#

  /// `podman container …`
  func run(_ arguments: [String]) throws {
    try Files.replace(permit, with: [])
    let outcome = try context.run(
      Command(
        ["setsid", "--fork", "--wait", "/bin/sh", "-c", Self.script, "podman", lock, permit] + call + ["container"] + arguments,
        timeout: .seconds(3600)))
    guard outcome.succeeded else {
      let said = outcome.errors.split(separator: "\n").last { $0.contains("rror") } ?? outcome.errors.split(separator: "\n").last
      throw FerryError(
        .io, "`podman container \(arguments[0])` failed: \(criuWords(outcome.errors) ?? said.map(String.init) ?? outcome.reason)",
        hint: "criu's own words are in the dump.log or restore.log of the container, where Podman has kept it")
    }
  }

  /// Once nothing is under way that another process has begun, nor will be. For whoever undoes it.
  func settle() throws {
    if Files.exists(permit) { try Files.remove(permit) }
    try FileLock(lock).unlock()
  }

  /// What criu says went wrong, in the log that the runtime names.
  private func criuWords(_ errors: String) -> String? {
    guard let start = errors.firstRange(of: "log file: ")?.upperBound else { return nil }
    let path = errors[start...].prefix { !$0.isWhitespace && !"`'\"".contains($0) }
    guard let log = try? Files.read(String(path)) else { return nil }
    // The last one that is no summary: what goes before it may have been got over.
    let said = String(decoding: log, as: UTF8.self).split(separator: "\n").last {
      $0.contains("Error (") && !$0.contains("Error (criu/cr-")
    }
    return said.flatMap { line in line.firstRange(of: "Error (").map { "criu: \(line[$0.lowerBound...])" } }
  }
}
