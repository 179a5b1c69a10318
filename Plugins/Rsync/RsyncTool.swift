import FerryPluginKit
import FerryTree

/// The rsync program of this node.
struct RsyncTool: Sendable {
  /// As it says it, "3.2.7".
  let version: String
  /// Of its wire protocol.
  let protocolVersion: Int
  private let capabilities: Set<String>

  /// rsync 3.1.3: the first that compares times to the nanosecond.
  static let oldest = [3, 1, 3]

  /// Variables that would change what rsync does, or speak another language. A name that is not ASCII comes as `\#ooo`.
  static let environment: [String: String?] = {
    var changes: [String: String?] = ["LC_ALL": "C"]
    for name in Environment.all.keys where name.hasPrefix("RSYNC_") { changes[name] = .some(nil) }
    return changes
  }()

  /// Asks the installed one; throws if there is none.
  init(_ context: ProviderContext) throws {
    let outcome: Command.Outcome
    do { outcome = try context.run(Command(["rsync", "--version"], environment: Self.environment, timeout: .seconds(60))) } catch {
      throw FerryError(
        .precondition, "rsync cannot be run here: \(FerryError.wrap(error).message)", hint: "install rsync 3.1.3 or newer on this node")
    }
    guard outcome.succeeded else { throw FerryError(.precondition, "`rsync --version` failed: \(outcome.reason)") }
    try self.init(parsing: outcome.output)
  }

  init(parsing text: String) throws {
    let words = text.prefix { $0 != "\n" }.split(separator: " ")
    guard words.first == "rsync", let version = words.firstIndex(of: "version"), words.count > version + 1,
      let number = words.last.flatMap({ Int($0) })
    else {
      throw FerryError(.precondition, "`rsync --version` says what Ferry does not understand: \(text.prefix(80))")
    }
    self.version = String(words[version + 1])
    protocolVersion = number
    capabilities = Set(text.split { $0 == "," || $0 == "\n" }.map { $0.drop(while: \.isWhitespace) }.map(String.init))
  }

  /// Whether this version does what is needed.
  var isRecent: Bool {
    let own = version.split { !$0.isNumber }.prefix(3).compactMap { Int($0) }
    return protocolVersion >= 31 && !own.lexicographicallyPrecedes(Self.oldest)
  }

  var knowsAccessControl: Bool { capabilities.contains("ACLs") }
  var knowsAttributes: Bool { capabilities.contains("xattrs") }

  /// What this build of rsync can carry of a form.
  func restrict(_ form: TreeForm) -> TreeForm {
    form.common(with: TreeForm(accessControl: knowsAccessControl, attributes: knowsAttributes ? .all : .none))
  }
}
