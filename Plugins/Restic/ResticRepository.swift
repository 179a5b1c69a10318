import FerryPluginKit
import Glibc

/// One repository, as one end reaches it: makes every command that is run against it.
///
/// The password goes through a pipe that restic reads as a file, keys of backends through its environment: nothing secret is ever an argument.
struct ResticRepository {
  /// What `restic snapshots` says of one.
  struct Snapshot: Decodable, Equatable {
    var id: String
    var time: String
    var hostname: String?
    var paths: [String]
    var tags: [String]?

    var isDeposit: Bool { tags?.contains(ResticDeposit.tag) == true }

    /// The value of a tag of Ferry's own, `NAME=VALUE`.
    func tag(_ name: String) -> String? {
      tags?.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) }
    }
  }

  /// What restic and its backends read from the environment and nobody should see: names that `secrets` may have beside `password`.
  static let keys = [
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_ACCOUNT_KEY", "AZURE_ACCOUNT_NAME", "AZURE_ACCOUNT_SAS",
    "B2_ACCOUNT_ID", "B2_ACCOUNT_KEY", "GOOGLE_ACCESS_TOKEN", "OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_SECRET",
    "OS_AUTH_TOKEN", "OS_PASSWORD", "OS_USERNAME", "RCLONE_CONFIG_PASS", "ST_KEY", "ST_USER",
  ]

  /// No variable of the person who started Ferry decides where a backup goes.
  static let plain: [String: String?] = {
    var changes: [String: String?] = ["LC_ALL": "C"]
    for name in Environment.all.keys where name.hasPrefix("RESTIC_") && name != "RESTIC_CACHE_DIR" { changes[name] = .some(nil) }
    return changes
  }()

  private static let passwordNumber: Int32 = 3
  private static let channelNumber: Int32 = 4

  let context: ProviderContext
  let config: ResticConfig
  let location: ResticLocation
  let memory: ResticMemory
  /// At the source, for a repository that only the channel leads to.
  var channel: Int32?

  init(_ context: ProviderContext, _ config: ResticConfig, _ memory: ResticMemory, channel: Int32? = nil) throws {
    self.context = context
    self.config = config
    self.memory = memory
    location = try ResticLocation(config.repository)
    self.channel = channel
  }

  /// Whether this end keeps the repository: makes it, thins it out and checks it.
  var isKeeper: Bool {
    switch location {
    case .url: context.side == .source
    case .channel: context.side == .destination
    }
  }

  /// Whether this end reaches it outside of a pass.
  var isReachable: Bool { if case .channel = location { context.side == .destination } else { true } }

  // MARK: Commands

  /// A command of restic's against this repository.
  func command(_ arguments: [String], timeout: Duration? = nil) throws -> Command {
    var environment = Self.plain
    for pair in config.environment ?? [] {
      if let equals = pair.firstIndex(of: "=") { environment[String(pair[..<equals])] = String(pair[pair.index(after: equals)...]) }
    }
    for name in Self.keys { if let value = try secret(name) { environment[name] = value } }
    var options = (config.options ?? []).flatMap { ["-o", $0] }
    var descriptors: [Int32: Int32] = [:]
    switch location {
    case .url(let text):
      environment["RESTIC_REPOSITORY"] = try withCredentials(text)
      if location.isFolder { options.append("--no-cache") }
    case .channel(let path):
      if context.side == .destination {
        environment["RESTIC_REPOSITORY"] = path
        options.append("--no-cache")
      } else {
        guard let channel else { throw FerryError(.internal, "a repository behind the channel was used without one") }
        environment["RESTIC_REPOSITORY"] = "sftp:ferry:\(path)"
        options += ["-o", "sftp.command=\(ResticRelay.command(channel: Self.channelNumber))"]
        descriptors[Self.channelNumber] = channel
      }
    }
    environment["RESTIC_PASSWORD_FILE"] = "/dev/fd/\(Self.passwordNumber)"
    var command = Command(["restic"] + options + arguments, environment: environment, timeout: timeout)
    command.descriptors = descriptors
    return command
  }

  /// Runs a command; throws if it cannot be started or was cancelled.
  func run(_ command: Command) throws -> Command.Outcome {
    let password = try Descriptor.pipe()
    try password.write.write(try context.secret("password") + [10])
    password.write.close()
    var command = command
    command.descriptors[Self.passwordNumber] = password.read.number
    // restic is silent for as long as it likes: that it reads shows that it lives.
    let pulse = ChildActivity { [context] read in context.progress(bytes: read) }
    defer { pulse.end() }
    return try context.run(command)
  }

  /// Runs a command and answers its output; an error of restic's is thrown.
  @discardableResult func output(_ arguments: [String], limit: Int = 1 << 28) throws -> String {
    try unlocking {
      var command = try command(arguments)
      command.output = .capture(limit: limit)
      let outcome = try run(command)
      guard outcome.succeeded else { throw ResticFailure.error(arguments[0], outcome) }
      return outcome.output
    }
  }

  /// Restores a snapshot, or what of it `include` names, into a folder.
  func restore(_ snapshot: ResticChoice, to folder: String, include: String? = nil) throws {
    var arguments = ["restore"] + snapshot.arguments + ["--target", folder] + (include.map { ["--include", "/\($0)"] } ?? [])
    if try memory.tool(context).keepsHoles { arguments.append("--sparse") }
    try output(arguments)
  }

  /// Work that finds the repository locked is done again, once, if it was a dead process's lock.
  func unlocking<Value>(_ work: () throws -> Value) throws -> Value {
    do { return try work() } catch let error as FerryError where error.class == .conflict {
      guard try removeStaleLocks() else { throw error }
      return try work()
    }
  }

  private func secret(_ name: String) throws -> String? {
    do { return String(decoding: try context.secret(name), as: UTF8.self) } catch let error as FerryError where error.class == .notFound {
      return nil
    }
  }

  private func withCredentials(_ text: String) throws -> String {
    guard text.hasPrefix("rest:http"), let user = try secret("RESTIC_REST_USERNAME"), let word = try secret("RESTIC_REST_PASSWORD") else {
      return text
    }
    // restic takes them from the environment from 0.16 on only; as part of the address every version does.
    let parts = text.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3 else { return text }
    return "\(parts[0])//\(Self.percentEncoded(user)):\(Self.percentEncoded(word))@\(parts[2])"
  }

  private static func percentEncoded(_ text: String) -> String {
    text.utf8.map { byte in
      let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
      return isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }

  // MARK: The repository itself

  /// What keeps the password from opening it; nil if nothing does.
  func probe() throws -> FerryError? {
    let probe = try run(command(["cat", "config", "--no-lock"]))
    let failure = probe.succeeded ? nil : ResticFailure.error("cat config", probe)
    if failure == nil || failure?.class == .notFound { memory.isThere = failure == nil }
    return failure
  }

  /// Opens it, and makes it where there is none. What `check` has seen counts: if it is gone since, the first backup says so.
  func open() throws {
    if memory.isThere == true { return }
    if memory.isThere == nil {
      guard let failure = try probe() else { return }
      guard failure.class == .notFound || failure.class == .io else { throw failure }
    }
    if case .channel(let path) = location { try Files.makeFolder(Files.parent(of: path)) }
    let made = try run(command(["init"]))
    guard !made.succeeded else {
      memory.isThere = true
      return context.log(.info, "made the repository \(config.repository)")
    }
    guard made.errors.contains("already exists") else { throw ResticFailure.error("init", made) }
    // Somebody else was faster, or it is there and cannot be read.
    if let failure = try probe() { throw failure }
  }

  /// Those with all tags of one of the lists, the newest last. Each command derives the key anew, which is slow on purpose: ask once.
  func snapshots(tags lists: [[String]]) throws -> [Snapshot] {
    let text = try output(["snapshots", "--json", "--no-lock"] + lists.flatMap { ["--tag", $0.joined(separator: ",")] })
    return (try JSONValue(parsing: text).decode([Snapshot]?.self) ?? []).sorted { $0.time < $1.time }
  }

  /// restic itself judges whose locks are stale: those of processes of this host that are gone, and those that nobody has refreshed for
  /// half an hour. Says whether there were any.
  private func removeStaleLocks() throws -> Bool {
    let before = try run(command(["list", "locks", "--no-lock"])).output
    let outcome = try run(command(["unlock"]))
    guard outcome.succeeded, try run(command(["list", "locks", "--no-lock"])).output != before else { return false }
    context.log(.warning, "the repository was locked by a process that is gone; its lock was removed")
    return true
  }
}
