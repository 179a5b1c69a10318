import FerrySystem
import FoundationEssentials

/// Secrets, looked up where they are needed and kept in memory only.
struct SecretResolver: Sendable {
  /// What the controller's environment held, by item and name.
  let sent: [String: [String: [UInt8]]]

  /// The controller's half: the values of `{env: …}` references, base64 in a message that only the agent reads.
  static func controllerSecrets(of items: [ItemSpec]) throws -> [String: [String: String]] {
    var secrets: [String: [String: String]] = [:]
    for item in items {
      for (name, reference) in item.secrets {
        guard case .env(let variable) = reference else { continue }
        guard let value = Environment.all[variable] else {
          throw FerryError(
            .auth, "secret '\(name)' of state '\(item.name)': the variable \(variable) is not set here",
            hint: "export \(variable) and run again")
        }
        secrets[item.name, default: [:]][name] = Data(value.utf8).base64EncodedString()
      }
    }
    return secrets
  }

  /// All secrets of an item. A trailing newline of a file or a command's output is not part of the secret.
  func resolve(_ item: ItemSpec) throws -> [String: [UInt8]] {
    try Dictionary(uniqueKeysWithValues: item.secrets.map { name, reference in (name, try value(reference, name: name, item: item.name)) })
  }

  private func value(_ reference: SecretReference, name: String, item: String) throws -> [UInt8] {
    let place = "secret '\(name)' of state '\(item)'"
    switch reference {
    case .env(let variable):
      guard let value = sent[item]?[name] else {
        throw FerryError(
          .auth, "\(place): the variable \(variable) is known to the controller only",
          hint: "use a {file: …} or {command: …} reference for a secret that a node must find alone")
      }
      return value
    case .file(let path):
      do { return trimmed(try Files.read(path, limit: 1 << 20)) } catch {
        throw FerryError(.auth, FerryError.wrap(error).inside(place).message)
      }
    case .command(let arguments):
      var command = Command(arguments, timeout: .seconds(60))
      command.errors = .capture(limit: 4096)
      let outcome = try command.run()
      // Its output is the secret and its errors may quote it: only how it ended is told.
      guard outcome.succeeded else {
        throw FerryError(.auth, "\(place): \(arguments[0]) \(outcome.timedOut ? "did not end in time" : "ended with code \(outcome.code)")")
      }
      return trimmed(Array(outcome.output.utf8))
    }
  }

  private func trimmed(_ bytes: [UInt8]) -> [UInt8] { bytes.last == 10 ? Array(bytes.dropLast()) : bytes }
}
