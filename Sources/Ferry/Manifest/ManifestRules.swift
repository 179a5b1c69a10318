import FerrySystem

/// The rules of a manifest that join several of its keys: what no schema can say.
struct ManifestRules {
  let tree: Node
  let typed: JSONValue
  let configs: [ItemChecker.Checked]
  let findings: Findings

  func check() {
    checkNodes()
    checkServices()
    checkNames(of: "state", noun: "state")
    checkNames(of: "services", noun: "service")
    checkOrder()
    checkFollow()
    checkRollback()
    checkSelfMoves()
    checkRepositories()
  }

  /// An item's `repository` is an address, or the name of one that is there and fits its provider.
  private func checkRepositories() {
    guard let known = tree["repositories"], known.isMap else { return }
    let names = known.entries.map(\.key)
    for item in items {
      guard let node = item["repository"], let text = node.text, let (name, _) = ManifestRepositories.split(text) else { continue }
      guard let store = typed["repositories"]?[name] else {
        add(node.mark, "no repository is called \(quoted(name))", suggestion: Suggestion.nearest(to: name, in: names))
        continue
      }
      if let provider = store["provider"]?.string, let own = item["provider"]?.text, provider != own {
        add(node.mark, "repository \(quoted(name)) is for provider \(quoted(provider)), and this is \(quoted(own))")
      }
    }
  }

  private var items: [Node] { tree["state"]?.list ?? [] }

  private func add(_ mark: Mark, _ message: String, suggestion: String? = nil, hint: String = "") {
    findings.add(.meaning, mark, message, suggestion: suggestion, hint: hint)
  }

  private func checkNodes() {
    guard let first = tree["source"]?["name"], let second = tree["destination"]?["name"], let name = first.text, name == second.text
    else { return }
    add(second.mark, "source and destination are both called \(quoted(name))", hint: "messages could not tell them apart")
  }

  private func checkNames(of key: String, noun: String) {
    var lines: [String: Int] = [:]
    for node in tree[key]?.list ?? [] {
      let named = key == "services" ? ManifestBuilder.name(ofService: node) : node["name"].flatMap { name in name.text.map { ($0, name) } }
      guard let (text, name) = named, !text.isEmpty else { continue }
      if let line = lines[text] {
        let hint = "the first is at line \(line)" + (node["name"] == nil ? "; give this one a 'name'" : "")
        add(name.mark, "a second \(noun) is called \(quoted(text))", hint: hint)
      } else {
        lines[text] = name.mark.line
      }
    }
  }

  private func checkRollback() {
    guard let key = tree.entry("rollback-for"), tree["mode"]?.text == Manifest.Mode.move.rawValue else { return }
    add(
      key.keyMark, "'rollback-for' is not for a move: there is nothing to go back to once the source is removed",
      hint: "leave it out, or `mode: copy`")
  }

  /// What some YAML takes for a truth value, and nobody for a user.
  private static let truth = ["yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"]

  private func checkServices() {
    for (index, service) in (tree["services"]?.list ?? []).enumerated() {
      let place = ShapeChecker.place(of: service, noun: "service", number: index + 1)
      if let user = service["user"], let text = user.text {
        if let meant = Self.truth[text.lowercased()] {
          add(user.mark, "'user' of \(place) must be true, false or a user's name, not '\(text)'", suggestion: meant)
        } else if ["true", "false"].contains(text), service["systemd"] == nil {
          add(user.mark, "'user: \(text)' of \(place) is for a systemd unit only", hint: "name the user whose service it is")
        }
      }
      if let command = service["command"] {
        if let inner = command.entry("healthy"), service["healthy"] != nil {
          add(inner.keyMark, "\(place) has 'healthy' twice", hint: "inside 'command' or beside it, not both")
        }
        if let hold = command.entry("hold"), command["release"] == nil {
          add(hold.keyMark, "\(place) has 'hold' without 'release'", hint: "what is held down must be let go again")
        }
        if let release = command.entry("release"), command["hold"] == nil {
          add(release.keyMark, "\(place) has 'release' without 'hold'")
        }
      }
      if service["source"]?["name"]?.text == "", let name = service["destination"]?["name"], name.text == "" {
        add(name.mark, "\(place) is at neither end", hint: "leave the service out")
      }
    }
  }

  /// `after`: known names, no circle.
  private func checkOrder() {
    let names = items.compactMap { $0["name"]?.text }
    var after: [String: [Node]] = [:]
    for (index, item) in items.enumerated() {
      let place = ShapeChecker.place(of: item, noun: "state", number: index + 1)
      for entry in item["after"]?.list ?? [] {
        guard let text = entry.text, !text.isEmpty else { continue }
        if text == item["name"]?.text {
          add(entry.mark, "\(place) comes after itself")
        } else if !names.contains(text) {
          add(
            entry.mark, "\(place) comes after \(quoted(text)), and no state is called so",
            suggestion: Suggestion.nearest(to: text, in: names.filter { $0 != item["name"]?.text }))
        } else if let name = item["name"]?.text {
          after[name, default: []].append(entry)
        }
      }
    }
    reportCircles(names, after)
  }

  private func reportCircles(_ names: [String], _ after: [String: [Node]]) {
    var done: Set<String> = []
    var path: [String] = []
    // Depth first without recursion: the number of items is the author's choice.
    var stack: [(name: String, next: Int)] = []
    for start in names where !done.contains(start) {
      stack = [(start, 0)]
      path = [start]
      while let (name, next) = stack.last {
        let entries = after[name] ?? []
        guard next < entries.count, let target = entries[next].text else {
          done.insert(name)
          stack.removeLast()
          path.removeLast()
          continue
        }
        stack[stack.count - 1].next += 1
        if let first = path.firstIndex(of: target) {
          let circle = (path[first...] + [target]).joined(separator: " → ")
          add(entries[next].mark, "'after' goes in a circle: \(circle)")
        } else if !done.contains(target) {
          stack.append((target, 0))
          path.append(target)
        }
      }
    }
  }

  private func checkFollow() {
    let follows = typed["mode"]?.string == "follow"
    for (index, item) in items.enumerated() {
      let place = ShapeChecker.place(of: item, noun: "state", number: index + 1)
      if let follow = item.entry("follow"), !follows {
        add(follow.keyMark, "'follow' of \(place) needs mode follow", hint: "the mode is \(typed["mode"]?.string ?? "copy")")
      }
      if let after = item.entry("after"), follows, !after.value.list.isEmpty {
        add(after.keyMark, "'after' of \(place) cannot be in mode follow", hint: "all items go on at once, so none comes after another")
      }
    }
  }

  /// A state that would be moved onto itself.
  private func checkSelfMoves() {
    guard let source = tree["source"], let destination = tree["destination"], source["node"]?.text == "local" else { return }
    guard destination["node"]?.text == "local", source["home"]?.text == destination["home"]?.text else { return }
    for (index, (item, checked)) in zip(items, configs).enumerated() {
      let place = ShapeChecker.place(of: item, noun: "state", number: index + 1)
      // Through a store onto itself is a restore.
      guard checked.schema != nil, checked.isRight, item["repository"] == nil else { continue }
      let from = item["from"].map(ShapeChecker.untyped)
      let to = item["to"].map(ShapeChecker.untyped)
      guard to == nil || from == to || checked.config["from"] == checked.config["to"] else { continue }
      add(
        item.entry("to")?.keyMark ?? item.entry("from")?.keyMark ?? ShapeChecker.head(item), "\(place) would be moved onto itself",
        hint: "both nodes are this machine: give it another 'to'")
    }
  }
}
