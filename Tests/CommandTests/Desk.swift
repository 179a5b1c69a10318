import FerrySystem
import Glibc
import TestSupport

/// A person's place at a machine with two nodes: a manifest, plugins, and the real `ferry`. What `ferry` is given is this folder's alone.
final class Desk: Sendable {
  let folder: TemporaryFolder
  let environment: [String: String?]

  /// `service` adds a small service, which does what `Desk.script` says.
  init(service: Bool = false, mode: String = "move", more: String = "") throws {
    folder = try TemporaryFolder()
    environment = [
      "FERRY_PLUGINS": folder("lib/plugins"), "FERRY_STATE": folder("state"), "FERRY_HOME": folder("home"),
      "XDG_CACHE_HOME": folder("cache"),
      "TERM": "xterm", "COLUMNS": nil, "FERRY_FAULT": nil,
    ]
    try Files.makeFolder(folder("lib/plugins"))
    try Files.replace(folder("lib/plugins/example.so"), with: Files.read(Self.library.get().1), mode: 0o755)
    for end in ["a", "b"] { try Files.makeFolder(folder(end)) }
    try folder.write("a/data", "what the service knows\n")
    try folder.write("service", Self.script, mode: 0o755)
    var manifest = """
      ferry: 1
      name: settings
      mode: \(mode)
      source: { node: local, name: a, home: "\(folder("a/ferry"))" }
      destination: { node: local, name: b, home: "\(folder("b/ferry"))" }
      state:
        - name: file
          provider: example-file
          from: { file: "\(folder("a/data"))" }
          to: { file: "\(folder("b/data"))" }

      """
    if service {
      let acts = ["stop", "start", "status", "hold", "release"].map {
        "      \($0): [\"/bin/sh\", \"-c\", 'exec \"$SERVICE\" \"$END\" \($0)']"
      }
      manifest += """
        services:
          - name: ledger
            command:
        \(acts.joined(separator: "\n"))
            source: { environment: { SERVICE: "\(folder("service"))", END: a } }
            destination: { environment: { SERVICE: "\(folder("service"))", END: b } }

        """
      try folder.write("a.serves", "")
    }
    try folder.write("move.yaml", manifest + more)
  }

  /// Serves while END.serves exists. A file `END-ACT-fails` makes an act fail, `END-ACT-waits` makes it wait for that file to go.
  private static let script = """
    #!/bin/sh
    cd "$(dirname "$0")" || exit 1
    : > "$1-$2-asked"
    while [ -e "$1-$2-waits" ]; do sleep 0.05; done
    [ -e "$1-$2-fails" ] && { echo "told to fail" >&2; exit 1; }
    case $2 in
      start) : > "$1.serves" ;;
      stop) rm -f "$1.serves" ;;
      status) [ -e "$1.serves" ] ;;
    esac
    """

  /// The teaching plugin, built once.
  private static let library = Result {
    let folder = try TemporaryFolder()
    let source = "\(Products.repository)/Plugins/Example/example.c"
    let outcome = try Command(["cc", "-shared", "-fPIC", "-O1", "-I\(Products.repository)/include", "-o", folder("example.so"), source])
      .run()
    guard outcome.succeeded else { throw FerryError(.internal, "cc: \(outcome.reason)") }
    return (folder, folder("example.so"))
  }

  var manifest: String { folder("move.yaml") }

  /// Runs `ferry` to its end.
  func ferry(_ arguments: String...) throws -> Command.Outcome { try run([Products.ferry] + arguments) }

  /// Runs any program to its end, with this desk's environment.
  func run(_ arguments: [String]) throws -> Command.Outcome {
    var command = Command(arguments, environment: environment, timeout: .seconds(120))
    command.errors = .capture(limit: 1 << 20)
    return try command.run()
  }

  /// Starts `ferry` and leaves it running; its output goes to files.
  func start(_ arguments: String...) throws -> Running {
    let name = Hex.random()
    let null = try Descriptor.open("/dev/null", O_RDWR)
    let out = try Descriptor.open(folder("\(name).out"), O_WRONLY | O_CREAT)
    let errors = try Descriptor.open(folder("\(name).err"), O_WRONLY | O_CREAT)
    let child = try ChildProcess.spawn(
      [Products.ferry] + arguments, environment: environment, descriptors: [0: null.number, 1: out.number, 2: errors.number])
    return Running(desk: self, child: child, name: name)
  }

  /// The newest run's id.
  func newest() throws -> String {
    try JSONValue(parsing: ferry("history", "--json").output.split(separator: "\n").first ?? "{}")["run"]?.string ?? ""
  }

  /// A `ferry` that runs.
  struct Running {
    let desk: Desk
    let child: ChildProcess
    let name: String

    func output() throws -> String { try desk.folder.read("\(name).out") }
    func errors() throws -> String { try desk.folder.read("\(name).err") }
    /// The errors so far, for a test's message.
    var told: String { (try? errors()) ?? "" }
    func send(_ signal: Int32) { kill(child.pid, signal) }
  }

  private enum Hex { static func random() -> String { String(UInt64.random(in: .min ... .max), radix: 16) } }
}

extension Command.Outcome {
  /// Each line of the output as JSON.
  func lines() throws -> [JSONValue] { try output.split(separator: "\n").map { try JSONValue(parsing: $0) } }
}
