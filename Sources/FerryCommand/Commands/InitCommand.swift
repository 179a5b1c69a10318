import ArgumentParser
import Ferry

struct InitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "init", abstract: "Writes manifests for what is there: a first version to read, change and keep.",
    discussion: """
      What it reads is said by a word and a colon:

        ns8:IMAGEROOT   a NethServer module: a manifest for cloning and one for backup, with its steps as hooks
        docker:NAME     a Docker container: image, settings, volumes, layer
        podman:NAME     a Podman container
        pod:NAME        all containers of a Podman pod
        compose:FILE    all containers that compose has made of a file
      """)
  @Argument(help: ArgumentHelp("What is read: ns8:IMAGEROOT, docker:NAME, podman:NAME, pod:NAME or compose:FILE.", valueName: "what"))
  var subject: String
  @Option(help: ArgumentHelp("What it is called; else as what is read.", valueName: "name")) var name: String?
  @Option(help: ArgumentHelp("The folder that is written to.", valueName: "dir")) var into = "."
  @Flag(help: "Replace files that are there.") var force = false
  @OptionGroup var containers: ContainerOptions
  @OptionGroup var output: OutputOptions

  func validate() throws {
    if let name, !Engine.isName(name) { throw ValidationError("'\(name)' is no name: letters, digits, '.', '_' and '-'") }
  }

  func run() throws {
    let draft = try draft()
    let files = try draft.write(to: into, replacing: force)
    try output.show(Written(files: files, notes: draft.notes), text(files, draft.notes))
  }

  /// One case for each word.
  private func draft() throws -> Draft {
    let parts = subject.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[1].isEmpty else { throw unknown() }
    switch parts[0] {
    case "ns8": return try NS8Module(imageRoot: parts[1], name: name).draft()
    default:
      guard var project = try ContainerSubject.project(subject) else { throw unknown() }
      if let name { project.name = name }
      return try project.draft(containers.terms)
    }
  }

  private func unknown() -> ValidationError {
    ValidationError("'\(subject)' is nothing that can be read: write ns8:IMAGEROOT, docker:NAME, podman:NAME, pod:NAME or compose:FILE")
  }

  private func text(_ files: [String], _ notes: [String]) -> String {
    let manifests = files.filter { $0.hasSuffix(".yaml") }
    let hooks = files.count - manifests.count
    return
      (manifests.map { "wrote \($0)" } + (hooks > 0 ? ["wrote \(hooks == 1 ? "1 hook" : "\(hooks) hooks") beside"] : [])
      + notes.map { "note: \($0)" } + ["read them, then try `ferry check`"]).joined(separator: "\n")
  }

  private struct Written: Encodable {
    var kind = "result"
    var exit = Ferry.ExitCode.done
    var files: [String]
    var notes: [String]
  }
}
