import FerrySystem
import RunSupport
import TestSupport
import Testing

/// Examples/embed/swift. Building it as a package builds all of Ferry once more, in minutes; here its one file is compiled against the modules
/// that this build has made, which are what `import Ferry` means either way, and its Package.swift is held against ours.
@Suite("The package in Examples/embed/swift") struct SwiftProgramTests {
  private let package = "\(Products.repository)/Examples/embed/swift"

  /// Compiles and links the program with Ferry's own objects, as SwiftPM lists them for libferry.
  private func build(in folder: TemporaryFolder) throws -> String {
    let (products, repository) = (Products.folder, Products.repository)
    let build = Files.parent(of: Files.parent(of: products))
    let maps =
      Files.names(in: "\(repository)/Sources").filter { $0.hasPrefix("C") }.flatMap {
        ["\(repository)/Sources/\($0)/module.modulemap", "\(products)/\($0).build/module.modulemap"]
      } + ["\(repository)/include/module.modulemap", "\(build)/checkouts/GRDB.swift/Sources/GRDBSQLite/module.modulemap"]
    let program = folder("move")
    let outcome = try Command(
      [
        "swiftc", "-swift-version", "6", "-parse-as-library", "-o", program, "\(package)/Sources/move/Move.swift", "-I",
        "\(products)/Modules",
      ]
        + maps.filter { Files.exists($0) }.flatMap { ["-Xcc", "-fmodule-map-file=\($0)"] }
        + ["@\(products)/FerryEmbed.product/Objects.LinkFileList", "-lssl", "-lcrypto", "-lcurl"], timeout: .seconds(300)
    ).run()
    guard outcome.succeeded else { throw FerryError(.internal, "swiftc: \(outcome.output) \(outcome.errors)") }
    return program
  }

  @Test("its program moves a service with async sequences, and exits as `ferry run` does")
  func program() throws {
    let installed = try Installed()
    let program = try build(in: installed.folder)
    let world = try World()
    let path = ["PATH": "\(installed.stage)/bin:/usr/bin:/bin"]
    let wrong = try installed.run([program, world.manifestFile(extra: "colour: red")], in: world, environment: path)
    #expect(wrong.code == 2 && wrong.output.contains("unknown key 'colour'"), "\(wrong.output) \(wrong.errors)")
    let outcome = try installed.run([program, world.manifestFile()], in: world, environment: path)
    #expect(outcome.code == 0, "\(outcome.output) \(outcome.errors)")
    #expect(outcome.output.hasPrefix("world: check → prepare → copy → quiesce → final → verify → seal → activate → retire\ncheck …\n"))
    #expect(outcome.output.contains("done, without service for "))
    #expect(try world.complaints(serving: "b") == [])
  }

  @Test("its manifest depends on this package by path, and on a product that there is")
  func manifest() throws {
    let scratch = try TemporaryFolder()
    let outcome = try Command(
      ["swift", "package", "--package-path", package, "--scratch-path", scratch.path, "dump-package"], timeout: .seconds(300)
    ).run()
    #expect(outcome.succeeded, "\(outcome.errors)")
    let dump = try JSONValue(parsing: outcome.output)
    let dependency = dump["dependencies"]?.array?.first?["fileSystem"]?.array?.first
    #expect(dependency?["path"]?.string == Products.repository)
    #expect(dump["targets"]?.array?.first?["dependencies"]?.array?.first?["product"]?.array?.first?.string == "Ferry")
    let ours = String(decoding: try Files.read("\(Products.repository)/Package.swift"), as: UTF8.self)
    #expect(ours.contains(#".library(name: "Ferry", targets: ["Ferry"])"#))
  }
}
