@testable import Ferry
import FerrySystem
import TestSupport
import Testing

/// Where a descriptor may come from, and where its library is loaded.
@Suite struct PlaceTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for name in ["plugins", "library"] { try Files.makeFolder(folder(name)) }
    // It notes each process that loads it.
    let source = try folder.write(
      "told.c",
      """
      #include <fcntl.h>
      #include <unistd.h>
      __attribute__((constructor)) static void loaded(void) {
        char line[512];
        int from = open("/proc/self/cmdline", O_RDONLY), to = open("\(folder.path)/loaded", O_WRONLY | O_CREAT | O_APPEND, 0600);
        ssize_t count = read(from, line, sizeof line - 1);
        for (ssize_t i = 0; i < count; i++) if (!line[i]) line[i] = ' ';
        line[count] = '\\n';
        if (write(to, line, count + 1) < 0) _exit(9);
        close(from), close(to);
      }
      int answer(void) { return 42; }
      """)
    // A library is no plugin, and lies elsewhere.
    let built = try Command(["cc", "-shared", "-fPIC", "-o", folder("library/told.so"), source]).run()
    guard built.succeeded else { throw FerryError(.internal, built.errors) }
    try folder.write(
      "plugins/told.yaml",
      """
      ferry-descriptor: 1
      name: Told
      version: "1"
      vendor: Tests
      library: ../library/told.so
      functions: { answer: { returns: int32, success: positive } }
      calls: { ask: { steps: ["bytes = answer()"] } }
      providers:
        - { id: told, summary: told, schema: { type: object }, state: { file: endpoint.file }, transfer: [], receive: [], digest: [] }
      """)
  }

  private func ferry(_ arguments: String...) throws -> Command.Outcome {
    try Command([Products.ferry] + arguments, environment: ["XDG_CACHE_HOME": folder("cache")]).run()
  }

  @Test("a library is loaded by `ferry host` and by nothing else")
  func hosts() throws {
    #expect(try ferry("plugins", "list", "--plugins", folder("plugins")).output.contains("call:told.ask"))
    #expect(try ferry("plugins", "test", folder("plugins/told.yaml")).code == 4)
    let asked = try ferry("call", "told.ask", "--plugins", folder("plugins"))
    #expect(asked.succeeded, "\(asked.errors)")
    let loaded = try folder.read("loaded").split(separator: "\n")
    #expect(loaded.count >= 2)
    for line in loaded { #expect(line.split(separator: " ").dropFirst().first == "host", "\(line)") }
  }

  @Test(
    "a descriptor that others may write, or that lies where others may, is not used",
    arguments: ["plugins/told.yaml", "plugins", "library"])
  func trust(_ name: String) throws {
    let mode = Files.isFolder(folder(name)) ? "777" : "666"
    _ = try Command(["chmod", mode, folder(name)]).run()
    let listed = try ferry("plugins", "list", "--plugins", folder("plugins"))
    #expect(listed.output.contains("not usable") && listed.output.contains("is writable by others"), "\(listed.output)\(listed.errors)")
    #expect(try !ferry("call", "told.ask", "--plugins", folder("plugins")).succeeded)
    #expect(!Files.exists(folder("loaded")))
  }

  @Test("a descriptor beside a manifest is none: descriptors come from plugin folders only")
  func besideManifest() throws {
    try Files.makeFolder(folder("empty"))
    try folder.write(
      "plugins/site.yaml",
      """
      ferry: 1
      name: site
      source: { node: local }
      destination: { node: local }
      state: [{ name: x, provider: told, from: { file: /a }, to: { file: /b } }]
      """)
    let outcome = try ferry("check", folder("plugins/site.yaml"), "--plugins", folder("empty"), "--state", folder("state"))
    #expect(outcome.code == 2 && outcome.errors.contains("told"), "\(outcome.code) \(outcome.errors)")
    #expect(!Files.exists(folder("loaded")))
  }

  @Test("a function is looked up, and its call interface made, once")
  func prepared() throws {
    let path = folder("plugins/told.yaml")
    let binding = NativeBinding(try DescriptorReader.read(Files.read(path), PluginFile(path: path, sha256: "")))
    #expect(try binding.function("answer") === binding.function("answer"))
  }
}
