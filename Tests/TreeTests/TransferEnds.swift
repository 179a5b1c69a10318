import FerrySystem
import FerryTree
import Glibc
import TestSupport

/// Both ends of a tree's transfer, joined by a socket pair.
final class TransferEnds {
  let folder = try? TemporaryFolder()
  let from: String
  let to: String
  var options = TreeOptions()
  var receiving: TreeOptions?
  private(set) var sender: TreeSender?
  private(set) var receiver: TreeReceiver?
  private var number = 0

  /// In a folder of its own, or below one on another file system.
  init(in place: String? = nil) throws {
    guard let root = place ?? folder?.path else { throw FerryError(.internal, "no folder") }
    (from, to) = ("\(root)/from", "\(root)/to")
    state = "\(root)/state"
    try Files.makeFolder(from, mode: 0o755)
    try Files.makeFolder(to)
  }
  private let state: String

  /// Fresh processes know what is on disk and nothing else.
  func forget(_ sides: [String] = ["sender", "receiver"], state gone: Bool = false) throws {
    if sides.contains("sender") { sender = nil }
    if sides.contains("receiver") { receiver = nil }
    if gone { for side in sides { try Files.remove("\(state)/\(side)") } }
  }

  func ends() throws -> (TreeSender, TreeReceiver) {
    let sender = try sender ?? TreeSender(root: from, state: "\(state)/sender", options: options)
    let receiver = try receiver ?? TreeReceiver(root: to, state: "\(state)/receiver", options: receiving ?? options)
    (self.sender, self.receiver) = (sender, receiver)
    return (sender, receiver)
  }

  /// One pass of both ends; `channels` sockets.
  @discardableResult func pass(final: Bool = false, changes: TreeChanges? = nil, channels: Int = 1) throws -> (
    sent: TreeReport, received: TreeReport
  ) {
    let (sender, receiver) = try ends()
    let pairs = try (0..<channels).map { _ in try Descriptor.socketPair() }
    let pass = TreePass(number: number, isFinal: final, changes: changes)
    number += 1
    let box = Box(sender, receiver)
    let results = try Threads.map([true, false]) { isSender in
      Result {
        isSender ? try box.sender.send(pass, on: pairs.map(\.0.number)) : try box.receiver.receive(pass, on: pairs.map(\.1.number))
      }
    }
    let failures = results.compactMap { result in if case .failure(let error) = result { FerryError.wrap(error) } else { nil } }
    if let failure = failures.first(where: { $0.class != .peer }) ?? failures.first { throw failure }
    return (try results[0].get(), try results[1].get())
  }

  /// The digests of both ends, in all depths: one value if all is well.
  func digests(_ depths: [TreeDigestDepth] = [.tracked, .sweep, .full], listing: String? = nil) throws -> Set<TreeDigest.Result> {
    let (sender, receiver) = try ends()
    var found: Set<TreeDigest.Result> = []
    for depth in depths {
      found.insert(try sender.digest(depth, listing: listing.map { "\($0).from" }))
      found.insert(try receiver.digest(depth, listing: listing.map { "\($0).to" }))
    }
    return found
  }

  func differences() throws -> [String] { try TreeComparison.differences(from, to) }

  private struct Box: @unchecked Sendable {
    let sender: TreeSender
    let receiver: TreeReceiver
    init(_ sender: TreeSender, _ receiver: TreeReceiver) { (self.sender, self.receiver) = (sender, receiver) }
  }
}
