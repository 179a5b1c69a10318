import FerryEngine
import FerryTreeKit

/// What providers of state that an engine keeps have in common, whichever engine and whatever state.
open class EngineProvider {
  /// What the instance is about.
  public let context: ProviderContext
  /// Which engine.
  public let kind: EngineKind
  /// The ends of its trees.
  public let trees: TreeEnds
  private let address: String?
  private let user: String?
  private var opened: ContainerEngine?

  /// A provider that speaks with the engine at an address, with a user's, or with this process's own.
  public init(_ context: ProviderContext, _ kind: EngineKind, at address: String?, of user: String? = nil) {
    (self.context, self.kind, self.address, self.user) = (context, kind, address, user)
    trees = TreeEnds(context)
  }

  /// The engine, opened when it is first needed: most calls of a run need it, but what was received can be digested without.
  public func engine() throws -> ContainerEngine {
    if let opened { return opened }
    let account = try user.map { try Account($0) }
    let engine = try ContainerEngine(kind, at: address, of: account, folder: context.temporaryFolder) { [context] in context.cancellation }
    // An engine that does not let Ferry look for them still does its work.
    try? engine.removeLeftHelpers()
    opened = engine
    return engine
  }

  /// A container by its name, or an error that says what there is.
  public func container(_ name: String) throws -> EngineContainer {
    guard let container = try engine().container(name) else { throw missing("container", name, "ps --all") }
    return container
  }

  /// Of something that the engine does not have.
  public func missing(_ what: String, _ name: String, _ listing: String) -> FerryError {
    FerryError(.notFound, "\(kind.title) has no \(what) \(name)", hint: "\(kind.rawValue) \(listing) lists what there is")
  }

  /// Of a container whose image the engine does not have any more.
  public func imageIsGone(_ container: EngineContainer) -> FerryError {
    FerryError(.precondition, "the image of the container \(container.name) is gone: \(container.image)")
  }

  /// Removes a container that has moved away, unless it runs. No error if there is none; its volumes stay.
  public func retire(_ name: String) throws {
    let engine = try engine()
    guard let container = try engine.container(name) else { return }
    guard !container.isRunning else {
      throw FerryError(.precondition, "the container \(container.name) runs and is not removed", hint: "stop it")
    }
    try engine.removeContainer(container.id)
  }

  /// A report that holds what kept it from being complete.
  public func report(_ look: (inout CheckReport, ContainerEngine) throws -> Void) throws -> CheckReport {
    var report = CheckReport()
    do {
      let engine = try engine()
      report.versions[kind.rawValue] = engine.info.version
      try look(&report, engine)
    } catch let error as FerryError where error.class != .cancelled {
      report.notices.append(.init(.error, error.message, hint: error.hint))
    }
    return report
  }

  /// Of files that are not where this process could read or write them.
  open func outOfReach(_ what: String, _ engine: ContainerEngine) -> FerryError {
    FerryError(
      .unsupported, "\(what) is not within reach: \(engine.client.address) is of another machine, user or user namespace",
      hint: "run Ferry as root beside the engine")
  }
}
