import Ferry
import FerrySystem
import Testing

@Suite("Repositories") struct RepositoryTests {
  private let text = """
    ferry: 1
    name: site
    source: { node: local }
    destination: { node: local }
    repositories:
      vault:
        url: "s3:https://store/bucket/"
        id: 48ce000a-79b7-5fe6-8558-177fd70c27b4
        options: [s3.connections=10]
        secrets: { password: { file: /etc/vault }, AWS_ACCESS_KEY_ID: { env: KEY } }
    state:
      - { name: one, provider: restic, from: { path: /srv/one }, repository: vault/wiki/one }
      - { name: two, provider: restic, from: { path: /srv/two }, repository: vault, options: [s3.layout=default],
          secrets: { password: { env: OTHER } } }
      - { name: three, provider: restic, from: { path: /srv/three }, repository: "rest:https://other/vault" }
    """

  @Test("an item that names one gets its address with the sub-path, its options and its secrets; its own go first")
  func filled() throws {
    let manifest = try parse(text, providers: .permissive)
    let (one, two, three) = (manifest.state[0], manifest.state[1], manifest.state[2])
    #expect(one.config["repository"] == "s3:https://store/bucket/wiki/one")
    #expect(one.config["options"] == ["s3.connections=10"])
    #expect(one.secrets == ["password": .file("/etc/vault"), "AWS_ACCESS_KEY_ID": .env("KEY")])
    #expect(two.config["repository"] == "s3:https://store/bucket/")
    #expect(two.config["options"] == ["s3.connections=10", "s3.layout=default"])
    #expect(two.secrets["password"] == .env("OTHER"))
    #expect(three.config["repository"] == "rest:https://other/vault")
    #expect(three.secrets.isEmpty)
  }
}
