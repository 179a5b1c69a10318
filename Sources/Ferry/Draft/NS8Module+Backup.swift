/// What a backup and `cluster/restore-module` do, as a manifest and its hooks.
extension NS8Module {
  var backupManifest: String {
    var lines = [
      "# \(name), a module of NethServer 8, backed up and restored: what `run-backup` and `cluster/restore-module` do.",
      "# `ferry init ns8:` wrote it from the module's image root; docs/ns8.md says which step of NethServer's each part is.",
      "#",
      "#   ferry transfer ns8-backup.yaml --set from=\(name)1 --set uuid=UUID                    # a backup; no service is stopped",
      "#   ferry schedule add mybackup ns8-backup.yaml --on-calendar daily --set from=\(name)1 --set uuid=UUID",
      "#   ferry receive ns8-backup.yaml --set from=\(name)1 --set uuid=UUID --set to=\(name)2   # the newest, into another instance",
      "ferry: 1",
      "name: \(name)",
      "",
      "parameters:",
      "  from:      { description: \"the instance that is backed up: \(name)1\" }",
      "  uuid:      { description: its MODULE_UUID; each instance has a repository of its own }",
      "  to:        { description: \"the instance that is restored: \(name)2; its folder, with the module's files, is there\", default: none }",
      "  from-node: { description: \"the node of the one: local, or ssh://root@node1\", default: local }",
      "  to-node:   { description: the node of the other, default: local }",
      "  home:      { description: where the folders of instances are, default: \(home) }",
      "  vault:     { description: \"any repository of restic's, such as b2:backupns8\", default: b2:backupns8 }",
      "  password:  { description: the file with its password, default: /etc/ferry/vault-password }",
    ]
    if !backupHooks.isEmpty {
      lines.append("  id:        { description: \"the backup's number, which the module's programs are told\", default: \"1\" }")
    }
    lines += [
      "",
      "# As root: volumes hold what belongs to others.",
      "source:      { node: \"${from-node}\" }",
      "destination: { node: \"${to-node}\" }",
      "",
      "repositories:",
      "  vault:",
      "    url: \"${vault}\"",
      "    secrets:",
      "      password: { file: \"${password}\" }   # B2_ACCOUNT_ID, B2_ACCOUNT_KEY and other secrets of the backend's stand beside it",
      "",
      "state:",
      "  # In a snapshot state/ is `state` and volumes are `volumes/NAME`. state/environment is always in it, and never restored over.",
      "  - name: module",
      "    provider: restic",
      "    from: { path: \"\(state("from"))\", module: \"${from}\"\(user("from")) }",
      "    to:   { path: \"\(state("to"))\", module: \"${to}\"\(user("to")) }",
      "    repository: \"vault/\(name)/${uuid}\"",
    ]
    if files.contains(Self.include) { lines.append("    include-file: \"\(installed("from"))/\(Self.include)\"") }
    if files.contains(Self.exclude) { lines.append("    exclude-file: \"\(installed("from"))/\(Self.exclude)\"") }
    lines.append("    keep: { last: 3 }                  # retention")
    if !backupHooks.isEmpty {
      lines += [
        "", "# module-dump-state, module-cleanup-state and the steps of restore-module; each file says which.", "hooks: ns8-backup-hooks",
      ]
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// The instance's folder, by the parameter that has its id.
  private func installed(_ instance: String) -> String { "${home}/${\(instance)}\(folder)" }

  /// Around a backup, and after a restore.
  var backupHooks: [(path: String, hook: NS8Hook)] {
    var hooks: [(path: String, hook: NS8Hook)] = []
    func add(_ path: String, _ instance: String, _ program: String, _ comment: String, _ change: (inout NS8Hook) -> Void = { _ in }) {
      var hook = NS8Hook(instance: instance, folder: folder, asUser: isRootless, comment: comment, program: program)
      change(&hook)
      hooks.append((path, hook))
    }
    let id = #""$(tell .parameters.id)""#
    if files.contains(Self.dump) {
      add("copy/source/10-module-dump-state", "from", "\(Self.dump) \(id)", "Before the backup; if it fails there is none.")
    }
    if files.contains(Self.cleanup) {
      add("ended/source/10-module-cleanup-state", "from", "\(Self.cleanup) \(id)", "After the backup, however it went.")
    }
    let restore = steps(of: "restore-module")
    // Data first: a step that stands before it in NethServer reads the saved environment, which a restore has only then.
    for (index, step) in restore.enumerated() {
      add(
        "activate/destination/\(50 + index)-\(step.action)-\(step.name)", "to", "actions/\(step.action)/\(step.name)",
        "The state is restored and in its place; the saved environment is handed to the step."
      ) {
        let prefix = NS8Hook.prefix(isRootless)
        $0.before = ["saved=environment.restore-module", #"\#(prefix)test -e "$saved" || saved=/dev/null"#]
        $0.reader = "\(prefix)jq -c"
        $0.input =
          #"--rawfile saved "$saved" '{replace: false, snapshot: "", environment: ($saved | split("\n") | map(capture("^(?<key>[A-Za-z_][A-Za-z0-9_]*)=(?<value>.*)$")) | from_entries)}'"#
      }
    }
    return hooks
  }
}
