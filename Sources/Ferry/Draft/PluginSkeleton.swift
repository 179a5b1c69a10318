import FerrySystem

/// A plugin to begin with: the one of docs/write-a-plugin.md, which is whole and passes `ferry plugins test --run`, under a name of its own.
public struct PluginSkeleton: Sendable {
  /// What it is written in.
  public enum Language: String, Sendable, CaseIterable {
    /// One file, a compiler and plugin.h.
    case c
    /// A package that depends on Ferry's.
    case swift
    /// No code: an existing library's functions, by a descriptor.
    case descriptor
  }

  /// The id of its provider, and what its files are called.
  public let name: String
  /// What it is written in.
  public let language: Language
  /// Ferry's own package for one in Swift: a folder or a URL.
  public let package: String?

  /// A plugin of that name.
  public init(_ name: String, _ language: Language, package: String? = nil) throws {
    guard try Pattern("^[a-z][a-z0-9-]{0,63}$").matches(name) else {
      throw FerryError(.invalid, "'\(name)' is no name for a provider", hint: "it takes a-z, 0-9 and -, a letter first")
    }
    self.name = name
    self.language = language
    self.package = package
  }

  /// Its files, below a folder of its own; they come from the installed tree that an executable belongs to.
  public func draft(executable: String) throws -> Draft {
    let folder = "\(Files.parent(of: Files.parent(of: executable)))/share/ferry/plugin/\(language.rawValue)"
    guard Files.isFolder(folder) else {
      throw FerryError(
        .notFound, "there is no \(folder)",
        hint: "it is part of an installed Ferry: `make install` or `Scripts/stage DIR` lays one out; nothing was written")
    }
    let dependency = try dependency()
    return Draft(
      files: try Self.names(below: folder).map { path in
        let text = String(decoding: try Files.read("\(folder)/\(path)"), as: UTF8.self)
        return Draft.File("\(name)/\(named(path))", named(dependency.reduce(text) { $0.replacing($1.old, with: $1.new) }))
      })
  }

  /// The example's name in both of its spellings.
  private func named(_ text: String) -> String {
    let type = name.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    return text.replacing("example-file", with: name).replacing("ExampleFile", with: type)
  }

  /// The example lies in Ferry's own repository; this one says where Ferry's package is.
  private func dependency() throws -> [(old: String, new: String)] {
    guard language == .swift else { return [] }
    guard let package, !package.isEmpty, !package.contains(where: { "\"\\\n".contains($0) }) else {
      throw FerryError(.invalid, "a plugin in Swift needs Ferry's package", hint: "name its folder or its URL; nothing was written")
    }
    let old = #".package(name: "ferry", path: "../../..")"#
    if package.contains("://") || package.hasPrefix("git@") {
      // SwiftPM calls a package by the end of its URL.
      let last = package.split(whereSeparator: { "/:".contains($0) }).last.map(String.init) ?? "ferry"
      let identity = last.hasSuffix(".git") ? String(last.dropLast(4)) : last
      return [(old, #".package(url: "\#(package)", from: "\#(ferryVersion)")"#), (#"package: "ferry""#, #"package: "\#(identity)""#)]
    }
    let path = Files.absolute(package)
    guard Files.exists("\(path)/Package.swift") else {
      throw FerryError(.notFound, "\(path) is no package: it has no Package.swift", hint: "nothing was written")
    }
    return [(old, #".package(name: "ferry", path: "\#(path)")"#)]
  }

  private static func names(below folder: String, _ path: String = "") throws -> [String] {
    try Files.names(in: "\(folder)/\(path)").flatMap { name in
      Files.isFolder("\(folder)/\(path)\(name)") ? try names(below: folder, "\(path)\(name)/") : ["\(path)\(name)"]
    }
  }
}
