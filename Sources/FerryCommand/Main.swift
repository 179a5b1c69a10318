import ArgumentParser
import Ferry
import Glibc

@main struct Main {
  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    Entry.serveIfAsked(arguments)
    // A standard descriptor that the caller has closed would become the first file that is opened: a journal, say.
    for number: Int32 in 0...2 where fcntl(number, F_GETFD) < 0 { _ = open("/dev/null", O_RDWR) }
    do {
      var command = try FerryTool.parseAsRoot(arguments)
      try command.run()
      exit(Ferry.ExitCode.done.rawValue)
    } catch {
      exit(Failure(error, asJSON: arguments.contains("--json")).tell())
    }
  }
}

/// The root of the command: what `ferry --help` shows.
struct FerryTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ferry", abstract: "Moves the state of a running service from one host to another.", version: "ferry \(ferryVersion)",
    groupedSubcommands: [
      CommandGroup(
        name: "Moving",
        subcommands: [InitCommand.self, CheckCommand.self, PlanCommand.self, RunCommand.self, MoveCommand.self, InstallCommand.self]),
      CommandGroup(
        name: "The two halves apart in time",
        subcommands: [TransferCommand.self, ReceiveCommand.self, SnapshotsCommand.self, ScheduleCommand.self]),
      CommandGroup(
        name: "A run under way",
        subcommands: [
          StatusCommand.self, LogsCommand.self, ProceedCommand.self, CutoverCommand.self, CancelCommand.self, ResumeCommand.self,
          RollbackCommand.self, UninstallCommand.self,
        ]),
      CommandGroup(
        name: "Afterwards",
        subcommands: [HistoryCommand.self, ReceiptCommand.self, VerifyCommand.self, CleanupCommand.self, UnlockCommand.self]),
      CommandGroup(
        name: "Tools", subcommands: [PluginsCommand.self, CallCommand.self, SchemaCommand.self, NodeCommand.self, RecordsCommand.self]),
    ])
}
