import Ferry

@main struct Main {
  static func main() {
    // Started by other parts of Ferry many times a run: nothing is parsed before them.
    let arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.first == "host" { HostCommand.run(Array(arguments.dropFirst())) }
    print("ferry \(ferryVersion)")
  }
}
