import FerrySystem
import Glibc
import HostSupport
import TestSupport

/// Hosts that stand for the nodes of a NethServer cluster, and instances of the fixtures' modules on them. What `cluster/add-module` does before
/// create-module, the test does: a user, its folder with the module's image root, `environment` and `agent.env`.
///
/// Real are sshd, systemd's user manager and Podman, and each instance has its own. A rootless one has an ordinary user without a login shell, as
/// NethServer's have, with a range of subordinate ids of their own.
final class Cluster: Sendable {
  let folder: TemporaryFolder
  let hosts: TestHosts
  private let ferry: String

  /// An installed tree: the one that Scripts/test lays out.
  static let tree: String? = {
    let stage = Products.stage
    if Files.exists("\(stage)/bin/ferry") { return stage }
    print("skipped: the tests of modules need the installed tree in FERRY_STAGE")
    return nil
  }()
  /// Whether there can be such a cluster here; says once why not.
  static let available: Bool = {
    let missing = ["podman", "runc", "busybox", "jq", "restic", "systemctl", "newuidmap", "setpriv", "runuser"].filter {
      (try? Programs.find($0)) == nil && access("/usr/sbin/\($0)", X_OK) != 0
    }
    if !missing.isEmpty { print("skipped: the tests of modules need \(missing.joined(separator: ", "))") }
    return TestHosts.available && tree != nil && missing.isEmpty && Files.exists("/lib/systemd/systemd")
  }()

  init(_ names: [String]) throws {
    folder = try TemporaryFolder()
    ferry = "\(Self.tree ?? "")/bin/ferry"
    hosts = try TestHosts(names, in: folder, ferry: ferry)
    for name in ["homes", "routes"] { try Files.makeFolder(folder(name), mode: 0o755) }
    for host in hosts.hosts {
      try host.program(
        "podman",
        """
        #!/bin/sh
        export CONTAINERS_CONF="$HOME/containers.conf" CONTAINERS_STORAGE_CONF="$HOME/storage.conf"
        exec \(try Programs.find("podman")) "$@"

        """)
      try run(host.name, "mkdir -p /run/systemd/system")
      for name in ["subuid", "subgid"] {
        try host.write("etc/\(name)", "")
        try run(host.name, "[ -e /etc/\(name) ] || touch /etc/\(name); mount --bind '\(host.folder)/etc/\(name)' /etc/\(name)")
      }
    }
    // Every instance's steps write there.
    try folder.write("steps", "")
    chmod(folder("steps"), 0o666)
    chmod(folder("routes"), 0o777)
  }

  deinit {
    for instance in instances.withLock({ $0 }) { try? instance.end() }
  }

  private let instances = Lock<[Instance]>([])

  // MARK: Instances

  /// What add-module leaves: an instance with nothing in it.
  func add(_ id: String, _ module: String, on host: String, environment: [String] = []) throws -> Instance {
    let isRootless = module == "wiki"
    let home = isRootless ? folder("homes/\(id)") : try "\(hosts[host].folder)/lib/nethserver/\(id)"
    let user = isRootless ? 5001 + UInt32(instances.withLock { $0.count }) : 0
    let instance = Instance(
      hosts: hosts, id: id, host: host, home: home, folder: isRootless ? "\(home)/.config" : home, isRootless: isRootless, user: user)
    try Files.makeFolder("\(instance.folder)/state", mode: 0o700)
    try run(host, "cp -R '\(Self.imageRoot(module))/.' '\(instance.folder)'")
    try instance.write("agent.env", "AGENT_ID=module/\(id)\nSTEPS=\(folder("steps"))\nROUTES=\(folder("routes"))\n")
    try instance.write("environment", "MODULE_ID=\(id)\nMODULE_UUID=uuid-\(id)\n" + environment.map { "\($0)\n" }.joined())
    try instance.write("apitoken.cache", "token of \(id)")
    instances.withLock { $0.append(instance) }
    try instance.begin()
    return instance
  }

  static func imageRoot(_ module: String) -> String { "\(Products.repository)/Tests/NS8Tests/Modules/\(module)/imageroot" }

  /// What the steps of all modules have said, in their order.
  var steps: [String] { ((try? folder.read("steps")) ?? "").split(separator: "\n").map(String.init) }

  // MARK: Running

  private func run(_ host: String, _ line: String) throws {
    let outcome = try hosts[host].command(["/bin/sh", "-c", line]).run()
    guard outcome.succeeded else { throw FerryError(.internal, "\(host): \(line): \(outcome.reason)") }
  }

  /// The controller's own machine.
  func ferry(_ arguments: String...) throws -> Command.Outcome { try ferry(arguments) }
  func ferry(_ arguments: [String]) throws -> Command.Outcome {
    var command = Command(
      [ferry] + arguments,
      environment: ["HOME": folder.path, "FERRY_SSH_CONFIG": hosts.sshConfig, "FERRY_STATE": folder("state"), "FERRY_PLUGINS": nil])
    command.timeout = .seconds(300)
    command.output = .capture(limit: 4 << 20)
    command.errors = .capture(limit: 1 << 20)
    return try command.run()
  }

  /// Writes a module's manifests, as a person does; answers their folder.
  func draft(_ module: String) throws -> String {
    let outcome = try ferry("init", "ns8:\(Self.imageRoot(module))", "--into", folder("manifests"), "--force")
    guard outcome.succeeded else { throw FerryError(.internal, "ferry init: \(outcome.errors)") }
    return folder("manifests")
  }
}

/// One instance of a module on a node.
struct Instance: Sendable {
  let hosts: TestHosts
  let id: String
  let host: String
  let home: String
  /// AGENT_INSTALL_DIR.
  let folder: String
  let isRootless: Bool
  /// The id of its user, which is root's for a rootful one.
  let user: UInt32

  /// The id on the disk of a user of its containers: the subordinate ids begin at a place of each instance's own.
  func onDisk(_ id: UInt32) -> UInt32 { !isRootless ? id : id == 0 ? user : first + id - 1 }
  private var first: UInt32 { user * 65536 }
  private var runtime: String { isRootless ? "/run/user/\(user)" : "/run" }

  /// What makes its user run a command on the host.
  private var asUser: [String] {
    isRootless
      ? [
        "setpriv", "--reuid", "\(user)", "--regid", "\(user)", "--init-groups", "env", "-i", "HOME=\(home)", "XDG_RUNTIME_DIR=\(runtime)",
        "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      ] : []
  }

  func call(_ line: String) throws -> Command.Outcome {
    var command = try hosts[host].command(asUser + ["/bin/sh", "-c", line])
    command.output = .capture(limit: 4 << 20)
    return try command.run()
  }
  @discardableResult func run(_ line: String) throws -> String {
    let outcome = try call(line)
    guard outcome.succeeded else { throw FerryError(.internal, "\(id): \(line): \(outcome.reason)") }
    return outcome.output.split(separator: "\n").joined(separator: "\n")
  }

  /// Its user, its systemd and its Podman.
  fileprivate func begin() throws {
    let node = try hosts[host]
    let podman = isRootless ? home : "\(node.folder)/home"
    for (name, text) in [
      (
        "containers.conf",
        "\(TestEngine.podmanSettings)tmp_dir = \"\(runtime)/libpod\"\n"
      ),
      (
        "storage.conf",
        """
        [storage]
        driver = "\(isRootless ? "vfs" : "overlay")"
        graphroot = "\(podman)/.local/share/containers/storage"
        runroot = "\(runtime)/containers"

        """
      ),
    ] { try Files.replace("\(podman)/\(name)", with: Array(text.utf8), mode: 0o644) }
    if isRootless {
      let users = try String(decoding: Files.read("\(node.folder)/etc/passwd"), as: UTF8.self)
      try node.write("etc/passwd", users + "\(id):x:\(user):\(user)::\(home):/usr/sbin/nologin\n")
      let shadow = try String(decoding: Files.read("\(node.folder)/etc/shadow"), as: UTF8.self)
      try node.write("etc/shadow", shadow + "\(id):*:19000:0:99999:7:::\n", mode: 0o600)
      for name in ["subuid", "subgid"] {
        let known = try String(decoding: Files.read("\(node.folder)/etc/\(name)"), as: UTF8.self)
        try node.write("etc/\(name)", known + "\(id):\(first):65536\n")
      }
      // A control group of its own, as every user's systemd has: a unit's processes are found by its group.
      let script = """
        set -e
        chown -R \(user):\(user) '\(home)'
        mkdir -p /run/user; mkdir -m 700 \(runtime); chown \(user):\(user) \(runtime)
        for g in \(groups); do (mkdir -p $g && chown -R \(user):\(user) $g && echo $$ > $g/cgroup.procs) 2> /dev/null || true; done
        exec "$@"
        """
      var manager = try node.command(["/bin/sh", "-c", script, "sh"] + asUser + ["/lib/systemd/systemd", "--user"])
      manager.timeout = nil
      Threads.detach { [manager] in _ = try? manager.run() }
      try waitFor("the systemd of \(id)", seconds: 120) { try state("default.target") == "active" }
    }
    if try !call("podman image exists box").succeeded {
      try Files.replace("\(podman)/box.tar", with: try Files.read(try TestEngine.image(), limit: 64 << 20), mode: 0o644)
      try run("podman import '\(podman)/box.tar' box")
    }
  }

  fileprivate func end() throws {
    _ = try call("podman kill --all; podman rm --all --force")
    if isRootless {
      _ = try call("systemctl --user exit")
      _ = try hosts[host].command(["/bin/sh", "-c", "for g in \(groups); do find $g -depth -type d -exec rmdir {} +; done"]).run()
    }
    if !isRootless { _ = try call("umount -l '\(try hosts[host].folder)/home/.local/share/containers/storage/overlay'") }
  }

  private var groups: String {
    let name = home.split(separator: "/").joined(separator: "-")
    return "/sys/fs/cgroup/\(name) /sys/fs/cgroup/unified/\(name) /sys/fs/cgroup/systemd/\(name)"
  }

  // MARK: State

  func write(_ name: String, _ text: String) throws {
    try Files.makeFolder(Files.parent(of: "\(folder)/state/\(name)"))
    try Files.replace("\(folder)/state/\(name)", with: Array(text.utf8))
    try give("\(folder)/state")
  }
  /// Makes the instance's what the test has made.
  private func give(_ path: String) throws { _ = try Command(["chown", "-R", "\(user):\(user)", path]).run() }
  /// Makes a file that a user of its containers has.
  func file(_ path: String, of id: UInt32) throws {
    try Files.replace(path, with: [], mode: 0o600)
    guard chown(path, onDisk(id), onDisk(id)) == 0 else { throw FerryError(errno: errno, "cannot give \(path) away") }
  }
  /// Whether a file is such a user's, and the group too.
  func isFile(_ path: String, of id: UInt32) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_uid == onDisk(id) && status.st_gid == onDisk(id)
  }
  func read(_ name: String) throws -> String { String(decoding: try Files.read("\(folder)/state/\(name)"), as: UTF8.self) }
  func has(_ name: String) -> Bool { Files.exists("\(folder)/state/\(name)") }
  /// The lines of `environment`.
  func variables() throws -> Set<String> { Set(try read("environment").split(separator: "\n").map(String.init)) }

  /// Makes a volume with the program in it that the fixtures' services run: it writes one number after the other into its log.
  func volume(_ name: String) throws -> String {
    try run("podman volume exists \(name) || podman volume create \(name)")
    let place = try place(name)
    let program = """
      trap 'exit 0' TERM
      n=0; [ -e /pages/log ] && while read -r line; do n=$line; done < /pages/log
      while :; do n=$((n + 1)); echo $n >> /pages/log; sleep 0.1; done
      """
    try Files.replace("\(place)/serve", with: Array(program.utf8), mode: 0o644)
    try give("\(place)/serve")
    return place
  }

  /// Where a volume's content is.
  func place(_ volume: String) throws -> String { try run("podman volume inspect --format '{{.Mountpoint}}' \(volume)") }

  /// The numbers in the log of a volume.
  func log(_ volume: String) throws -> [Int] {
    try String(decoding: Files.read("\(place(volume))/log"), as: UTF8.self).split(separator: "\n").compactMap { Int($0) }
  }

  func state(_ unit: String) throws -> String {
    try call("systemctl --user show --property=ActiveState --value \(unit)").output.filter { !$0.isWhitespace }
  }
  func isEnabled(_ unit: String) throws -> Bool { try call("systemctl --user is-enabled --quiet \(unit)").succeeded }
}
