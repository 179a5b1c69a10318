import FerrySystem
import Glibc

extension Engine.Configuration {
  /// The configuration of a program that is not `ferry` itself, with the `ferry` that is installed. That is looked for beside libferry.so
  /// (`../bin/ferry`, or in its own folder), beside the running program in the same way, and in PATH. Throws `not-found` if there is none.
  public static func installed(stateFolder: String? = nil, pluginFolders: [String]? = nil) throws -> Self {
    Self(executable: try installedExecutable(), stateFolder: stateFolder, pluginFolders: pluginFolders)
  }

  /// The program that this process runs: right for `ferry`, and for nobody else.
  public static var ownExecutable: String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
    return length > 0 ? String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self) : "ferry"
  }

  /// Agents, plugin hosts and watchdogs are processes of `ferry`: a library without it could do nothing.
  private static func installedExecutable() throws -> String {
    let beside = [ownImage, ownExecutable].compactMap { $0 }.map { Files.parent(of: $0) }
    let inPath = (try? Programs.find("ferry")).map { [$0] } ?? []
    let candidates = beside.flatMap { ["\(Files.parent(of: $0))/bin/ferry", "\($0)/ferry"] } + inPath
    for path in candidates {
      // Without links: the plugins lie beside the file itself.
      guard let real = realpath(path, nil) else { continue }
      defer { free(real) }
      if access(real, X_OK) == 0, !Files.isFolder(path) { return String(cString: real) }
    }
    throw FerryError(
      .notFound, "there is no `ferry` program: not beside \(beside.joined(separator: " or ")), and not in PATH",
      hint: "install Ferry, or name its `ferry` in the configuration: agents and plugin hosts are processes of it")
  }

  /// The file that this code was loaded from, as the kernel has it: libferry.so, or the program that it is part of.
  private static var ownImage: String? {
    let here = UInt(bitPattern: UnsafeRawPointer(#dsohandle))
    guard let maps = try? Files.read("/proc/self/maps") else { return nil }
    for line in String(decoding: maps, as: UTF8.self).split(separator: "\n") {
      // START-END MODE OFFSET DEVICE INODE PATH
      let words = line.split(separator: " ", maxSplits: 5)
      let range = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
      if words.count == 6, range.count == 2, (range[0]..<range[1]).contains(here) { return String(words[5].drop { $0 == " " }) }
    }
    return nil
  }
}
