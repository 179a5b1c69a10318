import FerrySystem
import Glibc

/// A running engine of this node, or one that was started for this object alone.
public final class ContainerEngine: Sendable {
  /// Docker or Podman.
  public let kind: EngineKind
  /// Speaks with it.
  public let client: EngineClient
  /// What it says about itself.
  public let info: Info
  private let service: PodmanService?

  /// What an engine says about itself.
  public struct Info: Decodable, Sendable {
    /// Its version.
    public let version: String
    /// The storage driver of its containers.
    public let driver: String
    /// Where its files are.
    public let root: String
    /// Docker's way to say that it is rootless, and Podman's.
    let securityOptions: [String]?
    let rootless: Bool?

    enum CodingKeys: String, CodingKey {
      case version = "ServerVersion"
      case driver = "Driver"
      case root = "DockerRootDir"
      case securityOptions = "SecurityOptions"
      case rootless = "Rootless"
    }

    /// Whether it runs in a user namespace, where ids on its disk are not what its containers see.
    public var isRootless: Bool {
      rootless == true || (securityOptions ?? []).contains { $0.contains("name=rootless") || $0.contains("name=userns") }
    }
  }

  /// The engine at an address; without one, the engine that this user's own command would speak with. Where Podman has no service running,
  /// one is started that ends with this object; its socket goes below `folder`. With an account it is that user's own engine.
  public init(
    _ kind: EngineKind, at address: String? = nil, of account: Account? = nil, folder: String,
    cancellation: @escaping @Sendable () -> Cancellation? = { nil }
  ) throws {
    self.kind = kind
    var service: PodmanService?
    let found: EngineAddress
    if let address {
      found = try EngineAddress(address)
    } else {
      let other = account.flatMap { $0.isOwn ? nil : $0 }
      let usual = try EngineAddress.usual(kind, of: other)
      if let answering = usual.first(where: { $0.socket == nil || $0.answers }) {
        found = answering
      } else if kind == .podman, other != nil || Environment.all["CONTAINER_HOST"]?.isEmpty != false {
        let started = try PodmanService(folder: folder, account: other)
        service = started
        found = started.address
      } else {
        throw FerryError(
          .precondition, "\(kind.title) does not run here: nobody answers at \(usual.map(\.description).joined(separator: " or "))",
          hint: "start it, or name its socket with `engine`")
      }
    }
    self.service = service
    client = EngineClient(found, cancellation: cancellation)
    do { info = try client.json(Info.self, "GET", ["info"]) } catch {
      let failure = FerryError.wrap(error)
      throw FerryError(failure.class == .retry ? .precondition : failure.class, failure.message, hint: failure.hint)
    }
  }
}
