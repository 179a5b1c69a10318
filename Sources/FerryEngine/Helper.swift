import FerrySystem
import Glibc

/// Containers that help with an engine's files and are gone again. Their names say whose they are, so that what a process that was killed has left
/// at an engine, near or far, is found by the next one of its machine.
public enum Helper {
  private static let prefix = "ferry-helper"

  /// A name for one; another each time.
  public static var name: String {
    let process = ProcessIdentity.current
    return "\(prefix)-\(machine)-\(process.pid)-\(process.started)-\(UInt32.random(in: 0 ... .max))"
  }

  /// What the image of a helper is called. Of no registry, else Podman looks for it where Docker's images come from.
  static func image(of name: String) -> String { "localhost/\(name)" }

  /// Where all that are called so are of this machine's processes, and numbers of processes mean what they mean here.
  static var own: String { "\(prefix)-\(machine)-" }

  /// Whether a name is of a process of this machine that does not run any more.
  static func isLeft(_ name: String) -> Bool {
    guard name.hasPrefix(own) else { return false }
    let parts = name.dropFirst(own.count).split(separator: "-")
    guard parts.count == 3, let pid = Int32(parts[0]), let started = UInt64(parts[1]) else { return false }
    return !ProcessIdentity(pid: pid, started: started, boot: ProcessIdentity.currentBoot).isAlive
  }

  private static let machine: String = {
    let id = ((try? Files.read("/etc/machine-id", limit: 4096)) ?? []).filter { $0 > 0x20 }
    var host = [CChar](repeating: 0, count: 256)
    gethostname(&host, 255)
    var space = stat()
    stat("/proc/self/ns/pid", &space)
    let text = id + host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) } + Array("\(space.st_ino)".utf8)
    // FNV-1a: short, the same in every process, and not the machine's id.
    return String(text.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }, radix: 16)
  }()
}

extension ContainerEngine {
  /// Removes what helpers of processes that were killed have left here.
  public func removeLeftHelpers() throws {
    struct Container: Decodable { let Names: [String] }
    struct Image: Decodable { let RepoTags: [String]? }
    let named: JSONValue = ["name": [.string(Helper.own)]]
    for container in try client.json([Container].self, "GET", ["containers", "json"], query: [("all", "true"), ("filters", named.text)]) {
      // Docker begins them with a slash.
      for name in container.Names.map({ String($0.drop { $0 == "/" }) }) where Helper.isLeft(name) {
        try removeContainer(name, andAnonymousVolumes: true)
      }
    }
    let referenced: JSONValue = ["reference": [.string("\(Helper.image(of: Helper.own))*")]]
    for tag in try client.json([Image].self, "GET", ["images", "json"], query: [("filters", referenced.text)]).flatMap({ $0.RepoTags ?? [] }
    ) {
      let name = tag.split(separator: "/").last?.split(separator: ":").first ?? ""
      if Helper.isLeft(String(name)) { try removeImage(tag) }
    }
  }
}
