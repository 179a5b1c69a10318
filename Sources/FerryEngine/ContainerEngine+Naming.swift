import FerrySystem

extension ContainerEngine {
  /// What a container is called that a run has made and not yet activated.
  public static func stagedName(_ name: String, run: String) -> String { "\(name).ferry-\(run)" }

  /// The name without what says that a run has not yet activated it.
  public static func plainName(_ name: String, run: String) -> String {
    name.hasSuffix(".ferry-\(run)") ? String(name.dropLast(run.utf8.count + 7)) : name
  }

  /// The container that the run has made under that name and not yet activated, else the one that has the name.
  public func container(_ name: String, madeBy run: String) throws -> EngineContainer? {
    try container(Self.stagedName(name, run: run)) ?? container(name)
  }

  /// Gives a container another name.
  public func rename(_ container: String, to name: String) throws {
    try client.ask("POST", ["containers", container, "rename"], query: [("name", name)])
  }
}

extension EngineVolume {
  /// What a volume is called at the destination that nobody gave a name: after its container and its mount point. A name that was drawn says
  /// nothing to anybody, and `docker volume prune` takes what has one.
  public static func name(of container: String, at place: String) -> String {
    let word = String(
      place.split(separator: "/").joined(separator: "-").map {
        $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == "." || $0 == "-") ? $0 : "_"
      })
    return "\(container)-\(word.isEmpty ? "root" : word)"
  }
}
