import ArgumentParser
import Ferry

extension PluginsCommand {
  struct New: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes a plugin to begin with: a folder with its code, its build file and a README. It passes `plugins test --run`.")
    @Argument(help: "What the provider is called: a-z, 0-9 and -, a letter first.") var name: String
    @Option(help: "What it is written in: c, swift or descriptor.") var language: PluginSkeleton.Language
    @Option(help: ArgumentHelp("With --language swift: Ferry's own package, a folder or a URL.", valueName: "package")) var package: String?
    @Option(help: ArgumentHelp("The folder that gets the plugin's folder.", valueName: "dir")) var into = "."
    @Flag(help: "Replace files that are there.") var force = false
    @OptionGroup var output: OutputOptions

    func validate() throws {
      if (package != nil) != (language == .swift) {
        throw ValidationError(package == nil ? "--language swift needs --package" : "--package is for --language swift")
      }
    }

    func run() throws {
      let draft = try PluginSkeleton(name, language, package: package).draft(executable: Engine.Configuration.ownExecutable)
      let files = try draft.write(to: into, replacing: force)
      let place = into == "." ? "" : "\(into)/"
      let lines = draft.files.map { "wrote \(place)\($0.path)" } + ["next: cd \(place)\(name) && \(next)"]
      try output.show(Written(files: files), lines.joined(separator: "\n"))
    }

    /// What tries it.
    private var next: String {
      switch language {
      case .c: "make test"
      case .swift: "swift build -c release && ferry plugins test .build/release/lib\(name).so --run"
      case .descriptor: "ferry plugins test \(name).yaml --run"
      }
    }

    private struct Written: Encodable {
      var kind = "result"
      var exit = Ferry.ExitCode.done
      var files: [String]
    }
  }
}

extension PluginSkeleton.Language: ExpressibleByArgument {}
