import Ferry

@main struct Main {
  static func main() { print("ferry \(ferryVersion)") }
}
