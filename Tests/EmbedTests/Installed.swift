import FerrySystem
import Glibc
import RunSupport
import TestSupport

/// The staged tree, as another program finds it.
struct Installed {
  let stage: String
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    stage = Products.stage
    guard Files.exists(library) else {
      throw FerryError(.notFound, "there is no \(library)", hint: "`Scripts/build debug && Scripts/stage .build/stage debug` lays it out")
    }
  }

  var library: String { "\(stage)/lib/libferry.so.1" }

  /// Builds a C program as docs/embed.md says, with what pkg-config answers, and answers its path.
  func compile(_ source: String, _ flags: [String] = ["-fsanitize=address"]) throws -> String {
    let asked = try Command(["pkg-config", "--cflags", "--libs", "ferry"], environment: ["PKG_CONFIG_PATH": "\(stage)/lib/pkgconfig"]).run()
    guard asked.succeeded else { throw FerryError(.internal, "pkg-config: \(asked.reason)") }
    let program = folder(String(source.split(separator: "/").last?.split(separator: ".").first ?? "program"))
    let words = asked.output.split(whereSeparator: \.isWhitespace).map(String.init)
    let built = try Command(
      ["cc", "-Wall", "-Wextra", "-Werror", "-g"] + flags + ["-o", program, "\(Products.repository)/\(source)"] + words
        + ["-Wl,-rpath,\(stage)/lib", "-pthread"]
    ).run()
    guard built.succeeded else { throw FerryError(.internal, "cc: \(built.errors)") }
    return program
  }

  /// Runs a program in a world: its state, its plugins, its working folder.
  func run(_ program: [String], in world: World, environment: [String: String?] = [:]) throws -> Command.Outcome {
    var command = Command(program, environment: environment, timeout: .seconds(300))
    command.environment["FERRY_STATE"] = world.folder("state")
    command.environment["FERRY_PLUGINS"] = world.folder("plugins")
    command.environment["XDG_CACHE_HOME"] = world.folder("cache")
    // Swift's globals live as long as the process; where they are enums with their tag in a pointer's spare bits the sanitizer does not see it.
    let globals = try folder.write("globals.supp", "leak:swift::threading_impl::once\n")
    command.environment["LSAN_OPTIONS"] = "suppressions=\(globals):print_suppressions=0"
    command.directory = world.folder.path
    command.output = .capture(limit: 1 << 20)
    command.errors = .capture(limit: 1 << 16)
    return try command.run()
  }
}
