import ArgumentParser
import Ferry

struct MoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "move", abstract: "Moves a container, a pod or a compose project to another host: all of it.",
    discussion: """
      Runs the manifest that `ferry init` writes for it:

        docker:NAME    a Docker container
        podman:NAME    a Podman container
        pod:NAME       all containers of a Podman pod
        compose:FILE   all containers that compose has made of a file

      It is run on the host where they are.
      """)
  @Argument(help: ArgumentHelp("What is moved: docker:NAME, podman:NAME, pod:NAME or compose:FILE.", valueName: "what")) var subject: String
  @Argument(help: ArgumentHelp("Where to: ssh://user@host:port.", valueName: "node")) var destination: String
  @Flag(help: "The source goes on as it was.") var copy = false
  @OptionGroup var terms: ContainerOptions
  @Flag(help: "Show the manifest and what it would do, and change nothing.") var dryRun = false
  @OptionGroup var flags: RunOptionFlags
  @OptionGroup var engine: EngineOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    guard let project = try ContainerSubject.project(subject) else {
      throw ValidationError("'\(subject)' is nothing that can be moved: write docker:NAME, podman:NAME, pod:NAME or compose:FILE")
    }
    let engine = try engine.engine()
    var terms = terms.terms
    (terms.copies, terms.node) = (copy, destination)
    let draft = try project.draft(terms)
    guard let file = draft.files.first else { return }
    let manifest = try engine.parse(Array(file.text.utf8), file: file.path, folder: ".")
    let options = flags.options()
    if dryRun {
      if !output.json { Console.line(file.text) }
      return try PlanCommand.show(manifest, options, engine, output)
    }
    for note in draft.notes { Console.complain("note: \(note)") }
    let budget = (options.maxDowntime ?? manifest.cutover.maxDowntime).map(Words.seconds)
    try Outcome.follow(phases: manifest.mode.phases, budget: budget, json: output.json) { show in
      try await engine.run(manifest, options: options, onEvent: show)
    }
  }
}

/// What is said of containers beside where they go.
struct ContainerOptions: ParsableArguments {
  @Option(help: ArgumentHelp("What the container is called at the destination.", valueName: "name")) var toName: String?
  @Flag(help: "Folders of the host that are mounted into the containers go along.") var withFolders = false
  @Flag(help: "Processes go on with their memory, instead of being stopped and started (Podman).") var live = false
  @Option(
    help: ArgumentHelp(
      "With --live, what becomes of established TCP connections: keep or close.", valueName: "what"))
  var connections: ContainerProject.Connections?

  var terms: ContainerProject.Terms {
    var terms = ContainerProject.Terms()
    (terms.newName, terms.withFolders, terms.live, terms.connections) = (toName, withFolders, live, connections)
    return terms
  }

  func validate() throws {
    if let toName, !Engine.isName(toName) { throw ValidationError("'\(toName)' is no name: letters, digits, '.', '_' and '-'") }
    if connections != nil, !live { throw ValidationError("--connections is about containers that go on running: say --live as well") }
  }
}

extension ContainerProject.Connections: ExpressibleByArgument {}

/// How containers are named on a command line.
enum ContainerSubject {
  /// nil: it is something else.
  static func project(_ subject: String) throws -> ContainerProject? {
    let parts = subject.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[1].isEmpty else { return nil }
    if parts[0] == "compose" { return try ContainerProject(composeFile: parts[1]) }
    if parts[0] == "pod" { return try ContainerProject(pod: parts[1]) }
    return try ContainerProject.Engine(rawValue: parts[0]).map { try ContainerProject($0, container: parts[1]) }
  }
}
