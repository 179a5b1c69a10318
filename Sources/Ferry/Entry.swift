import FerrySystem
import Glibc

/// What the `ferry` program does when another part of Ferry starts it: `agent`, `link`, `watchdog` and `host` are no commands for people.
public enum Entry {
  /// Serves if the arguments (without the program's name) ask for one of them; else returns.
  public static func serveIfAsked(_ arguments: [String]) {
    guard let role = arguments.first else { return }
    signal(SIGPIPE, SIG_IGN)
    switch role {
    case "host": HostCommand.run(Array(arguments.dropFirst()))
    case "agent", "link", "watchdog": serve(role, Array(arguments.dropFirst()))
    default: return
    }
  }

  private static func serve(_ role: String, _ arguments: [String]) -> Never {
    var options: [String: [String]] = [:]
    var rest = arguments[...]
    while let name = rest.popFirst(), let value = rest.popFirst() { options[name, default: []].append(value) }
    let home = Files.absolute(options["--home"]?.last ?? NodeStore.defaultHome)
    let configuration = Engine.Configuration(
      executable: Engine.Configuration.ownExecutable, stateFolder: "\(home)/node", pluginFolders: options["--plugins"])
    do {
      if role == "link" {
        try LinkProcess.run(home: home, channel: options["--channel"]?.last ?? "")
      } else if role == "watchdog" {
        let surroundings = NodeSession.Surroundings(
          store: NodeStore(home: home), plugins: try configuration.catalog(), pluginFolders: configuration.pluginFolders,
          executable: configuration.executable, report: { _ in })
        try Watchdog.run(surroundings, run: options["--run"]?.last ?? "")
      } else {
        // Ctrl-C in the controller's terminal is the controller's to handle.
        signal(SIGINT, SIG_IGN)
        Agent(home: home, configuration: configuration).serve(input: Descriptor(0), output: Descriptor(1))
      }
      exit(0)
    } catch {
      try? Descriptor(2).write(Array("ferry \(role): \(FerryError.wrap(error))\n".utf8))
      exit(1)
    }
  }
}
