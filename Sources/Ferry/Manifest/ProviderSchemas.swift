/// What the manifest must know of the plugins: which providers there are, and the schema of each.
public struct ProviderSchemas: Sendable {
  /// The ids of the providers, for suggestions.
  public var ids: [String]
  /// Where plugins were looked for, for messages.
  public var folders: [String]
  /// A provider's JSON Schema, or nil if there is no such provider.
  public var schema: @Sendable (String) -> JSONValue?

  /// Providers whose schemas are asked for one by one.
  public init(ids: [String], folders: [String] = [], schema: @escaping @Sendable (String) -> JSONValue?) {
    self.ids = ids.sorted()
    self.folders = folders
    self.schema = schema
  }

  /// Providers whose schemas are at hand.
  public init(_ schemas: [String: JSONValue], folders: [String] = []) {
    self.init(ids: Array(schemas.keys), folders: folders) { schemas[$0] }
  }

  /// Takes any provider with any keys: for tools that look at a manifest without the plugins.
  public static let permissive = ProviderSchemas(ids: []) { _ in [:] }
}
