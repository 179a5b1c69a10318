import Ferry
import FerrySystem
import TestSupport
import Testing

@Suite struct DocumentTests {
  /// The keys that a schema knows, `from.volume` and the like.
  private func keys(_ schema: JSONValue) -> Set<String> {
    var keys: Set<String> = []
    for (name, value) in schema["properties"]?.object ?? [:] {
      if let inner = value["properties"]?.object { keys.formUnion(inner.keys.map { "\(name).\($0)" }) } else { keys.insert(name) }
    }
    return keys
  }

  @Test(
    "each page has every key of its schema, and no other",
    arguments: [
      ("podman-volume", "PodmanVolume", "podman-volume"), ("podman-volume", "PodmanVolume", "docker-volume"),
      ("docker-layer", "DockerLayer", "docker-layer"), ("docker-layer", "DockerLayer", "podman-layer"),
      ("container", "Container", "docker-container"), ("container", "Container", "podman-container"),
    ])
  func keys(_ product: String, _ folder: String, _ provider: String) throws {
    let library = "\(Products.folder)/libferry-plugin-\(product).so"
    let sum = String(try Command(["sha256sum", library]).run().output.prefix(64))
    let outcome = try Command([Products.ferry, "host", "--describe", library, sum]).run()
    let providers = try JSONValue(parsing: outcome.output)["reply"]?["providers"]?.array ?? []
    let schema = try #require(providers.first { $0["id"]?.string == provider }?["schema"])
    let page = String(decoding: try Files.read("\(Products.repository)/Plugins/\(folder)/README.md"), as: UTF8.self)
    let rows = page.split(separator: "\n").filter { $0.hasPrefix("| `") }
    let written = rows.flatMap { row in
      row.split(separator: "|")[0].split(separator: "`").map(String.init).filter { $0.contains { $0.isLetter } }
    }
    #expect(Set(written) == keys(schema))
  }
}
