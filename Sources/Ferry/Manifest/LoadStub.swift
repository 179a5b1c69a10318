extension Manifest {
  public static func load(path: String, parameters: [String: String] = [:], providers: ProviderSchemas) throws -> Manifest { throw FerryError(.internal, "") }
}
