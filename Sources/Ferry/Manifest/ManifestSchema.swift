/// Every key of a manifest: one table, from which come the parser, the published JSON Schema and the reference in the docs.
public enum ManifestSchema {
  /// What messages call the top level.
  static let place = "the manifest"

  /// How names look that go into folder names, unit names and messages.
  static let namePattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
  private static let name = Shape.text(
    namePattern, expect: "a name", hint: "letters, digits, '.', '_' and '-', the first a letter or digit, at most 63")

  static let root = Shape.record([
    .key(
      "ferry",
      Shape(.int(minimum: nil, maximum: nil), allowed: [1], hint: "this is Ferry \(ferryVersion); it reads manifests of version 1"),
      "The version of the manifest's format: 1.", required: true),
    .key("name", name, "What the migration is called.", required: true),
    .key(
      "mode", .word(Manifest.Mode.self),
      "`copy` leaves the source as it was, `move` removes it once the destination serves, `follow` goes on with increments.",
      default: "copy"),
    .key(
      "parameters", .map(parameter, keys: ParameterTable.namePattern),
      "Values that `--set name=value` gives; `${name}` stands for one in values and in inner keys, `$${` for a plain `${`."),
    .key("source", node, "Where the state is.", required: true),
    .key("destination", node, "Where it goes.", required: true),
    .key(
      "repositories", .map(repository, keys: namePattern),
      "Stores that items name: `repository: NAME`, or with a sub-path `NAME/wiki/one`."),
    .key("services", .list(service), "What uses the state: stopped from the first to the last, started in reverse."),
    .key("state", .list(item, atLeast: 1), "What is moved: one entry for each item, each with its provider.", required: true),
    .key("cutover", cutover, "The outage, and what to do if it will not fit.", default: .object(defaults(of: cutover))),
    .key("limits", limits, "What the run may use.", default: .object(defaults(of: limits))),
    .key(
      "channel", .word(Manifest.Channel.self),
      "How the nodes are joined: `direct` from host to host, encrypted; `ssh` through the controller's own connections; `auto` the first where one host can reach the other, and else the second.",
      default: "auto"),
    .key(
      "verify", .word(Manifest.VerifyMethod.self),
      "`tracked` compares the digests gathered while copying, `sweep` also walks both ends, `full` reads all again.", default: "sweep"),
    .key(
      "digest", .word(Manifest.DigestAlgorithm.self), "`xxh3-128` against faults; `sha256` for those who want it.", default: "xxh3-128"),
    .key("hooks", .text(), "A folder of executables by phase and side, relative to the manifest."),
    .key(
      "on-failure", .word(Manifest.FailurePolicy.self), "`undo` what was done at the destination, or `keep` it for a look.",
      default: "undo"),
    .key(
      "rollback-for", .duration,
      "How long a run that is done can still be rolled back: what it replaced is kept that long. Not for `move`, which removes the source.",
      words: "not at all"),
    .key(
      "retry", .duration,
      "How long a node that was lost is looked for again before the run goes back. One that is found and refuses is not waited for.",
      words: "not at all"),
  ])

  static let parameter = Shape.record([
    .key("description", .text(minLength: 0), "What it is, for whoever runs the manifest."),
    .key("default", .text(minLength: 0), "Its value without `--set`; a parameter without one must be set."),
    .key("pattern", .text(), "A regular expression that the whole value must match."),
  ])

  static let node = Shape.record([
    .key(
      "node",
      .text(
        NodeAddress.pattern, expect: "'local' or 'ssh://user@host:port'",
        hint: "user and port may be left to ssh's configuration; a password is never part of it",
        isSecret: true),
      "`local`, or `ssh://user@host:port` (user and port as in ssh's own configuration if left out).", required: true),
    .key("name", name, "What messages call it.", words: "its address"),
    .key("home", .text(), "Where the node keeps its records, relative to the manifest if not absolute.", words: "the node's own"),
    .key(
      "become", .word(NodeSpec.Become.self), "Run as root there, by `sudo -n`, when the login is not root's.", words: "the login's user"),
    .key("deploy", .bool, "Bring Ferry itself along, for a node that has none.", default: false),
  ])

  static let service = Shape.record(
    [
      .key("name", name, "What messages call it.", words: "the unit, the container or the program"),
      .key("command", command, "A service that is run by commands."),
      .key("systemd", .text("^[A-Za-z0-9:_.@\\\\][A-Za-z0-9:_.@\\\\-]*$", expect: "a unit's name"), "A systemd unit."),
      .key("podman", container, "A Podman container."),
      .key("docker", container, "A Docker container."),
      .key(
        "user", Shape(.oneOf([.bool, user]), expect: "true, false or a user's name"),
        "Whose it is: a user whose own systemd has the unit, whose engine the container, and as whom its commands run, which takes root. `true`: a unit of the user as whom Ferry runs.",
        default: false),
      .key("stop-timeout", .duration, "How long stopping may take before it is forced.", default: "60s"),
      .key("start-timeout", .duration, "How long starting may take.", default: "60s"),
      .key("healthy", .command, "A command that ends with 0 once the service is well."),
      .key("healthy-timeout", .duration, "How long it may take to become well.", default: "60s"),
      .key("source", side, "What differs at the source."),
      .key("destination", side, "What differs at the destination."),
    ], exactlyOne: ["command", "systemd", "podman", "docker"], noun: "service")

  private static let user = Shape.text("^[A-Za-z_][A-Za-z0-9_.-]{0,31}$", expect: "a user's name")
  private static let container = Shape.text("^[A-Za-z0-9][A-Za-z0-9_.-]*$", expect: "a container's name")

  static let command = Shape.record([
    .key("stop", .command, "Stops it, and returns when it is down.", required: true),
    .key("start", .command, "Starts it.", required: true),
    .key("status", .command, "Ends with 0 while it runs."),
    .key("hold", .command, "Makes it stay down whoever starts it."),
    .key("release", .command, "Undoes `hold`."),
    .key("healthy", .command, "The same as `healthy` beside `command`."),
  ])

  static let side = Shape.record([
    .key("name", .text(minLength: 0), "The unit's or container's name at this end; the empty text: not at this end."),
    .key("user", user, "Whose it is at this end.", words: "the service's"),
    .key(
      "environment", .map(.text(minLength: 0), keys: "^[A-Za-z_][A-Za-z0-9_]*$"), "Added to the environment of its commands at this end."),
  ])

  /// The provider's own keys stand beside these.
  static let item: Shape = {
    var record = Shape.Record(
      fields: [
        .key("name", name, "What the item is called.", required: true),
        .key("provider", .text(), "Which plugin moves it.", required: true),
        .key("from", Shape(.record(.init(fields: [], rest: .any))), "The state at the source; its keys are the provider's."),
        .key("to", Shape(.record(.init(fields: [], rest: .any))), "The same at the destination.", words: "`from`"),
        .key("after", .list(.text()), "Items that go first inside each phase."),
        .key("secrets", secrets, "References to secrets, never the secrets."),
        .key("allow-empty", .bool, "An empty source is no error.", default: false),
        .key(
          "follow", .word(ItemSpec.Follow.self), "In mode `follow`: increments until cutover, or for ever.", default: "until-cutover"),
      ], rest: .any)
    record.noun = "state"
    return Shape(.record(record))
  }()

  private static let secrets: Shape = {
    var shape = Shape.map(secret, keys: "^[A-Za-z][A-Za-z0-9_-]*$")
    shape.expect = "a map from names to references"
    shape.hint = secret.hint
    shape.isSecret = true
    return shape
  }()

  static let secret: Shape = {
    let words = "a reference, never the secret itself"
    let hint = "write { env: NAME }, { file: /absolute/path } or { command: [program, argument] }"
    var shape = Shape.record(
      [
        .key(
          "env", .text("^[A-Za-z_][A-Za-z0-9_]*$", expect: "the name of a variable", isSecret: true),
          "A variable in the environment of the `ferry` that runs the manifest."),
        .key("file", .text("^/", expect: "an absolute path", isSecret: true), "A file on the node that needs the secret."),
        .key(
          "command",
          .list(.text(minLength: 0, isSecret: true), atLeast: 1, expect: "a list: the program and its arguments", isSecret: true),
          "A command on the node that needs it; its output is the secret."),
      ], exactlyOne: SecretReference.keys)
    shape.expect = words
    shape.hint = hint
    shape.isSecret = true
    return shape
  }()

  static let repository = Shape.record(
    [
      .key("url", .text(), "Its address, as the provider writes it.", required: true),
      .key("provider", .text(), "Which provider's it is.", default: "restic"),
      .key("id", .text(), "A name of its own for other programs."),
      .key("options", .list(.text()), "What the provider is told beside the item's own `options`."),
      .key("environment", .list(.text()), "The same for `environment`."),
      .key("secrets", secrets, "References to secrets that its items need not repeat."),
    ], noun: "repository")

  static let cutover = Shape.record([
    .key("max-downtime", .duration, "The budget of the outage.", words: "no budget"),
    .key("on-miss", .word(CutoverSpec.OnMiss.self), "If the budget cannot be met: leave all as it is, or go on.", default: "abort"),
    .key("hold-before", .list(.word(Phase.self)), "Phases before which the run waits for a person.", default: []),
    .key(
      "watchdog", .duration, "How long the source is held down without word from the run before it is brought back.", default: "5m"),
    .key("max-passes", .int(1, 1000), "At most this many copy passes.", default: 8),
  ])

  static let limits = Shape.record([
    .key("bandwidth", .size, "Bytes a second over all channels.", words: "no limit"),
    .key("parallel", .int(1, 256), "Items at once.", default: 4),
    .key("stall", .duration, "A call that makes no progress for this long is ended.", default: "10m"),
    .key("streams", .int(1, 16), "TCP connections that share the source's bytes of a `direct` channel.", default: 2),
    .key("compression", .word(LimitsSpec.Compression.self), "Whether channels may compress.", default: "auto"),
  ])

  private static func defaults(of shape: Shape) -> [String: JSONValue] {
    guard case .record(let record) = shape.kind else { return [:] }
    return Dictionary(uniqueKeysWithValues: record.fields.compactMap { field in field.defaultValue.map { (field.key, $0) } })
  }

  /// The JSON Schema of a manifest after its parameters are filled in. A provider's own keys are for the provider's schema.
  public static func jsonSchema() -> JSONValue {
    root.jsonSchema(title: "Ferry manifest", description: "What is moved from where to where, and how. Made from the parser's own table.")
  }
}

extension SecretReference {
  /// The three ways to say where a secret is.
  static let keys = ["env", "file", "command"]
}
