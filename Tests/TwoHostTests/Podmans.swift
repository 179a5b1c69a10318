import FerrySystem
import Glibc
import HostSupport
import TestSupport

/// Two hosts with a Podman, a runc and a criu each, which keep their files in the same folders: each has its own /var/lib and /run.
final class Podmans: HostedEngines {
  let folder: TemporaryFolder
  let hosts: TestHosts
  let ferry: String

  /// With an image `box` at the first, which the second has not.
  init(_ tree: String, _ names: [String] = ["a", "b"]) throws {
    folder = try TemporaryFolder()
    ferry = "\(tree)/bin/ferry"
    hosts = try TestHosts(names, in: folder, ferry: ferry)
    for host in hosts.hosts {
      try host.write(
        "etc/containers.conf",
        "\(TestEngine.podmanSettings)[engine.runtimes]\nrunc = [\"/usr/local/bin/runc\"]\n")
      try host.program("podman", "#!/bin/sh\nCONTAINERS_CONF='\(host.folder)/etc/containers.conf' exec /usr/bin/podman \"$@\"\n")
      try runtime(host.name)
      try criu(host.name)
    }
    try run("a", "podman import '\(TestEngine.image())' box")
  }

  deinit {
    for host in hosts.hosts {
      // What another host's processes have in memory would outlive this one's.
      _ = try? call(host.name, "podman kill --all; podman rm --all --force --time 0; umount --lazy /var/lib/containers/storage/overlay")
    }
  }

  /// What criu is on a host; the script may do something else before it.
  func criu(_ host: String, _ before: String = "") throws {
    try hosts[host].program("criu", "#!/bin/sh\n\(before)\nexec '\(TestCriu.folder())/criu' \"$@\"\n")
  }

  /// What runc is on a host; the script may do something else before it.
  func runtime(_ host: String, _ before: String = "") throws {
    try hosts[host].program("runc", "#!/bin/sh\n\(before)\nexec /usr/sbin/runc \"$@\"\n")
  }

  // MARK: What runs in the container

  /// A container at a that counts in a variable of its shell, and nowhere else: what it writes, into its layer and into a volume, it never reads.
  func count(_ name: String, _ options: String = "") throws {
    let script = "i=0; while :; do i=$((i + 1)); echo $i >> /all; echo $i >> /data/all; sleep 0.02; done"
    try start(name, "--volume \(name)-data:/data \(options)", script)
  }

  /// A container at a whose script writes numbers to /all.
  func start(_ name: String, _ options: String, _ script: String, network: String = "none") throws {
    try folder.write("\(name).sh", script)
    try run(
      "a", "podman run --detach --network \(network) --name \(name) \(options) box /bin/sh -c \"$(cat '\(folder("\(name).sh"))')\"")
    try waitFor("\(name) to count") { try numbers("a", name).count > 5 }
  }

  /// A network namespace that containers of a host can be put into, and that outlives them.
  func makeNetwork(_ host: String) throws { try run(host, "ip netns add web && ip netns exec web ip link set lo up") }

  func numbers(_ host: String, _ name: String, _ file: String = "/all") throws -> [Int] {
    try call(host, "podman exec \(name) cat \(file)").output.split(separator: "\n").compactMap { Int($0) }
  }

  /// What is wrong with a counter that has gone on here: it must go on now, and have every number once.
  func complaints(_ host: String, _ name: String, files: [String] = ["/all", "/data/all"]) throws -> [String] {
    let before = try numbers(host, name).count
    do { try waitFor("\(name) to go on at \(host)") { try numbers(host, name).count > max(5, before) } } catch {
      return ["\(name) does not count at \(host): \(try call(host, "podman ps --all; podman logs \(name)").output)"]
    }
    return try files.compactMap { file in
      let all = try numbers(host, name, file)
      return all == Array(1...max(1, all.count)) ? nil : "\(file) of \(name) at \(host) has gaps or repetitions"
    }
  }

  /// What there is at a host of that container, its volumes, its image, and of checkpoints.
  func remains(_ host: String, _ name: String) throws -> String {
    try run(
      host,
      """
      podman ps --all --noheading --filter name='^\(name)' --format 'container {{.Names}}'
      podman volume ls --noheading --filter name='^\(name)' --format 'volume {{.Name}}'
      find '\(hosts[host].folder)/home' '\(hosts[host].folder)/lib/ferry' -name '*.tar' 2>/dev/null || true
      """)
  }

  // MARK: Ferry

  /// A manifest for that container.
  func manifest(_ name: String, mode: String = "move", keys: String = "") throws -> String {
    try folder.write(
      "\(name).yaml",
      """
      ferry: 1
      name: \(name)
      mode: \(mode)
      source: { node: "\(hosts["a"].node)" }
      destination: { node: "\(hosts["b"].node)" }
      state:
        - name: volumes
          provider: podman-volume
          from: { volumes-from: \(name) }
        - name: container
          provider: podman-container
          live: true
          from: { container: \(name) }
          to: { container: \(name) }
          after: [volumes]
          \(keys)
      """)
  }
}
