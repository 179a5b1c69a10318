import ArgumentParser
import Ferry
import FerryConformance

struct PluginsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plugins", abstract: "What providers there are, and where they come from.",
    subcommands: [List.self, Describe.self, New.self, Test.self, Pin.self])

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the providers, and the plugins that cannot be used.")
    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      let configuration = plugins.configuration()
      let all = try configuration.catalog().plugins()
      if output.json { return try all.forEach { try Console.line($0) } }
      guard !all.isEmpty else { return Console.line("there are no plugins in \(configuration.pluginFolders.joined(separator: ", "))") }
      let rows = all.flatMap { plugin -> [[String]] in
        let version = plugin.module?.version ?? ""
        let providers = (plugin.module?.providers ?? []).map { [$0.id, version, $0.summary, plugin.path] }
        return providers + (plugin.module?.calls ?? []).map { ["call:\(plugin.callPrefix).\($0)", version, "", plugin.path] }
      }
      Console.line(
        ([Words.table(rows)] + all.compactMap { $0.error.map { "not usable: \($0)" } }).filter { !$0.isEmpty }.joined(separator: "\n"))
    }
  }

  struct Describe: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Tells what a provider's item takes in a manifest.")
    @Argument(help: "The provider, as manifests name it.") var id: String
    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      let catalog = try plugins.configuration().catalog()
      let (provider, file) = (try catalog.description(of: id), try catalog.provider(id))
      let head = Words.table([["provider", provider.id], ["summary", provider.summary], ["file", file.path], ["sha256", file.sha256]])
      let keys = SchemaKeys(provider.schema).rows
      try output.show(
        Description(id: provider.id, summary: provider.summary, file: file, schema: provider.schema),
        keys.isEmpty ? head : "\(head)\n\n\(Words.table([["key", "", ""]] + keys))")
    }

    private struct Description: Encodable {
      var id: String
      var summary: String
      var file: PluginFile
      var schema: JSONValue
    }
  }

  struct Test: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Tells whether a plugin's file keeps the rules: its owner, its module, its providers and their schemas.")
    @Argument(help: "The shared library, or the descriptor.") var file: String
    @Flag(
      name: .customLong("run"),
      help: "Make states, and move, break off and undo them: what docs/abi.md promises of a provider.") var runs = false
    @Option(help: ArgumentHelp("With --run: the item's other keys, a JSON object.", valueName: "json")) var keys = "{}"
    @Option(
      help: ArgumentHelp("With --run: how to make the provider's kind of state, for what is no folder and no file.", valueName: "file"))
    var specimen: String?
    @Option(help: ArgumentHelp("With --run: only the checks whose sentence has these words.", valueName: "words")) var only: String?
    @OptionGroup var output: OutputOptions

    /// How the states of a provider are made.
    private func maker(_ provider: ProviderDescription, _ file: PluginFile, _ specimen: SpecimenFile?, _ executable: String) throws
      -> (String) throws -> any ConformanceSubject
    {
      if let specimen { return { try specimen.subject(in: $0, executable: executable, plugin: file) } }
      if let maker = try FileSubject.maker(file, provider, executable: executable, keys: JSONValue(parsing: keys).object ?? [:]) {
        return maker
      }
      throw FerryError(
        .unsupported, "'\(provider.id)' cannot be run without a specimen: its 'from' has neither 'path' nor 'file'",
        hint: "write one, and name it with --specimen: docs/specimens.md")
    }

    /// Both ends of each provider, in real hosts.
    private func runAll(_ plugin: PluginDescription, _ executable: String) throws {
      let specimen = try specimen.map { try SpecimenFile(path: $0) }
      let checks = ConformanceCheck.all.filter { check in only.map { check.name.contains($0) } ?? true }
      guard let file = plugin.file else { return }
      let providers = (plugin.module?.providers ?? []).filter { specimen == nil || specimen?.provider == $0.id }
      guard !checks.isEmpty, !providers.isEmpty else {
        throw FerryError(
          .notFound,
          checks.isEmpty ? "no check has the words '\(only ?? "")'" : "\(self.file) has no provider '\(specimen?.provider ?? "")'",
          hint: "nothing was run")
      }
      var reports: [ConformanceReport] = []
      for provider in providers {
        let report = try ConformanceReport.run(checks, of: provider.id, on: try maker(provider, file, specimen, executable))
        try output.show(report, "\(provider.id)\n\(report.text)")
        reports.append(report)
      }
      let broken = reports.flatMap(\.lines).filter { !$0.complaints.isEmpty }
      guard broken.isEmpty else {
        throw FerryError(
          .precondition, "\(broken.count == 1 ? "1 promise is" : "\(broken.count) promises are") not kept",
          hint: "the rules: \(Set(broken.map(\.rule)).sorted().joined(separator: " "))")
      }
    }

    func run() throws {
      let configuration = Engine.Configuration(executable: Engine.Configuration.ownExecutable)
      let catalog = PluginCatalog(folders: [], lock: nil, executable: configuration.executable, cache: nil)
      let plugin = catalog.plugin(at: file)
      if let error = plugin.error { throw FerryError(.precondition, error.message, hint: error.hint) }
      guard let module = plugin.module else { throw FerryError(.internal, "\(file) did not describe itself") }
      if runs { return try runAll(plugin, configuration.executable) }
      var lines = ["\(file): \(module.name) \(module.version) of \(module.vendor), plugin ABI 1.\(module.abiMinor)"]
      var faults = module.providers.isEmpty && module.calls == nil ? ["the module has no provider"] : []
      for provider in module.providers {
        let keys = SchemaKeys(provider.schema)
        lines.append("  \(provider.id): \(provider.summary)")
        if provider.schema.object == nil { faults.append("'\(provider.id)': its schema is not a JSON object") }
        for side in ["from", "to"] where !keys.paths.contains(where: { $0 == side || $0.hasPrefix("\(side).") }) {
          faults.append("'\(provider.id)': its schema does not say what '\(side)' takes")
        }
      }
      try output.show(
        plugin, (lines + (faults.isEmpty ? ["it keeps the rules that can be seen without a run"] : [])).joined(separator: "\n"))
      guard faults.isEmpty else {
        throw FerryError(.precondition, faults.joined(separator: "; "), hint: "include/ferry/plugin.h has the rules")
      }
    }
  }

  struct Pin: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes ferry.lock beside the plugin folder: from then on nothing else is loaded.")
    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
      let configuration = plugins.configuration()
      // What is to be pinned is looked at without the pins there are: a person says that this is now the right one.
      let all = PluginCatalog(folders: configuration.pluginFolders, lock: nil, executable: configuration.executable, cache: nil).plugins()
      guard !all.isEmpty else {
        throw FerryError(
          .notFound, "there are no plugins in \(configuration.pluginFolders.joined(separator: ", "))", hint: "nothing was changed")
      }
      if let broken = all.first(where: { $0.error != nil }), let error = broken.error {
        throw FerryError(.precondition, "\(broken.path) cannot be used: \(error.message)", hint: "nothing was changed; \(error.hint)")
      }
      let files = all.compactMap(\.file)
      let lock = PluginLock(path: configuration.lockPath, pins: Dictionary(files.map { ($0.name, $0.sha256) }) { first, _ in first })
      try lock.write()
      let rows = files.map { [$0.name, $0.sha256] }
      try output.show(lock.pins, "\(Words.table(rows))\n\(lock.path) now pins \(files.count == 1 ? "1 plugin" : "\(files.count) plugins")")
    }
  }
}
