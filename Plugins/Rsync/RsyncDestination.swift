import FerryPluginKit
import FerryTree
import Glibc

/// What the destination offers.
struct RsyncOffer: Codable {
  /// What it can hold.
  var form: TreeForm
  /// Where the target is, so that a source on the same machine can see whether it is itself.
  var path: String
  var machine: String
  /// The destination's rsync.
  var version: String

  /// This machine, as this process sees its files.
  static var thisMachine: String {
    let boot =
      (try? Files.read("/proc/sys/kernel/random/boot_id")).map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } } ?? ""
    var buffer = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/ns/mnt", &buffer, 63)
    return boot + " " + String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// receive-state.
struct RsyncDestination {
  let context: ProviderContext
  let config: RsyncConfig
  let target: RsyncTarget

  func prepare() throws -> Offer {
    let tool = try RsyncTool(context)
    try target.prepare()
    let form = tool.restrict(try FileSystemProbe.form(in: target.holder))
    let offer = RsyncOffer(form: form, path: target.path, machine: RsyncOffer.thisMachine, version: tool.version)
    return Offer(.private, try JSONValue(encoding: offer).object ?? [:])
  }

  func receive(_ pass: Pass) throws -> PassReport {
    let channel = try pass.channel
    guard let offered = try pass.offer?.decode(RsyncOffer.self) else { throw FerryError(.internal, "the pass came without an offer") }
    let hello = try RsyncWire.receive(RsyncWire.Hello.self, on: channel, context)
    let form = offered.form.common(with: hello.form)
    try context.kv.put(RsyncProvider.formKey, form)
    let staged = try target.staged()
    try config.handOver(staged)
    switch config.transport ?? .channel {
    case .channel:
      guard RsyncShell.isAbilities(hello.abilities) else { throw FerryError(.peer, "the source names abilities that no rsync has") }
      let options = RsyncOptions(config, form: form, isFinal: pass.isFinal)
      let run = RsyncRun(context: context)
      let code = try config.showing(staged) {
        try run.run(options.server(abilities: hello.abilities, folder: "\(staged)/"), stream: channel)
      }
      // rsync at the source waits for the end of its shell, and that for the end of the channel.
      shutdown(channel, Int32(SHUT_WR))
      // Without an error of our own, 23 and 24 are the source's to judge: it knows which files, and whether this pass may lose any.
      guard code == 0 || (!pass.isFinal && run.lines.now.others == 0 && (code == 23 || code == 24)) else {
        throw RsyncFailure.error(code: code, lines: run.lines.now.errors, isFinal: pass.isFinal)
      }
    case .daemon:
      let daemon = RsyncDaemon(context: context, address: config.endpoint.address ?? "127.0.0.1", folder: staged)
      try config.showing(staged) { try daemon.serve(on: channel) }
    }
    let count = try TreeCount(root: staged, cancellation: context.cancellation)
    if pass.isFinal { try TreeFolder(root: staged).flush() }
    return PassReport(bytes: count.bytes, entries: count.entries)
  }
}
