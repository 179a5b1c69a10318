import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport

/// A folder, a repository and the two ends of an item that moves the one through the other.
struct Backup {
  let folder: TemporaryFolder
  var from: String { folder("a/state") }
  var to: String { folder("b/state") }
  var repository: String { folder("repository/of it") }

  init() throws {
    folder = try TemporaryFolder()
    _ = Self.cache
    for name in ["a", "b"] { try Files.makeFolder(folder(name)) }
  }

  /// A cache of the tests' own: nothing of the machine's is used or filled.
  private static let cache: TemporaryFolder? = {
    let folder = try? TemporaryFolder()
    if let folder { setenv("RESTIC_CACHE_DIR", folder("cache"), 1) }
    return folder
  }()

  /// The item; `repository` is the folder's own unless told.
  func harness(
    _ repository: String? = nil, keys: [String: JSONValue] = [:], secrets: [String: String] = [:], programs: String? = nil,
    from: JSONValue? = nil, to: JSONValue? = nil
  ) throws -> Harness {
    try Harness(
      product: "restic", provider: "restic", folder: folder, from: from ?? ["path": .string(self.from)],
      to: to ?? ["path": .string(self.to)],
      keys: keys.merging(["repository": .string(repository ?? self.repository)]) { own, _ in own },
      secrets: ["password": "a word that nobody knows"].merging(secrets) { _, own in own }, programs: programs)
  }

  /// The state is at the destination, equal, and nothing is left beside it.
  func move(_ harness: Harness, change: () throws -> Void = {}) throws -> (source: JSONValue, destination: JSONValue) {
    let digests = try harness.moveUntilVerified(change: change)
    try harness.call(.destination, .activate)
    for side in [Side.destination, .source] { try harness.call(side, .release) }
    return digests
  }

  /// restic itself, as a person would use it.
  @discardableResult func restic(_ arguments: String..., password: String = "a word that nobody knows") throws -> Command.Outcome {
    var command = Command(["restic", "-r", repository, "--no-cache"] + arguments, environment: ["RESTIC_PASSWORD": password])
    command.output = .capture(limit: 1 << 24)
    return try command.run()
  }

  /// The snapshots that are there, the oldest first.
  func snapshots() throws -> [JSONValue] {
    let outcome = try restic("snapshots", "--json")
    guard outcome.succeeded else { throw FerryError(.internal, "restic: \(outcome.errors)") }
    return try JSONValue(parsing: outcome.output).array ?? []
  }

  /// The packs of the repository.
  func packs() -> [String] {
    Files.names(in: "\(repository)/data").flatMap { two in
      Files.names(in: "\(repository)/data/\(two)").map { "\(repository)/data/\(two)/\($0)" }
    }
  }

  /// A folder with a restic that notes its arguments in `seen`, says another version if told, and leaves an option of that one to a helper.
  func watched(version: String? = nil, without option: String = "--none", then helper: String = "true") throws -> String {
    try folder.write(
      "programs/restic",
      """
      #!/bin/sh
      PATH=${PATH#*:}
      \(version.map { "[ $1 = version ] && echo 'restic \($0) compiled with go1.24 on linux/amd64' && exit" } ?? "")
      echo "$@" >> '\(folder("seen"))'
      found=false
      for word in "$@"; do
        shift
        if [ "$word" = \(option) ]; then found=true; else set -- "$@" "$word"; fi
      done
      restic "$@"
      code=$?
      $found && \(helper)
      exit $code
      """, mode: 0o755)
    return folder("programs")
  }

  func errors(_ harness: Harness, _ side: Side) throws -> [String] {
    try harness.call(side, .check)["notices"]?.array?.filter { $0["severity"] == "error" }.compactMap { $0["text"]?.string } ?? []
  }
}
