import FerrySystem

/// `ssh://user@host:port`, and what ssh is told.
struct SSHAddress: Sendable, Hashable {
  var user: String?
  /// Without the brackets of an IPv6 address.
  var host: String
  var port: Int?

  init(_ text: String) throws {
    guard text.hasPrefix("ssh://") else {
      throw FerryError(.invalid, "'\(text)' is no node", hint: "it is `local` or `ssh://user@host:port`")
    }
    var rest = text.dropFirst(6)
    if let at = rest.lastIndex(of: "@") {
      user = String(rest[..<at])
      rest = rest[rest.index(after: at)...]
    }
    // The colons of an IPv6 address stand in brackets.
    if let colon = rest.lastIndex(of: ":"), colon > rest.lastIndex(of: "]") ?? rest.startIndex {
      guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else {
        throw FerryError(.invalid, "'\(text)' has no port between 1 and 65535")
      }
      port = number
      rest = rest[..<colon]
    }
    host = String(rest.first == "[" ? rest.dropFirst().dropLast() : rest)
    // What begins with `-` would be an option to ssh.
    guard !host.isEmpty, !host.hasPrefix("-"), user?.hasPrefix("-") != true, user?.isEmpty != true else {
      throw FerryError(.invalid, "'\(text)' names no host", hint: "write ssh://user@host:port")
    }
  }

  /// As arguments of ssh.
  var arguments: [String] { (user.map { ["-l", $0] } ?? []) + (port.map { ["-p", "\($0)"] } ?? []) + ["--", host] }

  /// As a person would type it.
  var command: String { "ssh\(port.map { " -p \($0)" } ?? "") \(user.map { "\($0)@" } ?? "")\(host)" }
}
