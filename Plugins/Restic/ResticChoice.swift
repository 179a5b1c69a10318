/// Which snapshot a command is about.
enum ResticChoice: Sendable {
  case named(String)
  /// The newest with all of these tags: restic finds it by itself, and nobody has to be asked before.
  case newest(tags: [String])

  var arguments: [String] {
    switch self {
    case .named(let name): [name]
    case .newest(let tags): ["latest", "--tag", tags.joined(separator: ",")]
    }
  }
}
