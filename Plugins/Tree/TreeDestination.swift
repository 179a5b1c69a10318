import FerryTreeKit
import Glibc

/// What the destination offers.
struct TreeOffer: Codable {
  /// What it can hold.
  var form: TreeForm
  /// Where the target is, so that a source on the same machine can see whether it is itself.
  var path: String
  var machine: String

  /// This machine, as this process sees its files.
  static var thisMachine: String {
    let boot = (try? Files.read("/proc/sys/kernel/random/boot_id")).map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } }
    var buffer = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/ns/mnt", &buffer, 63)
    return (boot ?? "") + " " + String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// receive-state.
final class TreeDestination {
  private let context: ProviderContext
  private let target: StagedFolder
  private let trees: TreeEnds

  init(_ context: ProviderContext, _ target: StagedFolder, _ trees: TreeEnds) {
    self.context = context
    self.target = target
    self.trees = trees
  }

  func prepare() throws -> Offer {
    try target.prepare()
    let offer = TreeOffer(form: try FileSystemProbe.form(in: target.holder), path: target.path, machine: TreeOffer.thisMachine)
    return Offer(.private, try JSONValue(encoding: offer).object ?? [:])
  }

  func receive(_ pass: Pass, _ form: TreeForm) throws -> PassReport {
    let receiver = try receiver(target.staged(), form)
    let report = try receiver.receive(TreePass(number: pass.number, isFinal: pass.isFinal), on: pass.channels)
    try context.kv.put(TreeProvider.formKey, receiver.options.form)
    return PassReport(received: report)
  }

  func digest(_ request: DigestRequest, _ form: TreeForm) throws -> TreeDigest.Result {
    try receiver(target.current(active: request.target == .active), form).digest(request, listing: request.listing)
  }

  /// What is excluded at the source never arrives: what is here is what was selected.
  private func receiver(_ path: String, _ form: TreeForm) throws -> TreeReceiver { try trees.receiver(at: path, TreeOptions(form: form)) }
}
