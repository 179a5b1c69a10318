import FerryPluginKit
import FerryTree
import Glibc

/// The halves apart in time: the repository is what both reach.
extension ResticProvider: DeferringProvider {
  func checkDeferred() throws -> CheckReport {
    let check = ResticCheck(context: context, config: config, memory: memory)
    return context.side == .source ? try check.source() : try check.destination(target, listing: true)
  }

  func prepareDeferred(_ request: DigestRequest) throws -> Offer {
    let repository = try reachable()
    // In place of the destination's abilities, which nobody knows yet: what this end can read and restic can carry.
    let form = TreeForm(attributes: geteuid() == 0 ? .all : .user, sockets: false, sharedSpecials: false)
    try context.kv.put(Self.formKey, form)
    try reading(request, form) { try repository.open() }
    let offer = ResticOffer(form: form, version: try memory.tool(context).version)
    return Offer(.private, try JSONValue(encoding: offer).object ?? [:])
  }

  /// Making a repository keeps one core busy with its key: another reads meanwhile what the digest will ask for. That is worth nothing as
  /// proof, but what does not change until then need not be read again.
  private func reading(_ request: DigestRequest, _ form: TreeForm, while work: @escaping @Sendable () throws -> Void) throws {
    guard !request.isFull, memory.isThere != true, let trees = try? source.trees() else { return try work() }
    let (context, owners) = (context, try ResticModule(context, config.endpoint)?.owners())
    let both: [@Sendable () throws -> Void] = [work, { _ = try? request.compute(trees, form: form, owners: owners, context) }]
    _ = try Threads.map(both) { try $0() }
  }

  func store(_ pass: Pass) throws -> PassReport {
    try note(pass)
    if !pass.isFinal { try TreeFolder(root: source.folder()).flush() }
    let (report, snapshot) = try source.store(pass, channel: nil)
    try context.kv.put(ResticDeposit.storedKey, ResticDeposit.Stored(snapshot: snapshot, deposit: pass.deposit))
    return report
  }

  func deposit(_ deposit: JSONValue) throws -> String { try ResticDeposit(context: context, repository: reachable()).put(deposit) }

  func snapshots(_ manifest: ManifestIdentity?) throws -> [StoredSnapshot] {
    try ResticDeposit(context: context, repository: reachable()).all(manifest)
  }

  func recall(_ snapshot: String, _ manifest: ManifestIdentity?) throws -> Recalled {
    try ResticDeposit(context: context, repository: reachable()).find(snapshot, manifest)
  }

  func prepareDeferred(with offer: Offer) throws -> Offer {
    let stored = try offer.decode(ResticOffer.self)
    try target.prepare()
    let able = try destination.form()
    guard stored.form.common(with: able) == stored.form else {
      let lost = able.losses.joined(separator: ", ")
      throw FerryError(
        .precondition, "\(lost) of what is stored cannot be kept beside \(target.path)",
        hint: geteuid() == 0 ? "choose a place on another file system" : "receive it as root")
    }
    return offer
  }

  func fetch(_ snapshot: String) throws -> PassReport { try destination.restore(.named(snapshot), reachable()) }

  /// A repository behind the channel is reached by its own node alone.
  private func reachable() throws -> ResticRepository {
    let repository = try ResticRepository(context, config, memory)
    guard repository.isReachable else {
      throw FerryError(
        .unsupported, "a transfer cannot reach '\(config.repository)': there is no channel without a destination",
        hint: "give the repository as sftp:, rest:, s3: or a folder; or move the state at once with `ferry run`")
    }
    return repository
  }
}
