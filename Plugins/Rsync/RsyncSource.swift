import FerryPluginKit
import FerryTree
import Glibc

/// transfer-state.
struct RsyncSource {
  let context: ProviderContext
  let config: RsyncConfig

  func folder() throws -> String { try TreeFolder.resolve(source: config.endpoint.path, allowEmpty: config.allowEmpty == true) }

  /// What of the offered form this end can read.
  func form(_ offer: Offer?) throws -> TreeForm {
    guard let offered = try offer?.decode(RsyncOffer.self) else { throw FerryError(.internal, "the pass came without an offer") }
    let readable = TreeForm(attributes: geteuid() == 0 ? .all : .user)
    return try RsyncTool(context).restrict(offered.form).common(with: readable)
  }

  func transfer(_ pass: Pass) throws -> PassReport {
    let source = try folder()
    let channel = try pass.channel
    let options = RsyncOptions(config, form: try form(pass.offer), isFinal: pass.isFinal)
    if !pass.isFinal {
      // A later write through an open memory map changes a file's time only if its pages were flushed before.
      try TreeFolder(root: source).flush()
    }
    let arguments = options.client + config.rules + ["--stats", "--info=progress2", "--no-human-readable", "--outbuf=L"]
    let run = RsyncRun(context: context)
    let code: Int32
    switch config.transport ?? .channel {
    case .channel:
      let abilities = try RsyncShell.abilities(options.client, source: source, context)
      try RsyncWire.send(RsyncWire.Hello(form: options.form, abilities: abilities), on: channel)
      code = try config.showing(source) {
        try run.run(arguments + ["-e", RsyncShell.relay, "\(source)/", "ferry:."], descriptors: [RsyncShell.channel: channel])
      }
    case .daemon:
      try RsyncWire.send(RsyncWire.Hello(form: options.form, abilities: ""), on: channel)
      let daemon = try RsyncWire.receive(RsyncWire.DaemonAddress.self, on: channel, context)
      let host = daemon.address.contains(":") ? "[\(daemon.address)]" : daemon.address
      code = try config.showing(source) {
        try run.run(
          arguments + ["--port=\(daemon.port)", "\(source)/", "\(daemon.user)@\(host)::\(RsyncDaemon.module)/"],
          environment: ["RSYNC_PASSWORD": daemon.password])
      }
      if code == 0 || code == 23 || code == 24 { try RsyncWire.send(RsyncDaemon.Ending(code: code), on: channel) }
    }
    return try run.report(code: code, isFinal: pass.isFinal)
  }

  /// What rsync's own file list holds; nil for everything.
  func selection(_ form: TreeForm) throws -> TreeSelection? {
    guard config.selects else { return nil }
    return try RsyncSelection.read(source: try folder(), config, form, context)
  }

  /// Removes what was moved and nothing else.
  func retire() throws {
    guard Files.exists(config.endpoint.path) else { return }
    guard let resolved = realpath(config.endpoint.path, nil) else {
      throw FerryError(errno: errno, "cannot read the source \(config.endpoint.path)")
    }
    defer { free(resolved) }
    let path = String(cString: resolved)
    guard path != "/", Files.isFolder(path) else { throw FerryError(.precondition, "\(path) is nothing that Ferry removes") }
    let form: TreeForm = try context.kv.get(RsyncProvider.formKey) ?? TreeForm()
    // The list is read anew: half of it may be gone already.
    let selection = config.selects ? try RsyncSelection.read(source: path, config, form, context) : nil
    try TreeRemoval.remove(path, selection: selection, keepingRoot: RsyncTarget.isMountPoint(path))
  }
}

/// Stands between rsync and the channel. rsync insists on starting its remote shell itself and on talking to it by descriptors that it
/// makes, so something has to carry bytes between those and the channel: two cats.
enum RsyncShell {
  /// The channel's number in the shell.
  static let channel: Int32 = 3

  /// When the channel ends, so does the shell, after all that the peer had to say: its last words are often the error that matters. Only a
  /// dead rsync closes its end first; then nothing of its group stays.
  static let relay = "/bin/sh -c 'exec 4<&0; cat <&4 >&3 && kill 0 & cat <&3; kill $!'"

  /// How this rsync names its abilities to a server: asked of a shell that only shows what it was called with.
  static func abilities(_ options: [String], source: String, _ context: ProviderContext) throws -> String {
    var command = Command(
      ["rsync"] + options + ["-e", "/bin/sh -c 'echo \"abilities $3\" >&2'", "\(source)/", "ferry:."], environment: RsyncTool.environment,
      timeout: .seconds(60))
    command.input = .null
    let outcome = try context.run(command)
    let letters = outcome.errors.split(separator: "\n").first { $0.hasPrefix("abilities -") }
    guard let letters, let mark = letters.lastIndex(of: "e"), isAbilities(letters[letters.index(after: mark)...]) else {
      throw FerryError(.unsupported, "rsync does not say what it asks of the other end: \(outcome.reason)")
    }
    return String(letters[letters.index(after: mark)...])
  }

  /// A dot and letters: nothing that could be an option or a path.
  static func isAbilities(_ text: some StringProtocol) -> Bool {
    text.hasPrefix(".") && text.utf8.count < 40
      && text.utf8.dropFirst().allSatisfy {
        ($0 >= 0x41 && $0 <= 0x5a) || ($0 >= 0x61 && $0 <= 0x7a) || $0 == 0x2e || ($0 >= 0x30 && $0 <= 0x39)
      }
  }
}
