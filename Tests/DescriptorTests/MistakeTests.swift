import Ferry
import FerrySystem
import TestSupport
import Testing

/// What is wrong in a descriptor is told when it is loaded: all of it, each at its place.
@Suite struct MistakeTests {
  /// What `ferry plugins test` would say of a descriptor.
  private func errors(_ text: String) throws -> String {
    let folder = try TemporaryFolder()
    let path = try folder.write("odd.yaml", text, mode: 0o644)
    let catalog = PluginCatalog(folders: [], lock: nil, executable: Products.ferry, cache: nil)
    return catalog.plugin(at: path).error?.message.split(separator: "\(folder.path)/").joined() ?? ""
  }

  private func descriptor(
    library: String = "libc.so.6", functions: String = "getpid: { returns: int32, success: positive }", callbacks: String = "{}",
    state: String = "state: { folder: endpoint.path }", transfer: String = "[]", more: String = "receive: []\n    digest: []"
  ) -> String {
    """
    ferry-descriptor: 1
    name: Odd
    version: "1"
    vendor: Tests
    library: \(library)
    functions:
      \(functions)
    callbacks: \(callbacks)
    providers:
      - id: odd
        summary: odd
        schema:
          type: object
          properties: { from: { type: object, additionalProperties: false, properties: { path: { type: string } } }, level: { type: integer } }
        \(state)
        transfer: \(transfer)
        \(more)
    """
  }

  @Test("a descriptor without mistakes lists its providers")
  func fine() throws {
    #expect(try errors(descriptor()) == "")
  }

  @Test(
    "a mistake is named with its line, its column and what was probably meant",
    arguments: [
      ("getpid: { returns: int23, success: zero }", "odd.yaml:7:22: ", "must be a type, not 'int23' – did you mean 'int32'?"),
      ("getpidd: { returns: int32, success: zero }", "odd.yaml:7:3: ", "libc.so.6 has no function 'getpidd' – did you mean 'getpid'?"),
      ("x: { symbol: getpidd, returns: int32, success: zero }", "odd.yaml:7:16: ", "did you mean 'getpid'?"),
      ("getpid: { returns: int32 }", "odd.yaml:7:22: ", "returns int32 but has no 'success'"),
      (
        "getpid: { returns: uint32, success: nonnegative }", "odd.yaml:7:39: ",
        "'nonnegative' says nothing of what 'getpid' returns: uint32"
      ),
      (
        "getpid: { returns: int32, success: zero, fre: x }", "odd.yaml:7:44: ",
        "unknown key 'fre' in 'getpid' of 'functions' of the descriptor"
      ),
      (
        "getpid: { returns: int32, success: zero, free: getppid }", "odd.yaml:7:50: ",
        "there is no function 'getppid' – did you mean 'getpid'?"
      ),
      (
        "getpid: { arguments: { a: int32 }, variadic: { b: int8 }, returns: int32, success: zero }", "odd.yaml:7:53: ",
        "did you mean 'int32'?"
      ),
      ("getpid: { variadic: { b: int32 }, returns: int32, success: zero }", "odd.yaml:7:23: ", "nothing before its variadic arguments"),
      ("getpid: { returns: pointer, success: nonnull, ends: [0] }", "odd.yaml:7:55: ", "only a whole number can say that there is no more"),
      ("getpid: { returns: int32, success: zero, error: strerror(result) }", "odd.yaml:7:51: ", "there is no function 'strerror'"),
      ("getpid: { returns: int32, success: zero, error: getpid() }", "odd.yaml:7:51: ", "does not return words"),
    ])
  func functions(_ function: String, _ place: String, _ words: String) throws {
    let said = try errors(descriptor(functions: function))
    #expect(said.hasPrefix(place) && said.contains(words), "\(said)")
  }

  @Test("a library that is not there is named, with one that is")
  func library() throws {
    let said = try errors(descriptor(library: "libarchive.so.12"))
    #expect(said.hasPrefix("odd.yaml:5:10: the library cannot be loaded: ") && said.contains("did you mean 'libarchive.so.13'?"), "\(said)")
  }

  @Test("a library by its path must be as trustworthy as a plugin")
  func trust() throws {
    let folder = try TemporaryFolder()
    let library = try folder.write("theirs.so", "x", mode: 0o666)
    _ = try Command(["chmod", "666", library]).run()
    #expect(try errors(descriptor(library: library)).contains("is writable by others"))
  }

  @Test(
    "a step is read to its last character, and looked at with what it calls",
    arguments: [
      ("pid = getpd()", "getpd", "there is no function 'getpd' – did you mean 'getpid'?"),
      ("getpid(1)", "getpid", "'getpid' takes 0 arguments, not 1"),
      ("exit(", "", "a value was expected here"), ("getpid() x", "x", "nothing more was expected here"),
      ("exit(getpid())", "getpid()", "a call cannot stand inside another"), ("pid = 0x", "0x", "'0x' is no number"),
      ("write(chanel, state)", "chanel", "there is no value 'chanel' here – did you mean 'channel'?"),
      ("write(channel, endpoint.pth)", "endpoint", "the schema has no 'pth' for 'endpoint.pth' – did you mean 'endpoint.path'?"),
      ("write(channel, config.level)", "config", "'data' of 'write' is a buffer, and this is a whole number"),
      ("write(4294967296, state)", "4294967296", "4294967296 is no int32, which 'fd' of 'write' is"),
      ("write(&fd, state)", "fd", "'fd' of 'write' gives nothing: leave the '&' out"),
      ("time(1)", "1", "'to' of 'time' is where it puts a value: write '&' and a name"),
      ("channel = getpid()", "channel", "'channel' is a name of Ferry's own"), ("x += 1", "x", "there is no value 'x' here"),
      ("x = exit(0)", "x", "there is nothing to call 'x': the function returns nothing"),
      ("qsort(each)", "each", "there is no callback 'each' – did you mean 'eech'?"),
      ("exit(confg.level)", "confg", "there is no value 'confg.level' – did you mean 'config.level'?"),
    ])
  func steps(_ step: String, _ marked: String, _ words: String) throws {
    let functions = [
      "getpid: { returns: int32, success: positive }",
      "write: { arguments: { fd: int32, data: buffer }, returns: int64, success: nonnegative }",
      "time: { arguments: { to: out int64 }, returns: int64, success: any }", "exit: { arguments: { code: int32 } }",
      "qsort: { arguments: { compare: callback } }",
    ]
    let said = try errors(
      descriptor(functions: functions.joined(separator: "\n  "), callbacks: "{ eech: { steps: [] } }", transfer: "\n      - \(step)"))
    let before = marked.isEmpty ? step[...] : step[..<(try #require(step.firstRange(of: marked)).lowerBound)]
    #expect(said.contains(":\(9 + before.count): \(words)"), "\(said)")
  }

  @Test(
    "what is no descriptor is called a descriptor all the same",
    arguments: [
      ("", "there is no descriptor in it"), ("a: 1\n---\nb: 2\n", "a descriptor is one document"),
      ("a: !!int 1\n", "no meaning in a descriptor"),
      ("a: &a [1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\nname: x\n", "in the descriptor"),
    ])
  func words(_ text: String, _ words: String) throws {
    let said = try errors(text)
    #expect(said.contains(words) && !said.contains("manifest"), "\(said)")
  }

  @Test("all mistakes are told at once")
  func all() throws {
    let said = try errors(
      descriptor(functions: "getpidd: { returns: int32, success: zero }", transfer: "[getpid(), 'x += 1', { while: getpidd(), do: [] }]"))
    for words in ["no function 'getpidd'", "there is no function 'getpid'", "no value 'x'", "cannot be repeated"] {
      #expect(said.contains(words), "\(words): \(said)")
    }
  }

  @Test("half a contract is refused")
  func half() throws {
    #expect(try errors(descriptor(more: "digest: []")).contains("keeps only a part of the contract: it lacks 'receive'"))
    #expect(
      try errors(descriptor(state: "keep: []")).contains(
        "it lacks 'check', 'prepare', 'activate', 'deactivate', 'discard', 'release' and 'retire'"))
    #expect(try errors(descriptor(more: "receive: []\n    digest: []\n    freeze: []")).contains("'freeze' is there without 'thaw'"))
    #expect(
      try errors(descriptor(more: "receive: []\n    digest: []\n    activate: []")).contains(
        "'activate' is Ferry's own where there is a 'state'"))
  }
}
