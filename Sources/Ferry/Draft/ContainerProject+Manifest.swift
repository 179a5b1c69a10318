import FerrySystem
import Glibc

/// A project as a manifest: its volumes, then each container with its image and settings, then what it wrote into its own layer.
extension ContainerProject {
  /// The manifest, with a comment on each part.
  public func draft(_ terms: Terms = Terms()) throws -> Draft {
    if terms.newName != nil, containers.count > 1 || pod != nil {
      throw FerryError(
        .invalid, "'\(name)' is no single container, and one name is given for all", hint: "leave `--to-name` out")
    }
    if terms.live, engine == .docker {
      throw FerryError(
        .unsupported, "Docker cannot take a running container to another host: its checkpoints cannot leave it",
        hint: "leave `--live` out: the container is stopped, moved and started; nothing was written")
    }
    if terms.live, pod != nil {
      throw FerryError(
        .unsupported, "the containers of a pod cannot go on with their memory: what they share is made anew",
        hint: "leave `--live` out: the pod is stopped, moved and started; nothing was written")
    }
    return Draft(files: [Draft.File("\(name).yaml", text(terms))], notes: notes(terms))
  }

  private func notes(_ terms: Terms) -> [String] {
    guard !terms.withFolders else { return [] }
    return movableFolders.map { "\($0) of the host is mounted into a container and not moved: it has to be at the destination" }
  }

  /// Folders of the host that hold data, once each. What is the system's, or no folder, is none of them.
  private var movableFolders: [String] {
    let system = ["/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr", "/var/run", "/var/lib/docker"]
    let paths = Set(containers.flatMap { $0.folders.map(\.path) })
    return paths.filter { path in
      path != "/" && Files.isFolder(path) && !system.contains { path == $0 || path.hasPrefix("\($0)/") }
    }.sorted()
  }

  /// Volumes at one and the same engine need names of their own.
  private func isSameEngine(_ terms: Terms) -> Bool { terms.node == "local" }

  private func text(_ terms: Terms) -> String {
    let count = containers.count == 1 ? "1 container" : "\(containers.count) containers"
    let what =
      pod.map { "The pod \($0), \(count)" }
      ?? (containers.count == 1 ? "The \(engine.rawValue) container \(containers[0].name)" : "The compose project \(name), \(count)")
    var lines = [
      "# \(what): settings, image, volumes, and what was written beside them, in one run with one outage and a proof.",
      "# Written by `ferry init`. Read it, change it, keep it: ferry check \(name).yaml, then ferry run.",
      "ferry: 1",
      "name: \(name)",
      terms.copies
        ? "mode: copy       # the source goes on as it was"
        : "mode: move       # at the end, with all proven equal, the source's are removed",
    ]
    if let node = terms.node {
      lines += ["source:      { node: local }", "destination: { node: \(quoted(node))\(node == "local" ? "" : ", deploy: true") }"]
    } else {
      lines += [
        "parameters:", "  target: { description: host to move to }", "source:      { node: local }",
        "destination: { node: \"ssh://root@${target}\", deploy: true }",
      ]
    }
    lines += serviceLines(terms) + ["", "state:"] + volumeLines(terms) + podLines + folderLines(terms)
    for container in containers.reversed() { lines += containerLines(container, terms) }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Processes that are to go on are nobody's to stop.
  private func serviceLines(_ terms: Terms) -> [String] {
    guard !terms.live else { return [] }
    var lines = [
      "", "# Stopped in this order, held down whatever their restart policy, and started at the destination in reverse.", "services:",
    ]
    for container in containers {
      lines.append("  - \(engine.rawValue): \(container.name)")
      if let other = terms.newName { lines.append("    destination: { name: \(quoted(other)) }") }
    }
    return lines
  }

  // MARK: Items

  private var volumesItem: String { unused("volumes") }
  private func layerItem(_ container: MovedContainer) -> String { unused("\(container.name)-layer") }
  private func folderItem(_ path: String) -> String {
    let word = path.split(separator: "/").last.map(String.init) ?? "folder"
    return unused("\(word)-folder".replacing(/[^A-Za-z0-9._-]/, with: "_"))
  }
  /// No container's item has this name.
  private func unused(_ word: String) -> String { containers.contains { $0.name == word } ? "\(word)-item" : word }

  /// All volumes, once each: `volumes-from` of one container, by their names for several.
  private func volumeLines(_ terms: Terms) -> [String] {
    let names = Set(containers.flatMap { $0.volumes.map(\.name) }).sorted()
    guard !names.isEmpty else { return [] }
    var lines = [
      "  # Volumes: content, driver, labels and options.\(containers.count > 1 ? " Shared ones travel once." : "")",
      "  - name: \(volumesItem)",
      "    provider: \(engine.rawValue)-volume",
    ]
    let renamed = renamedVolumes(terms)
    let list = renamed.isEmpty ? "" : ", names: { \(renamed.map { "\(quoted($0.old)): \(quoted($0.new))" }.joined(separator: ", ")) }"
    if containers.count == 1, let container = containers.first {
      lines.append("    from: { volumes-from: \(container.name) }")
      if terms.newName != nil || !renamed.isEmpty {
        lines.append("    to:   { volumes-from: \(quoted(terms.newName ?? container.name))\(list) }")
      }
    } else {
      lines.append("    from: { volumes: [\(names.map(quoted).joined(separator: ", "))] }")
      let there = names.map { name in renamed.first { $0.old == name }?.new ?? name }
      lines.append("    to:   { volumes: [\(there.map(quoted).joined(separator: ", "))] }")
    }
    return lines + ["    allow-empty: true"]
  }

  /// Volumes that are called otherwise at the destination.
  private func renamedVolumes(_ terms: Terms) -> [(old: String, new: String)] {
    var renamed: [String: String] = [:]
    for container in containers {
      for volume in container.volumes {
        let there = terms.newName ?? container.name
        if terms.live {
          // Processes go on with the names that they were started with.
          if isAnonymous(volume.name) { renamed[volume.name] = volume.name }
        } else if isAnonymous(volume.name) {
          // The volumes of one container are called so by their provider.
          if containers.count > 1 { renamed[volume.name] = renamed[volume.name] ?? "\(there)-\(word(volume.place))" }
        } else if isSameEngine(terms), let name = terms.newName {
          renamed[volume.name] =
            volume.name.hasPrefix(container.name) ? name + volume.name.dropFirst(container.name.count) : "\(name)-\(volume.name)"
        }
      }
    }
    return renamed.map { (old: $0.key, new: $0.value) }.sorted { $0.old < $1.old }
  }

  private func isAnonymous(_ volume: String) -> Bool {
    volume.utf8.count == 64 && volume.utf8.allSatisfy { "0123456789abcdef".utf8.contains($0) }
  }

  /// As the volume providers make a word of a mount point.
  private func word(_ place: String) -> String {
    place.split(separator: "/").joined(separator: "-").replacing(/[^A-Za-z0-9._-]/, with: "_")
  }

  private var podItem: String { unused("pod") }
  private var podLines: [String] {
    guard let pod else { return [] }
    return [
      "  # The pod itself: what its containers share, and the ports that are published of it.", "  - name: \(podItem)",
      "    provider: podman-pod", "    from: { pod: \(quoted(pod)) }", "    to:   { pod: \(quoted(pod)) }",
    ]
  }

  private func folderLines(_ terms: Terms) -> [String] {
    movableFolders.flatMap { path -> [String] in
      let item = ["  - name: \(folderItem(path))", "    provider: tree", "    from: { path: \(quoted(path)) }", "    allow-empty: true"]
      if terms.withFolders { return ["  # A folder of the host that is mounted into a container."] + item }
      return [
        "  # \(path) of the host is mounted into a container. It has to be at the destination; to move it as well, take away these",
        "  # marks and add the item's name to `after` of the container.",
      ] + item.map { "  # \($0.dropFirst(2))" }
    }
  }

  private func containerLines(_ container: MovedContainer, _ terms: Terms) -> [String] {
    let there = terms.newName ?? container.name
    var after = (container.volumes.isEmpty ? [] : [volumesItem]) + (pod == nil ? [] : [podItem])
    if terms.withFolders { after += movableFolders.filter { path in container.folders.contains { $0.path == path } }.map(folderItem) }
    if let shared = container.shares { after += containers.filter { $0.id == shared || $0.name == shared }.map(\.name) }
    // An image that several are made from travels with the first of them.
    if let first = containers.last(where: { $0.image == container.image }), first.name != container.name { after.append(first.name) }
    let renamed = renamedVolumes(terms)
    let mounts = container.volumes.compactMap { volume in
      renamed.first { $0.old == volume.name }.map { "\(quoted(volume.place)): \(quoted($0.new))" }
    }
    after = after.enumerated().filter { after.firstIndex(of: $0.element) == $0.offset }.map(\.element)
    let afterLine = after.isEmpty ? [] : ["    after: [\(after.map(quoted).joined(separator: ", "))]"]
    guard !terms.live else {
      return [
        "  # The container \(container.name) as it runs: its processes with their memory, its settings, what was written beside its volumes, and those",
        "  # layers of \(container.image) that the destination lacks. It stops for its checkpoint and goes on at the destination.",
        "  - name: \(container.name)",
        "    provider: podman-container",
        "    live: true",
        terms.connections.map { "    connections: \($0.rawValue)" }
          ?? "    # connections: close   # established TCP connections are reset; `keep` takes them to a host of the same address",
        "    from: { container: \(container.name) }",
        "    to:   { container: \(quoted(there)) }",
      ] + afterLine
    }
    return [
      "  # The container \(container.name) with all its settings, and those layers of \(container.image) that the destination lacks.",
      "  - name: \(container.name)",
      "    provider: \(engine.rawValue)-container",
      "    from: { container: \(container.name) }",
      "    to:   { container: \(quoted(there))\(mounts.isEmpty ? "" : ", mounts: { \(mounts.joined(separator: ", ")) }") }",
    ] + afterLine + [
      "  # What was written into it beside its volumes.",
      "  - name: \(layerItem(container))",
      "    provider: \(engine.rawValue)-layer",
      "    from: { container: \(container.name) }",
      "    to:   { container: \(quoted(there)), made-by: \(container.name) }",
      "    after: [\(container.name)]",
      "    allow-empty: true",
    ]
  }

  /// Plain where YAML reads it as the same text, else between quotes.
  private func quoted(_ text: String) -> String {
    let isPlain =
      text.wholeMatch(of: /[A-Za-z\/][A-Za-z0-9._\/-]*/) != nil
      && !["true", "false", "null", "yes", "no", "on", "off"].contains(text.lowercased())
    return isPlain ? text : JSONValue.string(text).text
  }
}
