import Ferry
import FerrySystem
import PluginHarness
import TestSupport

/// Containers that count in a variable of a shell, and nowhere else: what they write they never read.
enum Counting {
  /// Starts one, with so many bytes of memory that it never changes.
  static func start(_ engine: TestEngine, _ name: String, _ options: [String] = [], ballast: Int = 0) throws {
    let script = """
      x=$(busybox yes 0123456789 | busybox head -c \(ballast))
      trap 'echo "$x" | busybox md5sum > /sum' USR1
      i=0; while :; do i=$((i + 1)); echo $i >> /all; sleep 0.02; done
      """
    try engine.run(["run", "--detach", "--network", "none", "--name", name] + options + ["box", "/bin/sh", "-c", script])
    try waitFor("the counter") { try numbers(engine, name).count > 5 }
  }

  /// What it has counted.
  static func numbers(_ engine: TestEngine, _ name: String) throws -> [Int] {
    try engine.call("exec", name, "cat", "/all").output.split(separator: "\n").compactMap { Int($0) }
  }

  /// The sum of what it never changes, as it has it in memory now.
  static func sum(_ engine: TestEngine, _ name: String) throws -> String {
    try engine.run("exec", name, "rm", "-f", "/sum")
    try engine.run("kill", "--signal", "USR1", name)
    var sum = ""
    try waitFor("the sum") {
      sum = try engine.call("exec", name, "cat", "/sum").output
      return sum.hasSuffix("\n")
    }
    return sum
  }

  /// Both ends of a move with memory. `tracking` is how the source's memory is tracked, if it is; `podman` what the destination's Podman is.
  static func harness(
    _ from: TestEngine, _ to: TestEngine, _ name: String, _ folder: TemporaryFolder, tracking: Tracking? = nil, podman: [String]? = nil,
    keys: [String: JSONValue] = [:]
  ) throws -> Harness {
    func end(_ engine: TestEngine, _ environment: [String: String] = [:]) -> JSONValue {
      let variables = engine.environment.merging(environment) { $1 }
      let call = ["env"] + variables.map { "\($0.key)=\($0.value)" }.sorted() + ["podman"]
      return ["container": .string(name), "engine": .string(engine.address), "podman": .array(call.map { .string($0) })]
    }
    var target = end(to)
    if let podman { target["podman"] = .array(podman.map { .string($0) }) }
    return try Harness(
      product: "container", provider: "podman-container", folder: folder, from: end(from, tracking?.environment ?? [:]), to: target,
      keys: keys.merging(["live": true]) { $1 }, programs: tracking?.programs ?? TestCriu.folder())
  }
}

/// A Podman whose memory can be taken ahead. On a kernel that tracks it, all of it is real (Scripts/guest). On one that does not, its runtime acts as
/// if every page had changed since: what is taken ahead is a checkpoint that leaves the processes running, and the last one is whole.
struct Tracking {
  /// A folder for PATH.
  let programs: String
  let environment: [String: String]
  private let folder: TemporaryFolder

  /// `before` is what the runtime does first, in shell.
  init(_ engine: TestEngine, _ folder: TemporaryFolder, before: String = "") throws {
    self.folder = folder
    programs = folder("programs")
    let (criu, conf) = ("\(try TestCriu.folder())/criu", engine.environment["CONTAINERS_CONF"] ?? "")
    let tracks = TestCriu.tracksMemory ? "" : #"[ "$*" != "check --feature mem_dirty_track" ] || exit 0"#
    try folder.write("programs/criu", "#!/bin/sh\n\(tracks)\nexec '\(criu)' \"$@\"\n", mode: 0o755)
    let standIn = """
      left=
      for word; do
        shift
        case $left$word in
          --pre-dump) set -- "$@" --leave-running ;;
          --parent-path) left=. ;;
          .*) left= ;;
          *) set -- "$@" "$word" ;;
        esac
      done
      """
    try folder.write(
      "programs/runc",
      "#!/bin/sh\necho \"$*\" >> '\(folder("calls"))'\n\(before)\n\(TestCriu.tracksMemory ? "" : standIn)\nexec /usr/sbin/runc \"$@\"\n",
      mode: 0o755)
    try folder.write(
      "programs/containers.conf",
      "\(String(decoding: Files.read(conf), as: UTF8.self))\n[engine.runtimes]\nrunc = [\"\(programs)/runc\"]\n")
    environment = ["CONTAINERS_CONF": folder("programs/containers.conf")]
  }

  /// What the runtime was told to take: for each checkpoint whether it was ahead, and whether it leant on one.
  func checkpoints() throws -> [String] {
    try folder.read("calls").split(separator: "\n").filter { $0.contains("--image-path") && !$0.hasPrefix("restore") }.map { call in
      call.contains("--pre-dump") ? "ahead" : call.contains("--parent-path") ? "leaning" : "whole"
    }
  }
}
