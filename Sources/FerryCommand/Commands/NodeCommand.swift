import ArgumentParser
import Ferry

struct NodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "node", abstract: "Acts on this machine's node itself, without the journal: when the controller or its disk is gone.",
    subcommands: [Status.self, Thaw.self, Unseal.self, Activate.self])

  struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tells what this node knows: who owns which state, and the locks.")
    @OptionGroup var node: NodeOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      let node = node.node()
      let (records, locks) = (try node.records(), node.locks())
      if output.json {
        try records.forEach { try Console.line($0) }
        return try locks.forEach { try Console.line($0) }
      }
      let rows = records.map { record in
        var notes: [String] = []
        if record.state == .quiesced {
          notes.append(
            record.deadline.map { "comes back by itself at \(Timestamp.text($0))" }
              ?? "held down since before this machine booted, and nobody watches: `ferry node thaw \(record.run)` brings it back")
        }
        notes += [record.note].compactMap { $0 } + (record.finished ? ["finished"] : [])
        return [record.run, record.side.rawValue, record.state.rawValue, record.mode.rawValue, record.name, notes.joined(separator: "; ")]
      }
      Console.line(rows.isEmpty ? "this node knows no runs" : Words.table(rows))
      for lock in locks {
        Console.line("lock  \(lock.target)  run \(lock.run), process \(lock.owner.pid), \(lock.owner.isAlive ? "alive" : "gone")")
      }
    }
  }

  struct Thaw: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Brings a quiesced source back into service; one that is sealed is refused.")
    @OptionGroup var reference: RunReference
    @OptionGroup var node: NodeOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      try node.node().thaw(reference.run) { Console.complain("  \($0)") }
      try output.done(reference.run, "the source serves again; `ferry rollback \(reference.run)` on the controller ends the run")
    }
  }

  struct Unseal: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Gives a sealed source back to its services.",
      discussion: "Only if the destination does not serve and will not: two that serve the same state lose what one of them accepts.")
    @OptionGroup var reference: RunReference
    @OptionGroup var node: NodeOptions
    @OptionGroup var fence: Fence
    @OptionGroup var output: OutputOptions

    func run() throws {
      try fence.demand("the destination", of: reference.run, for: "unseal")
      try node.node().unseal(reference.run) { Console.complain("  \($0)") }
      try output.done(reference.run, "the source serves again")
    }
  }

  struct Activate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Brings a verified destination into service.",
      discussion: "Only if the source does not serve and will not: two that serve the same state lose what one of them accepts.")
    @OptionGroup var reference: RunReference
    @OptionGroup var node: NodeOptions
    @OptionGroup var fence: Fence
    @OptionGroup var output: OutputOptions

    func run() throws {
      try fence.demand("the source", of: reference.run, for: "activate")
      try node.node().activate(reference.run) { Console.complain("  \($0)") }
      try output.done(reference.run, "the destination serves")
    }
  }
}

/// Which node of this machine.
struct NodeOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The node's home, if it is not the default one ($FERRY_HOME).", valueName: "dir")) var home: String?
  @OptionGroup var plugins: PluginOptions

  func node() -> LocalNode { LocalNode(home: home, configuration: plugins.configuration(state: home.map { "\($0)/node" })) }
}

/// A person's word that the other end is out of service.
struct Fence: ParsableArguments {
  @Flag(help: "I have made sure that the other end does not serve this state and cannot begin to.") var iHaveFencedTheOther = false

  func demand(_ other: String, of run: String, for act: String) throws {
    guard !iHaveFencedTheOther else { return }
    throw FerryError(
      .invalid,
      "this node cannot see \(other): with --i-have-fenced-the-other you vouch that \(other) of run \(run) does not serve this state and cannot begin to (it is powered off, cut off, or its services are removed)",
      hint: "nothing was changed; if that is so: ferry node \(act) \(run) --i-have-fenced-the-other")
  }
}
