import FerrySystem

/// Why a stream over ssh did not come about, in one sentence, and what to do about it. ssh says it in English whatever the language is.
struct SSHFailure {
  private let transport: SSHTransport
  private let noise: String

  /// `noise` is what the other host printed before the marker that never came.
  init(_ transport: SSHTransport, noise: [UInt8] = []) {
    self.transport = transport
    self.noise = String(decoding: noise, as: UTF8.self)
  }

  private var name: String { transport.name }
  private var command: String { transport.address.command }

  /// ssh, or what it has started, has ended before the marker.
  func of(_ process: NodeProcess) -> FerryError {
    let (code, errors) = process.outcome()
    guard let code else {
      return FerryError(.peer, "\(name) has closed the connection", hint: "`\(command) true` must work; nothing was changed")
    }
    return code == 255 ? ofSSH(errors) : ofShell(code, errors)
  }

  /// Nothing came for so long.
  func late(_ patience: Duration) -> FerryError {
    FerryError(
      .retry,
      "\(name) let ssh in, but ran nothing within \(patience.components.seconds) s\(last(in: noise).map { "; it said: \($0)" } ?? "")",
      hint: "`\(command) true` must end by itself: see what that user's shell does at login; nothing was changed")
  }

  /// No `ferry` in PATH.
  func missingFerry() -> FerryError {
    FerryError(
      .notFound, "there is no ferry on \(name)",
      hint: "install it there in /usr/local/bin, or write `deploy: true` beside the node's address: ferry then brings itself along")
  }

  private func ofSSH(_ errors: String) -> FerryError {
    func has(_ words: String...) -> Bool { words.contains { errors.contains($0) } }
    let said = last(in: errors) ?? "ssh ended without a word"
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED", "HOST IDENTIFICATION HAS CHANGED") {
      return FerryError(
        .auth, "the host key of \(name) is not the one that is known: the host was reinstalled, or this is another one",
        hint:
          "find out which; if it is right, remove the old key with `ssh-keygen -R \(knownName)`, then `\(command)` once to accept the new one"
      )
    }
    if has("Host key verification failed", "host key is known for") {
      return FerryError(
        .auth, "the host key of \(name) is not known here",
        hint: "run `\(command)` once, compare the fingerprint and accept it; nothing was changed")
    }
    if has("Permission denied", "Too many authentication failures") {
      return FerryError(
        .auth, "\(name) refuses this user's key: \(said)",
        hint:
          "ferry asks for no password: `\(command) true` must work without one (ssh-copy-id, ssh-agent, ~/.ssh/config); nothing was changed"
      )
    }
    if has("Temporary failure in name resolution") {
      return FerryError(
        .retry, "no name server answers: \(said)", hint: "check the network and /etc/resolv.conf here; nothing was changed")
    }
    if has("Could not resolve hostname") {
      return FerryError(.notFound, "there is no host of that name: \(said)", hint: "check the address of \(name), or ssh's configuration")
    }
    if has("Connection refused") {
      return FerryError(
        .retry, "\(name) is there, but no sshd answers: \(said)", hint: "check the port, and that sshd runs there; nothing was changed")
    }
    if has("No route to host", "timed out", "Network is unreachable", "Connection timed out", "Host is down") {
      return FerryError(
        .retry, "\(name) cannot be reached: \(said)", hint: "check the address, the network between and its firewalls; nothing was changed")
    }
    if has("kex_exchange_identification", "Connection closed by", "Connection reset by") {
      return FerryError(
        .retry, "\(name) closed the connection before the login: \(said)",
        hint: "see sshd's log there: too many logins at once (MaxStartups), or this address is blocked; nothing was changed")
    }
    return FerryError(.peer, "ssh to \(name) failed: \(said)", hint: "`\(command) true` must work without a question; nothing was changed")
  }

  private func ofShell(_ code: Int32, _ errors: String) -> FerryError {
    let said = (last(in: errors) ?? last(in: noise)).map { ": \($0)" } ?? ""
    if transport.usesSudo, errors.contains("sudo") || code == 1 { return .sudo(refuses: name, said: said) }
    return FerryError(
      .unsupported, "the login shell of \(name) runs no commands (exit code \(code))\(said)",
      hint: "`\(command) true` must end with 0: see that user's shell and sshd's ForceCommand; nothing was changed")
  }

  /// As known_hosts writes it.
  private var knownName: String { transport.address.port.map { "'[\(transport.address.host)]:\($0)'" } ?? transport.address.host }

  private func last(in text: String) -> String? {
    text.split(whereSeparator: \.isNewline).last { !$0.allSatisfy(\.isWhitespace) }.map { String($0.prefix(300)) }
  }
}

extension FerryError {
  /// sudo asks for a password, or does not know the user.
  static func sudo(refuses name: String, said: String) -> FerryError {
    FerryError(
      .auth, "sudo on \(name) does not let this user run commands without a password\(said)",
      hint: "allow it there in a file of /etc/sudoers.d: `USER ALL=(root) NOPASSWD: ALL`, or log in as root; nothing was changed")
  }
}
