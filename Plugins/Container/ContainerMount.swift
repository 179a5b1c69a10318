import FerryEngineKit

/// Something mounted into a container: what was asked for, not what came of it.
struct ContainerMount: Codable, Hashable {
  /// `volume` or `bind`; others stay as they are, in `detail`.
  var type: String
  /// A volume's name, or a path of the host.
  var source: String
  var target: String
  var isWritable: Bool
  /// What else `--volume` was told: `z`, `nocopy`, `rslave`. Sorted.
  var options: [String]
  /// What only `--mount` can say.
  var detail: JSONValue?

  /// Whether nobody named the volume.
  var isAnonymous: Bool { type == "volume" && EngineVolume(name: source).isAnonymous }

  /// All mounts of a container but its tmpfs, which are settings. Each comes from where it was asked for: `--volume` (Binds), `--mount` (Mounts), or,
  /// where only the result shows (an image's volume, `--volumes-from`), from what is mounted.
  static func all(of container: EngineContainer) throws -> [ContainerMount] {
    let host = container.json["HostConfig"]
    var found: [ContainerMount] = []
    let results = container.mounts
    for line in host?["Binds"]?.array?.compactMap(\.string) ?? [] {
      if let mount = parse(line) { found.append(mount) }
    }
    for value in host?["Mounts"]?.array ?? [] { found.append(try requested(value, results)) }
    for result in results where !found.contains(where: { $0.target == result.destination }) {
      guard result.type == "volume" || result.type == "bind", let source = result.type == "volume" ? result.name : result.source else {
        continue
      }
      found.append(
        ContainerMount(type: result.type, source: source, target: result.destination, isWritable: result.isWritable, options: []))
    }
    return found.sorted { $0.target < $1.target }
  }

  /// What Podman says of every mount, and Docker of none.
  private static let usual: Set<String> = ["rbind", "rprivate", "nosuid", "nodev", "exec"]

  /// `web-data:/data:ro,z`. No path in it holds a colon: `--volume` could not take one.
  private static func parse(_ line: String) -> ContainerMount? {
    let parts = line.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2 || parts.count == 3 else { return nil }
    let words = parts.count == 3 ? parts[2].split(separator: ",").map(String.init) : []
    return ContainerMount(
      type: parts[0].hasPrefix("/") ? "bind" : "volume", source: parts[0], target: parts[1], isWritable: !words.contains("ro"),
      options: words.filter { $0 != "ro" && $0 != "rw" && !usual.contains($0) }.sorted())
  }

  private static func requested(_ value: JSONValue, _ results: [EngineMount]) throws -> ContainerMount {
    let type = value["Type"]?.string ?? ""
    let target = value["Target"]?.string ?? ""
    var source = value["Source"]?.string ?? ""
    // Without a source the engine draws a name.
    if type == "volume", source.isEmpty { source = results.first { $0.destination == target }?.name ?? "" }
    var mount = ContainerMount(
      type: type, source: source, target: target, isWritable: value["ReadOnly"]?.bool != true, options: [])
    var rest = value
    for key in ["Type", "Source", "Target", "ReadOnly"] { rest[key] = nil }
    if type == "bind", let propagation = rest["BindOptions"]?["Propagation"]?.string {
      if propagation != "rprivate", !propagation.isEmpty { mount.options = [propagation] }
      rest["BindOptions"]?["Propagation"] = nil
    }
    if type == "volume" {
      // The volume is there already, with its labels and its driver.
      if rest["VolumeOptions"]?["NoCopy"]?.bool == true { mount.options = ["nocopy"] }
      for key in ["NoCopy", "Labels", "DriverConfig"] { rest["VolumeOptions"]?[key] = nil }
    }
    let needsDetail = !rest.isNothing || (type != "bind" && type != "volume") || source.contains(":") || target.contains(":")
    if needsDetail { mount.detail = value }
    return mount
  }

  /// The same in the destination's words.
  func mapped(_ mapping: ContainerMapping) -> ContainerMount {
    var mount = self
    if let given = mapping.mounts[target] {
      mount.source = given
      mount.type = given.hasPrefix("/") ? "bind" : "volume"
      if mount.type != type {
        mount.detail = nil
        mount.options = mount.options.filter { $0 == "z" || $0 == "Z" }
      }
    } else if isAnonymous {
      mount.source = EngineVolume.name(of: mapping.container, at: target)
    }
    if mount.detail != nil, type == "bind" || type == "volume" { mount.detail?["Source"] = .string(mount.source) }
    return mount
  }

  /// As `--volume` takes it.
  var line: String {
    let words = (isWritable ? [] : ["ro"]) + options
    return "\(source):\(target)" + (words.isEmpty ? "" : ":\(words.joined(separator: ","))")
  }
}
