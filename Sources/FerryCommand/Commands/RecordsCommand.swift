import ArgumentParser
import Ferry

struct RecordsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "records", abstract: "Record stores, and the clones in them.",
    subcommands: [
      Create.self, Enable.self, Status.self, Orphans.self, Verify.self, Read.self, Import.self, Export.self, SyncHis.self,
    ])

  struct StoreOptions: ParsableArguments {
    @Argument(help: "The record store: sqlite:/path, or the path alone.") var store: String
    @OptionGroup var output: OutputOptions

    func tools() throws -> RecordTools { try RecordTools(store) }
  }

  private struct Count: Encodable {
    var count: Int
  }

  struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Makes an empty record store.")
    @OptionGroup var options: StoreOptions
    @Option(help: "What references to its records begin with; without it, nothing.") var project = ""

    func run() throws {
      let tools = try RecordTools.create(options.store, project: project)
      try options.output.show(try tools.status(), "made \(options.store)")
    }
  }

  struct Enable: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Says whether a store may be cloned from, and whether it clones.")
    @OptionGroup var options: StoreOptions
    @Flag(inversion: .prefixedNo, help: "Others may clone from it, and its clones are protected.") var cloning = true
    @Flag(inversion: .prefixedNo, help: "It is cloned from, and does not clone.") var isolated = false

    func run() throws {
      let tools = try options.tools()
      try tools.setCloning(cloning)
      try tools.setIsolated(isolated)
      try options.output.show(try tools.status(), "cloning is \(cloning ? "on" : "off")\(isolated ? ", and the store is isolated" : "")")
    }
  }

  struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows a store and its clone sets: state, counts, digests, times, flags.")
    @OptionGroup var options: StoreOptions

    func run() throws {
      let status = try options.tools().status()
      try options.output.show(status, Self.text(status))
    }

    private static func text(_ status: RecordTools.Status) -> String {
      let head = Words.table([
        ["project", status.project.isEmpty ? "(none)" : status.project], ["records", Text.count(Int64(status.records))],
        ["cloning", status.cloning ? "on" : "off"], ["isolated", status.isolated ? "yes" : "no"],
        ["orphans", Text.count(Int64(status.orphans))],
      ])
      guard !status.sets.isEmpty else { return head }
      let rows = status.sets.map { [$0.id, $0.state, Text.count($0.count), $0.server, String($0.digest.suffix(16)), $0.filter] }
      return "\(head)\n\n\(Words.table([["clone set", "state", "clones", "server", "digest", "filter"]] + rows))"
    }
  }

  struct Orphans: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the clones whose clone set is gone, and removes them.")
    @OptionGroup var options: StoreOptions
    @Flag(help: "Remove them.") var remove = false

    func run() throws {
      let tools = try options.tools()
      if remove {
        let count = try tools.removeOrphans()
        return try options.output.show(Count(count: count), "removed \(Text.count(Int64(count)))")
      }
      let ids = try tools.orphans()
      try options.output.show(ids, ids.isEmpty ? "there are none" : ids.map { "@\($0)" }.joined(separator: "\n"))
    }
  }

  struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Compares the content of clones with the store that they were cloned from.")
    @OptionGroup var options: StoreOptions
    @Option(help: ArgumentHelp("The server's store.", valueName: "store")) var against: String

    func run() throws {
      let found = try options.tools().verify(against: against)
      let rows = found.map {
        [$0.id, $0.different.isEmpty ? "equal" : "differs", Text.count($0.count), $0.different.map { "@\($0)" }.joined(separator: " ")]
      }
      try options.output.show(found, found.isEmpty ? "no clone set is of that project" : Words.table(rows))
      let different = found.filter { !$0.different.isEmpty }
      guard different.isEmpty else {
        throw FerryError(
          .precondition, "\(different.count == 1 ? "a clone set differs" : "\(different.count) clone sets differ") from \(against)",
          hint: "the next run of their item mends it")
      }
    }
  }

  struct Read: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Prints records: Trio, or with --json Hayson.")
    @OptionGroup var options: StoreOptions
    @Option(help: "Which ones; all without it.") var filter: String?
    @Option(help: "At most so many.") var limit = 1000

    func run() throws {
      let asJSON = options.output.json
      try options.tools().read(filter: filter, limit: limit) { json, trio in
        if asJSON { try Console.line(json) } else { Console.write(trio, to: 1) }
      }
    }
  }

  struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Takes the records of a .zinc, .trio, .json or .hayson file.")
    @OptionGroup var options: StoreOptions
    @Argument(help: "The file.") var file: String

    func run() throws {
      let count = try options.tools().importFile(file)
      try options.output.show(Count(count: count), "took \(Text.count(Int64(count))) records")
    }
  }

  struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Writes records into a .zinc, .trio, .json or .hayson file.")
    @OptionGroup var options: StoreOptions
    @Argument(help: "The file.") var file: String
    @Option(help: "Which ones; all without it.") var filter: String?

    func run() throws {
      let count = try options.tools().exportFile(file, filter: filter)
      try options.output.show(Count(count: count), "wrote \(Text.count(Int64(count))) records")
    }
  }

  struct SyncHis: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "sync-his", abstract: "Fetches the history of cloned points from where they were cloned from.")
    @OptionGroup var options: StoreOptions
    @Option(help: ArgumentHelp("The server's store: sqlite:/path, or haystack+https://host/api.", valueName: "store")) var from: String
    @Option(help: "The project that the references of a server belong to.") var project = ""
    @Option(help: "Who logs in to a server.") var user: String?
    @Option(help: "A file whose first line is the password.") var passwordFile: String?
    @Option(help: "Which points; all without it.") var filter: String?
    @Option(help: "today, yesterday, a day, a day and the last one; without it, from where each history ends.") var span: String?

    func validate() throws {
      guard (user == nil) == (passwordFile == nil) else { throw ValidationError("--user and --password-file belong together") }
    }

    func run() throws {
      var login: RecordTools.Login?
      if let user, let passwordFile { login = try RecordTools.Login(user: user, passwordFile: passwordFile) }
      let found = try options.tools().syncHistory(from: from, project: project, login: login, filter: filter, span: span)
      let failures = found.failures.sorted { $0.key < $1.key }.map { "@\($0.key): \($0.value)" }
      let text = "\(Text.count(found.items)) items of \(Text.count(Int64(found.points))) points"
      try options.output.show(found, ([text] + failures).joined(separator: "\n"))
      guard failures.isEmpty else {
        throw FerryError(
          .precondition, "the history of \(failures.count == 1 ? "a point" : "\(failures.count) points") did not come",
          hint: "the others' did; the same command asks again")
      }
    }
  }
}
