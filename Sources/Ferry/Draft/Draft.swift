import FerrySystem

/// Manifests and their hooks, worked out from what is there: a first version, for a person to read, change and keep.
public struct Draft: Sendable {
  /// A file of it.
  public struct File: Sendable, Hashable {
    /// Where it belongs, relative to the folder that the draft is written to.
    public var path: String
    /// What is in it.
    public var text: String
    /// Whether it is executable: a hook.
    public var isProgram: Bool

    /// A file, a manifest unless told.
    public init(_ path: String, _ text: String, isProgram: Bool = false) {
      self.path = path
      self.text = text
      self.isProgram = isProgram
    }
  }

  /// The manifests first, then what they lean on.
  public var files: [File]
  /// What a person should look at before the first run: a sentence each.
  public var notes: [String]

  /// A draft of these files.
  public init(files: [File] = [], notes: [String] = []) {
    self.files = files
    self.notes = notes
  }

  /// Writes all of it below a folder; answers the paths. Nothing is written where a file of it is there already, unless it may be replaced.
  @discardableResult public func write(to folder: String, replacing: Bool = false) throws -> [String] {
    let paths = files.map { Files.absolute($0.path, in: Files.absolute(folder)) }
    if !replacing, let taken = paths.first(where: Files.exists) {
      throw FerryError(
        .conflict, "\(taken) is there already",
        hint: "`--force` replaces what an earlier draft has written, `--into` writes elsewhere; nothing was changed")
    }
    for (file, path) in zip(files, paths) {
      try Files.makeFolder(Files.parent(of: path), mode: 0o755)
      try Files.replace(path, with: Array(file.text.utf8), mode: file.isProgram ? 0o755 : 0o644)
    }
    return paths
  }
}
