import Ferry
import FerrySystem
import Glibc
import PluginHarness
import TestSupport
import Testing

/// Calls of every form, into a library that a compiler has made for this test and which knows nothing of Ferry.
@Suite struct CallTests {
  private static let library = Result {
    let folder = try TemporaryFolder()
    let source = try folder.write(
      "odd.c",
      """
      #include <errno.h>
      #include <stdarg.h>
      #include <stdint.h>
      #include <stdio.h>
      #include <stdlib.h>
      #include <string.h>
      int8_t narrow(int8_t a, uint16_t b, int64_t c, double d, uint8_t e) { return a == -7 && b == 65000 && c == -5000000000 && d == 0.5 && e == 200 ? -3 : 0; }
      int16_t wide(int16_t a, uint32_t b, uint64_t c, int32_t d) { return a == -300 && b == 4000000000u && c == 9000000000000000000u && d == -70000 ? -200 : 0; }
      uint64_t largest(void) { return 0xfffffffffffffff0u; }
      uint8_t is_largest(uint64_t n) { return n == largest() ? 200 : 0; }
      int64_t count_x(const char *at, int32_t length) { int64_t n = 0; for (int32_t i = 0; i < length; i++) n += at[i] == 'x'; return n; }
      void *nothing(int32_t code) { errno = code; return 0; }
      double half(int32_t n) { return n / 2.0; }
      int32_t parts(const char *text, int32_t *length, char **rest, double *ratio) { *length = strlen(text); *rest = strchr(text, ':') + 1; *ratio = 0.25; return 0; }
      int32_t sum(int32_t count, ...) { va_list v; va_start(v, count); int32_t s = 0; for (int i = 0; i < count; i++) s += va_arg(v, int32_t); s += (int32_t)va_arg(v, double); va_end(v); return s; }
      int32_t fails(int32_t code) { errno = code; return -1; }
      const char *words(int32_t code) { return code == -4 ? "the fourth thing is missing" : "?"; }
      int32_t minus(int32_t n) { return -n; }
      /* Reports progress as old libraries do: by a bare function pointer. */
      int32_t work(uint64_t total, int32_t (*progress)(uint64_t done, double part, const char *what)) {
        for (uint64_t i = 1; i <= total; i++) if (progress(i * 1000, (double)i / total, "step")) return 7;
        return 0;
      }
      static int opened; struct handle { int dummy; };
      void *open_it(void) { opened++; return malloc(8); }
      int32_t close_it(void *handle) { free(handle); opened--; return 0; }
      int32_t still_open(void) { return opened; }
      int64_t fill(void *at, size_t length) { memset(at, 'x', length); return length < 10 ? length : 10; }
      int64_t print(int32_t fd, const void *at, size_t length) { return dprintf(fd, "%.*s", (int)length, (const char *)at); }
      int32_t wait_for_ever(int32_t fd) { char c; while (read(fd, &c, 1) > 0) {} return 0; }
      """.replacing("#include <string.h>", with: "#include <string.h>\n#include <unistd.h>"))
    _ = try Command(["cc", "-shared", "-fPIC", "-o", folder("odd.so"), source]).run()
    return folder
  }

  private static let functions = """
      narrow: { arguments: { a: int8, b: uint16, c: int64, d: double, e: uint8 }, returns: int8, success: any }
      wide: { arguments: { a: int16, b: uint32, c: uint64, d: int32 }, returns: int16, success: any }
      largest: { returns: uint64, success: any }
      is_largest: { arguments: { n: uint64 }, returns: uint8, success: any }
      count_x: { arguments: { data: buffer32 }, returns: int64, success: any }
      nothing: { arguments: { code: int32 }, returns: pointer, success: nonnull, error: errno, hint: bring something }
      null: { symbol: nothing, arguments: { code: int32 }, returns: pointer, success: nonnull }
      zero: { symbol: minus, arguments: { n: int32 }, returns: int32, success: zero }
      nonzero: { symbol: minus, arguments: { n: int32 }, returns: int32, success: nonzero }
      positive: { symbol: minus, arguments: { n: int32 }, returns: int32, success: positive }
      half: { arguments: { n: int32 }, returns: double, success: any }
      parts: { arguments: { text: cstring, length: out int32, rest: out cstring, ratio: out double }, returns: int32, success: zero }
      sum: { arguments: { count: int32 }, variadic: { a: int32, b: int32, c: double }, returns: int32, success: any }
      fails: { arguments: { code: int32 }, returns: int32, success: nonnegative, error: errno }
      silent: { symbol: fails, arguments: { code: int32 }, returns: int32, success: errno }
      words: { arguments: { code: int32 }, returns: cstring, success: any }
      minus: { arguments: { n: int32 }, returns: int32, success: nonnegative, error: words(result), class: conflict, hint: count again }
      work: { arguments: { total: uint64, progress: callback }, returns: int32, success: zero }
      open_it: { returns: pointer, success: nonnull, free: close_it }
      close_it: { arguments: { handle: pointer }, returns: int32, success: zero }
      still_open: { returns: int32, success: any }
      fill: { arguments: { at: buffer }, returns: int64, success: any }
      print: { arguments: { fd: int32, data: buffer }, returns: int64, success: nonnegative }
      wait_for_ever: { arguments: { fd: int32 }, returns: int32, success: zero }
    """

  /// A harness over a provider in place whose `check` has these steps.
  private func harness(check: [String], callbacks: String = "{}", more: String = "freeze: []\n    thaw: []") throws -> Harness {
    let folder = try TemporaryFolder()
    let empty = ["prepare", "transfer", "receive", "digest", "activate", "deactivate", "discard", "release", "retire"]
    let text = """
      ferry-descriptor: 1
      name: Odd
      version: "1"
      vendor: Tests
      library: \(try Self.library.get()("odd.so"))
      functions:
      \(Self.functions)
      callbacks: \(callbacks)
      providers:
        - id: odd
          summary: odd
          schema: { type: object }
          keep: [held]
          \(more)
          check: [\(check.map { "'\($0)'" }.joined(separator: ", "))]
      \(empty.filter { !more.contains("\($0):") }.map { "    \($0): []" }.joined(separator: "\n"))
      """
    let path = try folder.write("odd.yaml", text, mode: 0o644)
    return try Harness(
      product: path, provider: "odd", folder: folder, from: ["path": "a:b"], to: [:], keys: ["level": -7, "deep": ["down": 5]],
      secrets: ["word": "hush"])
  }

  private func check(_ steps: String...) throws -> JSONValue { try harness(check: steps).call(.source, .check) }

  @Test("arguments and results of every width arrive as they are")
  func widths() throws {
    #expect(
      try check("bytes = narrow(config.level, 65000, -5000000000, 0.5, 200)", "entries += bytes", "entries += 10", "bytes = 1")["entries"]
        == 7)
    #expect(failure { _ = try check("x = half(3)", "half(x)") }?.message.contains("is int32, and this is a number") == true)
  }

  @Test("so do those between, and a uint64 that is no int64")
  func widthsBetween() throws {
    #expect(try check("bytes = wide(-300, 4000000000, 9000000000000000000, -70000)", "bytes += 201")["bytes"] == 1)
    #expect(try check("x = largest()", "bytes = is_largest(x)")["bytes"] == 200)
  }

  @Test("a value of the configuration is found by its path")
  func paths() throws { #expect(try check("bytes = config.deep.down", "up = config.deep.up") == ["bytes": 5]) }

  @Test(
    "each rule takes what it is for as success, and else says what came back",
    arguments: [
      ("zero(0)", nil), ("zero(3)", "zero failed: it returned -3"), ("nonzero(3)", nil), ("nonzero(0)", "nonzero failed: it returned 0"),
      ("positive(-1)", nil), ("positive(0)", "positive failed: it returned 0"), ("minus(0)", nil), ("minus(-9)", nil),
      ("minus(9)", "minus failed: ?"), ("open_it()", nil), ("nothing(2)", "nothing failed: No such file or directory"),
      ("null(2)", "null failed: it returned NULL"), ("silent(0)", nil), ("silent(2)", "silent failed: No such file or directory"),
    ])
  func rules(_ call: String, _ words: String?) throws { #expect(failure { _ = try check(call) }?.message == words) }

  @Test("values come back through pointers")
  func outs() throws {
    let reply = try check(#"parts("${endpoint.path}:c", &bytes, &rest, &ratio)"#, "parts(rest, &entries, &again, &ratio)")
    #expect(reply == ["bytes": 5, "entries": 3])
  }

  @Test("a variadic function gets its arguments as C passes them")
  func variadic() throws { #expect(try check("bytes = sum(2, 40, 1, 1.5)")["bytes"] == 42) }

  @Test("an error has the library's own words, or errno's, its class and its hint")
  func errors() throws {
    let error = try #require(failure { _ = try check("minus(4)") })
    #expect(error.message == "minus failed: the fourth thing is missing")
    #expect(error.class == .conflict && error.hint == "count again")
    #expect(failure { _ = try check("fails(2)") }?.message == "fails failed: No such file or directory")
    #expect(failure { _ = try check("silent(13)") }?.class == .precondition)
    #expect(try check("silent(0)") == [:])
  }

  @Test("a function pointer without user data leads to steps, which can report and can stop the library")
  func callbacks() throws {
    let callbacks = """
      { on-step: { arguments: { done: uint64, part: double, what: cstring }, returns: int32, steps: ["bytes = done", "entries += 1"] },
        stop: { arguments: { done: uint64, part: double, what: cstring }, returns: int32, steps: ["minus(4)"], result: 0, failed: 1 } }
      """
    #expect(try harness(check: ["work(5, on-step)"], callbacks: callbacks).call(.source, .check) == ["bytes": 5000, "entries": 5])
    let error = failure { _ = try harness(check: ["work(5, stop)"], callbacks: callbacks).call(.source, .check) }
    #expect(error?.message == "minus failed: the fourth thing is missing")
  }

  @Test("what a library has opened is closed when the ability ends, however it ends, and once")
  func frees() throws {
    let harness = try harness(
      check: ["bytes = still_open()"],
      more: """
        freeze: ["one = open_it()", "two = open_it()", "close_it(one)", "minus(4)"]
            thaw: ["held = open_it()", "bytes = still_open()"]
            release: [{ if: held, do: ["close_it(held)"] }]
        """)
    #expect(failure { try harness.call(.source, .freeze) } != nil)
    #expect(try harness.call(.source, .check)["bytes"] == 0)
    try harness.call(.source, .thaw)
    #expect(try harness.call(.source, .check)["bytes"] == 1)
    try harness.call(.source, .release)
    #expect(try harness.call(.source, .check)["bytes"] == 0)
    harness.kill(.source)
    // A fresh process holds nothing.
    try harness.call(.source, .release)
  }

  @Test("a buffer knows its bounds, and a text is a buffer for what reads")
  func buffers() throws {
    #expect(try check("block = buffer(100)", "bytes = fill(block)", "entries = fill(block[4])") == ["bytes": 10, "entries": 4])
    #expect(
      try check("block = buffer(100)", "n = fill(block)", "bytes = count_x(block[4])", #"entries = count_x("xaxx")"#) == [
        "bytes": 4, "entries": 3,
      ])
    let error = failure { _ = try check("block = buffer(4)", "fill(block[5])") }
    #expect(error?.message == "block has 4 bytes, and 5 of them were wanted")
  }

  @Test("what is remembered is there in a fresh process; a secret is a text and stays one")
  func memory() throws {
    let harness = try harness(
      check: ["kv.mark = endpoint.path", "kv.count = 3"],
      more: "freeze: ['entries = kv.count', 'print(2, kv.mark)', 'print(2, secrets.word)']\n    thaw: []")
    try harness.call(.source, .check)
    harness.kill(.source)
    try harness.call(.source, .freeze)
    try harness.call(.source, .thaw)
    try waitFor("the log") {
      harness.kill(.source)
      return harness.log.contains("a:b")
    }
    #expect(!harness.log.contains("hush"))
  }

  @Test("both ends know the number of the pass, and whether it is the last")
  func passes() throws {
    let abilities = """
      freeze: []
          thaw: []
          transfer: ['entries = pass', 'changed = final', 'print(channel, item)']
          receive: ['wait_for_ever(channel)', 'entries = pass', 'changed = final']
      """
    let harness = try harness(check: [], more: abilities)
    try harness.prepare()
    for number: Int64 in 0...2 {
      let (sent, received) = try harness.pass(final: number == 2)
      for half in [sent, received] { #expect(half["entries"] == .int(number) && half["changed"] == (number == 2 ? 1 : 0), "\(half)") }
    }
  }

  @Test("in place: the bytes of a pass arrive whole, or the pass fails; cancel ends it")
  func streams() throws {
    let abilities = """
      freeze: []
          thaw: []
          transfer: ['print(channel, endpoint.path)', { if: final, do: ['minus(4)'] }]
          receive: [wait_for_ever(channel)]
      """
    let harness = try harness(check: [], more: abilities)
    try harness.prepare()
    let (sent, received) = try harness.pass()
    #expect(sent == ["bytes": 3])
    #expect(received == ["bytes": 3])
    let (left, right) = try Descriptor.socketPair()
    let errors = try Threads.map([(Side.source, left), (.destination, right)]) { side, channel in
      failure { _ = try harness.half(side, channel, final: true) }
    }
    #expect(errors[0]?.message == "minus failed: the fourth thing is missing")
    // The library took the end of its file for the end of the data; Ferry does not.
    #expect(errors[1]?.class == .peer)
  }
}
