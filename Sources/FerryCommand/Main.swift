import Ferry

@main struct Main {
  static func main() {
    Entry.serveIfAsked(Array(CommandLine.arguments.dropFirst()))
    print("ferry \(ferryVersion)")
  }
}
