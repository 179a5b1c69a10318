/// What `cluster/clone-module` does, as a manifest and its hooks.
extension NS8Module {
  /// NethServer's own exclusions, which come before any rule of the module.
  static let kept = ["agent.env", "environment", "apitoken.cache"]

  var cloneManifest: String {
    var parameters = [
      ("mode", "{ description: \"copy (replace: false), or move (replace: true)\", default: copy, pattern: copy|move }"),
      ("from", "{ description: \"the instance that is cloned: \(name)1\" }"),
      ("to", "{ description: \"the new instance: \(name)2; its folder, with the module's files, is there already\" }"),
      ("from-node", "{ description: \"the node of the one: local, or ssh://root@node1\", default: local }"),
      ("to-node", "{ description: the node of the other; it may be the same, default: local }"),
      ("home", "{ description: where the folders of instances are, default: \(home) }"),
    ]
    if !steps(of: "create-module").isEmpty {
      parameters.append(("create", "{ description: \"whether create-module is run: false if cluster/add-module has\", default: \"true\" }"))
    }
    if !steps(of: "configure-module").isEmpty {
      parameters.append(("configure", "{ description: a JSON file there; with it configure-module is run as well, default: \"\" }"))
    }
    var lines = [
      "# \(name), a module of NethServer 8, cloned or moved to another node or to the same one: what `cluster/clone-module` does.",
      "# `ferry init ns8:` wrote it from the module's image root; docs/ns8.md says which step of NethServer's each part is.",
      "#",
      "#   ferry run ns8-clone.yaml --set from=\(name)1 --set from-node=ssh://root@node1 --set to=\(name)2 --set to-node=ssh://root@node2",
      "ferry: 1",
      "name: \(name)",
      "mode: \"${mode}\"                      # move: MODULE_UUID goes along, and at the end the source is removed",
      "",
      "parameters:",
    ]
    lines += parameters.map { "  \($0.0):\(String(repeating: " ", count: 10 - $0.0.utf8.count))\($0.1)" }
    lines += [
      "",
      isRootless
        ? "# As root, for the instances' own users: `user` says whose the units and the volumes are." : "# A rootful module is root's.",
      "source:      { node: \"${from-node}\", name: \"from-${from}\" }",
      "destination: { node: \"${to-node}\", name: \"to-${to}\" }",
    ]
    lines += services + ["", "state:"] + items.joined(separator: [""])
    if !cloneHooks.isEmpty { lines += ["", "# The module's own numbered steps; each file says which.", "hooks: ns8-clone-hooks"] }
    return lines.joined(separator: "\n") + "\n"
  }

  // MARK: Services

  /// In the order of stopping.
  private var stopped: [NS8Unit] { units.filter { $0.isService && !$0.isTemplate && !$0.staysUp }.stopping }

  private var services: [String] {
    guard isRootless else {
      return [
        "",
        "# NethServer does not stop what a rootful module runs: steps of the module's own do, and are hooks here. Better have Ferry stop it,",
        "# and hold it down until the run is over:", "#   services:", "#     - systemd: \"${from}.service\"",
        "#       destination: { name: \"${to}.service\" }",
      ]
    }
    if stopped.isEmpty { return [] }
    let staying = units.filter { $0.staysUp && !$0.isTemplate }.map(\.name)
    var lines = ["", "# Down for the last pass, from the first to the last, and held; then up in reverse."]
    if !staying.isEmpty { lines.append("# Up all the time, as transfer-state.target wants it: \(staying.joined(separator: ", ")).") }
    lines.append("services:")
    for unit in stopped {
      lines += ["  - systemd: \(unit.name)", "    user: \"${from}\""]
      lines.append(
        unit.isInstalled
          ? "    destination: { user: \"${to}\" }" : "    destination: { name: \"\" }      # started there by \(starter(of: unit))")
    }
    return lines
  }

  private func starter(of unit: NS8Unit) -> String {
    let names = units.filter { other in
      other.triggers == unit.name || ["Wants", "Requires", "BindsTo"].contains { other.words($0).contains(unit.name) }
    }.map(\.name)
    return names.isEmpty ? "whoever needs it" : names.joined(separator: ", ")
  }

  // MARK: State

  private var items: [[String]] {
    var items: [[String]] = []
    if !volumes.isEmpty {
      items.append(
        [
          "  - name: volumes", "    provider: podman-volume", "    from: { volumes: [\(volumeNames("from"))]\(user("from")) }",
          "    to:   { volumes: [\(volumeNames("to"))]\(user("to")) }",
          "    replace: true                    # create-module may have made them, and filled them",
        ])
    }
    let filter = rules.filter.map { "      - \(Self.quoted($0))" }
    items.append(
      [
        "  # What `keep` names is never sent, whatever other rules say: it stays the new instance's own.",
        "  - name: state", "    provider: rsync",
        "    from: { path: \"\(state("from"))\"\(user("from")) }", "    to:   { path: \"\(state("to"))\"\(user("to")) }",
        "    keep: [\((Self.kept + rules.kept).map(Self.quoted).joined(separator: ", "))]",
      ] + (filter.isEmpty ? [] : ["    filter:                          # etc/state-filter-rules.rsync"] + filter) + [
        "    replace: true", "    allow-empty: true                # beside what stays there may be nothing in it",
      ])
    items.append([
      "  # Merged: only variables that the new instance lacks are copied, and MODULE_UUID in a move.",
      "  - name: environment", "    provider: env-file",
      "    from: { file: \"\(state("from"))/environment\" }", "    to:   { file: \"\(state("to"))/environment\" }",
      "    merge: missing", "    identity: [MODULE_UUID]", "    after: [state]",
    ])
    let carried = units.filter { $0.isInstalled && !$0.isTemplate }.map(\.name)
    if isRootless, !carried.isEmpty {
      items.append([
        "  # Enabled and running there, if they are here. The timers of backups (backup1.timer) are not carried.",
        "  - name: units", "    provider: systemd-units", "    from: { manager: user\(user("from")) }",
        "    to:   { manager: user\(user("to")) }",
        "    units: [\(carried.joined(separator: ", "))]",
        "    after: [\(volumes.isEmpty ? "" : "volumes, ")state, environment]",
      ])
    }
    return items
  }

  /// What volumes are called at an end: a rootful module's begin with the instance's id.
  func volumeNames(_ instance: String) -> String {
    volumes.map { isRootless ? Self.quoted($0) : "\"${\(instance)}-\($0)\"" }.joined(separator: ", ")
  }

  /// A text in YAML: bare where it is a plain word.
  static func quoted(_ text: String) -> String {
    let plain = text.first?.isLetter == true && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-/".contains($0)) }
    if plain { return text }
    return "'"
      + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''").split(
        separator: "${", omittingEmptySubsequences: false
      ).joined(separator: "$${") + "'"
  }

  // MARK: Hooks

  /// The module's own steps, each where NethServer runs it.
  var cloneHooks: [(path: String, hook: NS8Hook)] {
    let clone = steps(of: "clone-module")
    let transfer = steps(of: "transfer-state")
    let destroy = steps(of: "destroy-module")
    let replace = #"'{replace: (.mode == "move")}'"#
    var hooks: [(path: String, hook: NS8Hook)] = []
    func add(_ place: String, _ number: Int, _ step: NS8Step, _ instance: String, _ comment: String, _ change: (inout NS8Hook) -> Void) {
      var hook = NS8Hook(
        instance: instance, folder: folder, asUser: isRootless, comment: comment, program: "actions/\(step.action)/\(step.name)")
      change(&hook)
      hooks.append(("\(place)/\(Self.digits(number))-\(step.action)-\(step.name)", hook))
    }

    // The mark tells the last hooks that this run has made the instance.
    let mark = #"mark="$folder/.ferry-$(tell .run)""#
    for (index, step) in steps(of: "create-module").enumerated() {
      add("prepare/destination", 10 + index, step, "to", "Makes the new instance, as cluster/add-module has create-module do.") {
        $0.before =
          [#"[ "$(tell .parameters.create)" = true ] || exit 0"#]
          + (destroy.isEmpty ? [] : [mark, isRootless ? #"as_module touch "$mark""# : #": >"$mark""#])
      }
    }
    let created = steps(of: "create-module").count
    for (index, step) in clone.filter({ $0.number < 10 }).enumerated() {
      add("prepare/destination", 10 + created + index, step, "to", "Before anything is received.") { $0.input = cloneInput }
    }
    for step in transfer {
      let (place, comment) =
        step.number < 10
        ? ("copy/source", "Before the first pass.")
        : step.number < 50
          ? ("quiesce/source", "Between the first pass and the stop of the services.")
          : ("verify/source", "After the last pass; the services run again, unless they move.")
      add(place, step.number, step, "from", comment) { $0.input = replace }
      guard step.number >= 50, !isRootless else { continue }
      add("ended/source", step.number, step, "from", "A run that went back: what the module's own steps have stopped is started again.") {
        $0.before = [#"[ "$(tell '.error == null')" = false ] || exit 0"#]
        $0.input = "'{replace: false}'"
      }
    }
    for step in clone where step.number >= 10 {
      let (place, comment) =
        step.number < 90
        ? ("start/destination", "The state is in its place and the environment is merged; no service has been started yet.")
        : ("activate/destination", "The services run.")
      add(place, step.number, step, "to", comment) { $0.input = cloneInput }
    }
    for (index, step) in steps(of: "configure-module").enumerated() {
      let first = (clone.filter { $0.number >= 90 }.map(\.number).max() ?? 49) + 1
      add("activate/destination", min(first + index, 99), step, "to", "Only with --set configure=FILE.") {
        $0.before = [#"input=$(tell .parameters.configure)"#, #"[ -n "$input" ] || exit 0"#]
        $0.input = #"--slurpfile given "$input" '$given[0]'"#
      }
    }
    for (index, step) in destroy.enumerated() {
      add("retire/source", 10 + index, step, "from", "In a move, before the source's copy is removed.") { _ in }
      guard created > 0 else { continue }
      add("ended/destination", 10 + index, step, "to", "A run that went back takes the instance that it has made away again.") {
        $0.before = [mark, #"[ -e "$mark" ] || exit 0"#]
        let last = index == destroy.count - 1
        if last { $0.before.append(#"trap 'rm -f "$mark"' EXIT"#) }
        $0.before.append(#"[ "$(tell '.error == null')" = false ] || exit 0"#)
      }
    }
    return hooks
  }

  private var cloneInput: String {
    let names = volumes.map { isRootless ? "\"\($0)\"" : "\"\\(.parameters.to)-\($0)\"" }.joined(separator: ", ")
    return "'{replace: (.mode == \"move\"), volumes: [\(names)]}'"
  }

  static func digits(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
