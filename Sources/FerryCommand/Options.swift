import ArgumentParser
import Ferry
import Glibc

/// How a command says what it has to say.
struct OutputOptions: ParsableArguments {
  @Flag(help: "Print one JSON object a line.") var json = false

  /// Prints a value: as a line of JSON, or as text for people.
  func show(_ value: some Encodable, _ text: @autoclosure () throws -> String) throws {
    if json { try Console.line(value) } else { Console.line(try text()) }
  }

  /// Says that a command on a run has done what it is for.
  func done(_ run: String, _ text: String) throws { try show(Done(run: run), text) }

  private struct Done: Encodable {
    var kind = "result"
    var exit = Ferry.ExitCode.done
    var run: String
  }
}

/// Where an engine finds plugins and keeps its state.
struct EngineOptions: ParsableArguments {
  @OptionGroup var plugins: PluginOptions
  @Option(help: ArgumentHelp("Folder of the journal and event logs; else $FERRY_STATE.", valueName: "dir")) var state: String?

  func engine() throws -> Engine { try Engine(plugins.configuration(state: state)) }
}

/// Where plugins are.
struct PluginOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Plugin folder; may be repeated, the first wins; else $FERRY_PLUGINS.", valueName: "dir")) var plugins:
    [String] = []

  func configuration(state: String? = nil) -> Engine.Configuration {
    var configuration = Engine.Configuration(
      executable: Engine.Configuration.ownExecutable, stateFolder: state, pluginFolders: plugins.isEmpty ? nil : plugins)
    configuration.faults = getenv("FERRY_FAULT").map { String(cString: $0) }
    return configuration
  }
}

/// A manifest and its parameters.
struct ManifestOptions: ParsableArguments {
  @Argument(help: "The manifest, a YAML file.") var manifest: String
  @Option(help: ArgumentHelp("A parameter of the manifest; may be repeated.", valueName: "name=value")) var set: [String] = []

  func validate() throws { _ = try parameters() }

  func load(by engine: Engine) throws -> Manifest { try engine.load(manifest, parameters: parameters()) }

  /// What `--set` says.
  func parameters() throws -> [String: String] {
    do { return try Manifest.parameters(set) } catch let error as FerryError { throw ValidationError("--set: \(error.message)") }
  }
}

/// What a run is told beside its manifest.
struct RunOptionFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp("The longest outage that is acceptable, such as 30s; overrides the manifest.", valueName: "duration"),
    transform: duration) var maxDowntime: Duration?
  @Option(help: ArgumentHelp("Wait for `ferry proceed` before this phase; may be repeated.", valueName: "phase")) var holdBefore: [Phase] =
    []
  @Flag(help: "Go on although the destination looks too small.") var ignoreSpace = false

  /// The options that the flags make.
  func options() -> RunOptions {
    var options = RunOptions()
    options.maxDowntime = maxDowntime
    options.holdBefore = holdBefore
    options.ignoreSpace = ignoreSpace
    return options
  }

  private static func duration(_ text: String) throws -> Duration {
    guard let duration = Quantity.duration(text) else { throw ValidationError("'\(text)' is no duration: write 30s, 5m or 500ms") }
    return duration
  }
}

extension Phase: ExpressibleByArgument {}

/// The run that a command is about.
struct RunReference: ParsableArguments {
  @Argument(help: "The run's id, or the beginning of it.") var run: String
}
