import FerrySystem
import Glibc

/// A module of NethServer 8, as its image root describes it: what every instance of it has in its folder on a node.
///
/// docs/ns8.md says, sentence by sentence, which part of NethServer's own clone and backup each part of the manifests is.
public struct NS8Module: Sendable {
  /// What the manifests are called.
  let name: String
  /// Whether its services are units of a user of its own. A rootful module has no such units.
  let isRootless: Bool
  /// Its volumes, without the id that a rootful instance puts in front.
  let volumes: [String]
  let units: [NS8Unit]
  let steps: [NS8Step]
  let rules: NS8FilterRules
  /// Its files that exist, of those that a backup looks at.
  let files: Set<String>
  /// What a person should look at.
  let notes: [String]

  static let include = "etc/state-include.conf"
  static let exclude = "etc/state-exclude.conf"
  static let dump = "bin/module-dump-state"
  static let cleanup = "bin/module-cleanup-state"

  /// Reads an image root: `imageroot` of a module's source, or the folder of an instance.
  public init(imageRoot: String, name: String? = nil) throws {
    let root = Files.absolute(imageRoot)
    guard ["actions", "etc", "systemd", "bin"].contains(where: { Files.isFolder("\(root)/\($0)") }) else {
      throw FerryError(
        .notFound, "\(root) is no image root: there is neither actions nor etc, systemd or bin in it",
        hint: "name the folder `imageroot` of a module's source, or the folder that an instance has it in; nothing was written")
    }
    self.name = name ?? Self.name(of: root)
    isRootless = Files.isFolder("\(root)/systemd/user")
    let (steps, stepNotes) = NS8Step.read(root)
    var notes = stepNotes
    units = try Self.units(root)
    self.steps = steps
    rules = NS8FilterRules(try Self.text(root, "etc/state-filter-rules.rsync"))
    notes += rules.notes
    for unit in units where unit.isTemplate { notes.append("\(unit.name) is a template: name its instances under `services`") }
    var files: Set<String> = []
    for path in [Self.include, Self.exclude, Self.dump, Self.cleanup] where Files.exists("\(root)/\(path)") {
      if path.hasPrefix("bin/"), access("\(root)/\(path)", X_OK) != 0 {
        notes.append("\(path) is not executable, so it is not run")
      } else {
        files.insert(path)
      }
    }
    self.files = files
    let listed = try Self.text(root, Self.include).split(separator: "\n").compactMap { line in
      line.hasPrefix("volumes/") ? line.dropFirst("volumes/".utf8.count).split(separator: "/").first.map { String($0).trimmed } : nil
    }
    volumes = Set(listed + units.flatMap(\.volumes)).sorted()
    if volumes.isEmpty { notes.append("no volume is named in \(Self.include) or by a unit: `podman volume ls` shows what an instance has") }
    self.notes = notes
  }

  /// The manifests for cloning and for backup, and their hooks.
  public func draft() -> Draft {
    func hooks(_ folder: String, _ hooks: [(path: String, hook: NS8Hook)]) -> [Draft.File] {
      hooks.map { Draft.File("\(folder)/\($0.path)", $0.hook.text, isProgram: true) }
    }
    return Draft(
      files: [Draft.File("ns8-clone.yaml", cloneManifest), Draft.File("ns8-backup.yaml", backupManifest)]
        + hooks("ns8-clone-hooks", cloneHooks) + hooks("ns8-backup-hooks", backupHooks),
      notes: notes)
  }

  // MARK: What both manifests say

  /// Where the homes of instances are, unless told.
  var home: String { isRootless ? "/home" : "/var/lib/nethserver" }
  /// The instance's folder below its id.
  var folder: String { isRootless ? "/.config" : "" }
  /// The instance's state folder, by the parameter that has its id.
  func state(_ instance: String) -> String { "${home}/${\(instance)}\(folder)/state" }
  /// Whose the instance's volumes, units and files are, as a key behind others: a rootless one's user is called as it is.
  func user(_ instance: String) -> String { isRootless ? ", user: \"${\(instance)}\"" : "" }
  func steps(of action: String) -> [NS8Step] { steps.filter { $0.action == action } }

  // MARK: Reading

  private static func text(_ root: String, _ path: String) throws -> String {
    Files.exists("\(root)/\(path)") ? String(decoding: try Files.read("\(root)/\(path)", limit: 1 << 20), as: UTF8.self) : ""
  }

  /// `ns8-wiki/imageroot` and `wiki1/.config` are both wiki.
  private static func name(of root: String) -> String {
    var parts = root.split(separator: "/").map(String.init)
    if let last = parts.last, ["imageroot", ".config"].contains(last) { parts.removeLast() }
    var name = parts.last ?? "module"
    if name.hasPrefix("ns8-") { name.removeFirst(4) }
    while name.utf8.count > 1, name.last?.isNumber == true { name.removeLast() }
    return Engine.isName(name) ? name : "module"
  }

  private static func units(_ root: String) throws -> [NS8Unit] {
    let folder = "\(root)/systemd/user"
    let stays = Set(Files.names(in: "\(folder)/\(NS8Unit.target).wants"))
    return try Files.names(in: folder).sorted().compactMap { name in
      let types = [".service", ".timer", ".socket", ".path", ".container"]
      guard let type = types.first(where: name.hasSuffix), !Files.isFolder("\(folder)/\(name)") else { return nil }
      // A Quadlet is the service that systemd's generator makes of it.
      let unit = type == ".container" ? "\(name.dropLast(type.utf8.count)).service" : name
      return NS8Unit(name: unit, text: try text(root, "systemd/user/\(name)"), staysUp: stays.contains(unit))
    }
  }
}
