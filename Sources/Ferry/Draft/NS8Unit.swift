import FerrySystem

/// A unit file of a module, as far as it says how the unit is started and stopped.
struct NS8Unit: Hashable {
  /// With its type: `wiki.service`.
  let name: String
  /// All lines `Key=value`, lists split at blanks.
  private let lines: [(key: String, value: String)]
  /// Wanted by the target that NethServer isolates for the last pass: it is not stopped.
  let staysUp: Bool

  init(name: String, text: String, staysUp: Bool = false) {
    self.name = name
    // A backslash at the end of a line joins the next.
    let joined = text.split(separator: "\\\n", omittingEmptySubsequences: false).joined(separator: " ")
    lines = joined.split(separator: "\n").compactMap { line in
      guard let first = line.first, !"#;[".contains(first), let equals = line.firstIndex(of: "=") else { return nil }
      return (String(line[..<equals]).trimmed, String(line[line.index(after: equals)...]).trimmed)
    }
    self.staysUp = staysUp || Self.words("WantedBy", lines).contains(Self.target)
  }

  /// The target that a unit is wanted by to stay up.
  static let target = "transfer-state.target"

  static func == (left: NS8Unit, right: NS8Unit) -> Bool { left.name == right.name }
  func hash(into hasher: inout Hasher) { hasher.combine(name) }

  /// The values of a key that lists names.
  func words(_ key: String) -> [String] { Self.words(key, lines) }
  private static func words(_ key: String, _ lines: [(key: String, value: String)]) -> [String] {
    lines.filter { $0.key == key }.flatMap { $0.value.split(separator: " ").map(String.init) }
  }

  var isService: Bool { name.hasSuffix(".service") }
  var isTemplate: Bool { name.contains("@.") }
  /// Whether somebody enables it, so that it starts at boot.
  var isInstalled: Bool { !words("WantedBy").isEmpty || !words("RequiredBy").isEmpty }
  /// The service that a timer, socket or path starts.
  var triggers: String? {
    guard [".timer", ".socket", ".path"].contains(where: name.hasSuffix) else { return nil }
    return words("Unit").first ?? words("Service").first ?? "\(name.prefix { $0 != "." }).service"
  }

  /// The volumes that its containers mount, by `--volume NAME:/place` or a Quadlet's `Volume=NAME:/place`.
  var volumes: [String] {
    lines.flatMap { line -> [String] in
      if line.key == "Volume" { return [line.value] }
      let words = line.value.split(separator: " ").map(String.init)
      return words.enumerated().compactMap { index, word in
        if word == "--volume" || word == "-v" { return index + 1 < words.count ? words[index + 1] : nil }
        return word.hasPrefix("--volume=") ? String(word.dropFirst("--volume=".count)) : nil
      }
    }.compactMap(Self.volume)
  }

  /// The name in `NAME:/place:options`; nil for a folder of the host.
  private static func volume(_ mount: String) -> String? {
    guard let colon = mount.firstIndex(of: ":") else { return nil }
    var name = String(mount[..<colon])
    if name.hasSuffix(".volume") { name = "systemd-\(name.dropLast(".volume".utf8.count))" }
    // A rootful module's own prefix, which the manifest writes itself.
    for prefix in ["${MODULE_ID}-", "$MODULE_ID-", "%i-", "%p-"] where name.hasPrefix(prefix) {
      name = String(name.dropFirst(prefix.count))
    }
    let isName =
      name.utf8.first.map { $0 != 45 && $0 != 46 } == true
      && name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_.-".contains($0)) }
    return isName ? name : nil
  }
}

extension [NS8Unit] {
  /// In the order of stopping: what comes `After=` others first.
  var stopping: [NS8Unit] {
    var ordered: [NS8Unit] = []
    var open: Set<String> = []
    func place(_ unit: NS8Unit) {
      // A circle is systemd's to complain about.
      guard !ordered.contains(unit), open.insert(unit.name).inserted else { return }
      for other in self where other.words("After").contains(unit.name) || unit.words("Before").contains(other.name) { place(other) }
      ordered.append(unit)
    }
    for unit in self { place(unit) }
    return ordered
  }
}

extension String {
  /// Without blanks at its ends.
  var trimmed: String { String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed()) }
}
