/// A piece of YAML and where it stands. Scalars are text: what a text means is for the schema to say, not for a guess.
struct Node: Sendable {
  enum Content: Sendable {
    /// `plain`: written without quotes. A plain empty scalar is a key without a value.
    case scalar(String, plain: Bool)
    case list([Node])
    case map([Entry])
    /// Something that was already complained about; it fits everywhere.
    case broken
  }
  struct Entry: Sendable {
    var key: String
    var keyMark: Mark
    var value: Node
  }

  var content: Content
  var mark: Mark

  /// The value of a key, or nil.
  subscript(key: String) -> Node? { entry(key)?.value }

  func entry(_ key: String) -> Entry? { entries.first { $0.key == key } }

  var entries: [Entry] { if case .map(let entries) = content { entries } else { [] } }
  var list: [Node] { if case .list(let nodes) = content { nodes } else { [] } }
  var text: String? { if case .scalar(let text, _) = content { text } else { nil } }
  var isBroken: Bool { if case .broken = content { true } else { false } }
  var isMap: Bool { if case .map = content { true } else { false } }
  var isEmpty: Bool { if case .scalar("", plain: true) = content { true } else { false } }

  /// What a message calls it.
  var described: String {
    switch content {
    case .scalar(let text, _): quoted(text)
    case .list: "a list"
    case .map: "a map"
    case .broken: "this"
    }
  }
}
