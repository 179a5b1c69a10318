import Ferry
import FerrySystem
import Glibc
import TestSupport
import Testing

@Suite("The plugin catalog")
struct CatalogTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    try Files.makeFolder(folder("plugins"))
  }

  private func catalog(_ folders: [String] = ["plugins"], lock: PluginLock? = nil, cache: String? = nil) -> PluginCatalog {
    PluginCatalog(folders: folders.map { folder($0) }, lock: lock, executable: Products.ferry, cache: cache)
  }

  @discardableResult private func build(_ name: String, _ options: [String] = []) throws -> String {
    try Misbehaving.build(in: .success(folder), "plugins/\(name)", options)
  }

  @Test("a plugin that is dropped into the folder describes itself")
  func describes() throws {
    try build("odd.so")
    let plugins = catalog().plugins()
    #expect(plugins.count == 1)
    #expect(plugins.first?.module?.name == "Odd")
    #expect(plugins.first?.module?.providers.map(\.id) == ["odd"])
    #expect(plugins.first?.error == nil)
    let file = try catalog().provider("odd")
    #expect(file.path == folder("plugins/odd.so"))
    #expect(file.sha256 == (try Bench.sha256(file.path)))
  }

  @Test("in an earlier folder a file hides its namesakes and a provider its own")
  func order() throws {
    try build("odd.so")
    _ = try Misbehaving.build(in: .success(folder), "later/odd.so")
    _ = try Misbehaving.build(in: .success(folder), "later/other.so")
    #expect(catalog(["plugins", "later"]).plugins().map(\.path) == [folder("plugins/odd.so"), folder("later/other.so")])
    #expect(try catalog(["later", "plugins"]).provider("odd").path == folder("later/odd.so"))
  }

  @Test("an unknown provider is an error that lists the known ones and what is broken")
  func unknown() throws {
    try build("odd.so")
    try build("broken.so", ["-DCRASH_MODULE"])
    let error = try #require(failure { _ = try catalog().provider("even") })
    #expect(error.class == .notFound)
    #expect(error.message.contains("'even'") && error.message.contains("broken.so"))
    #expect(error.hint.contains("odd"))
  }

  @Test(
    "a file that is no usable plugin says why, and harms nobody",
    arguments: [
      (["-DCRASH_MODULE"], "signal 6"), (["-DNULL_MODULE"], "returned NULL"), (["-DNULL_PROVIDER"], "NULL as provider 0"),
      (["-DMODULE_SIZE=4"], "struct_size 4"), (["-DPROVIDER_SIZE=1u<<20"], "struct_size 1048576"), (["-DNO_DISCARD"], "without discard"),
      (["-DPROVIDER_SIZE=136"], "without retire"), (["-DID=\"Odd\""], "'Odd'"), (["-DID=\"\""], "an id is made of"),
      (["-DSCHEMA=\"[]\""], "schema is not a JSON object"), (["-DSCHEMA=\"{\""], "schema is not a JSON object"),
      (["-DTWICE"], "two providers 'odd'"),
    ])
  func broken(options: [String], fault: String) throws {
    try build("broken.so", options)
    let plugin = try #require(catalog().plugins().first)
    #expect(plugin.module == nil)
    #expect(plugin.error?.message.contains("broken.so") == true)
    #expect(plugin.error?.message.contains(fault) == true)
  }

  @Test("an older plugin, whose structs end sooner, and a newer one, whose structs go on, both work")
  func sizes() throws {
    try build("older.so", ["-DPROVIDER_SIZE=144", "-DID=\"older\""])
    try build("newer.so", ["-DPROVIDER_SIZE=sizeof(table)", "-DMODULE_SIZE=sizeof(self)", "-DID=\"newer\""])
    let bench = try Bench()
    for id in ["older", "newer"] {
      let host = try bench.start(catalog().provider(id), id, .source, ["do": "nothing"])
      defer { host.end() }
      #expect(failure { _ = try host.call(.freeze) } == nil)
      #expect(failure { _ = try host.call(.transfer) } == nil)
    }
  }

  @Test("what a plugin prints while it is loaded does not mix with its description")
  func printing() throws {
    try build("odd.so", ["-DPRINTING"])
    #expect(catalog().plugins().first?.module?.name == "Odd")
  }

  @Test("a library that is no plugin, and a file that is no library, are told apart from plugins")
  func strangers() throws {
    let code = try folder.write("stranger.c", "int stranger(void) { return 1; }\n")
    try Misbehaving.compile(code, to: folder("plugins/stranger.so"))
    try folder.write("plugins/text.so", "hello\n")
    let plugins = catalog().plugins()
    #expect(plugins.first?.error?.message.contains("exports no ferry_module_v1") == true)
    #expect(plugins.last?.error?.message.contains("cannot be loaded") == true)
  }

  @Test("a file or a folder that others may write is refused with the command that helps", arguments: ["plugins/odd.so", "plugins", "."])
  func writable(name: String) throws {
    try build("odd.so")
    let path = name == "." ? folder.path : folder(name)
    let mode: mode_t = name.hasSuffix(".so") ? 0o646 : 0o777
    #expect(chmod(path, mode) == 0)
    let error = try #require(catalog().plugins().first?.error)
    #expect(error.class == .precondition)
    #expect(error.hint == "chmod go-w \(path)")
  }

  @Test("a link to a file in a folder that others may write is refused")
  func linked() throws {
    let target = try Misbehaving.build(in: .success(folder), "open/odd.so")
    #expect(chmod(folder("open"), 0o777) == 0)
    #expect(symlink(target, folder("plugins/odd.so")) == 0)
    #expect(catalog().plugins().first?.error?.class == .precondition)
  }

  @Test("a file of another user is refused", .enabled(if: geteuid() == 0))
  func owner() throws {
    let path = try build("odd.so")
    #expect(chown(path, 12345, 12345) == 0)
    #expect(catalog().plugins().first?.error?.message.contains("belongs to user 12345") == true)
  }

  @Test("a lock pins digests: another file and an unknown file are refused before they run")
  func pins() throws {
    let path = try build("odd.so")
    let lock = PluginLock(path: folder("ferry.lock"), pins: ["odd.so": try Bench.sha256(path)])
    try lock.write()
    let read = try PluginLock.read(folder("ferry.lock"))
    #expect(read == lock)
    #expect(try catalog(lock: read).provider("odd").path == path)
    try build("odd.so", ["-DCRASH_MODULE"])
    let changed = try #require(catalog(lock: read).plugins().first?.error)
    #expect(changed.message.contains("is not the pinned one"))
    #expect(changed.hint.contains("ferry plugins pin"))
    try build("new.so")
    #expect(catalog(lock: read).plugins().first?.error?.message.contains("is not pinned") == true)
    try folder.write("ferry.lock", "odd.so: 1\n")
    #expect(failure { _ = try PluginLock.read(folder("ferry.lock")) }?.class == .invalid)
    #expect(try PluginLock.read(folder("none")) == nil)
  }

  @Test("a description is kept for as long as its file stays the same")
  func cache() throws {
    let path = try build("odd.so")
    #expect(try catalog(cache: folder("cache")).provider("odd").path == path)
    // No process can be started now: what comes, comes from the cache.
    let frozen = PluginCatalog(folders: [folder("plugins")], lock: nil, executable: folder("nothing"), cache: folder("cache"))
    #expect(try frozen.provider("odd").path == path)
    try build("odd.so", ["-DID=\"even\""])
    #expect(failure { _ = try frozen.provider("even") } != nil)
    #expect(try catalog(cache: folder("cache")).provider("even").path == path)
  }
}
