import FerrySystem
import FoundationEssentials
import Glibc

/// The folder that a manifest names with `hooks:`.
///
///     hooks/
///       quiesce/source/10-maintenance-page          before the core's act (00–49)
///       switch/destination/50-dns                   after it (50–99)
///       final/controller/failed/10-tell-somebody    once the phase has failed
public enum HookFolder {
  /// The largest hook: it travels as one message.
  static let limit = 1 << 20

  /// Reads all hooks, in order. Throws one error that names all that is wrong.
  public static func load(_ path: String, notice: (Notice) -> Void = { _ in }) throws -> [Hook] {
    guard Files.isFolder(path), let root = realpath(path, nil) else {
      throw FerryError(.notFound, "there is no hook folder \(path)", hint: "make it, or take 'hooks' out of the manifest")
    }
    defer { free(root) }
    var walk = Walk(root: String(cString: root))
    walk.load(path)
    walk.notices.forEach(notice)
    guard walk.problems.isEmpty else {
      throw FerryError(.invalid, walk.problems.joined(separator: "\n"), hint: "nothing was started; docs/hooks.md describes the folder")
    }
    return walk.hooks
  }

  private struct Walk {
    let root: String
    var hooks: [Hook] = []
    var problems: [String] = []
    var notices: [Notice] = []

    mutating func load(_ path: String) {
      checkMode(path)
      for (point, folder) in folders(path, Hook.Point.self, "a phase") {
        for (seat, folder) in folders(folder, Hook.Seat.self, "a side") {
          for name in entries(folder) {
            let entry = "\(folder)/\(name)"
            guard name == "failed" else {
              load(entry, name, point, seat, nil)
              continue
            }
            guard enter(entry) else { continue }
            for name in entries(entry) { load("\(entry)/\(name)", name, point, seat, .failed) }
          }
        }
      }
    }

    /// The subfolders that a list of words allows.
    private mutating func folders<Word: CaseIterable & RawRepresentable>(
      _ path: String, _ words: Word.Type, _ what: String
    ) -> [(Word, String)] where Word.RawValue == String {
      entries(path).compactMap { name in
        let entry = "\(path)/\(name)"
        if !Files.isFolder(entry) {
          notices.append(Notice(.info, "\(entry) is no folder and was ignored"))
          return nil
        }
        guard let word = Word(rawValue: name) else {
          problems.append("\(entry): '\(name)' is not \(what); there are: \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
          return nil
        }
        return enter(entry) ? (word, entry) : nil
      }
    }

    private mutating func enter(_ folder: String) -> Bool {
      guard Files.isFolder(folder) else {
        problems.append("\(folder): not a folder")
        return false
      }
      return isInside(folder) && checkMode(folder)
    }

    private mutating func entries(_ folder: String) -> [String] {
      Files.names(in: folder).filter { name in
        guard name.hasPrefix(".") || name.hasSuffix("~") else { return true }
        notices.append(Notice(.info, "\(folder)/\(name) looks like a backup or a hidden file and was ignored"))
        return false
      }
    }

    private mutating func load(_ path: String, _ name: String, _ point: Hook.Point, _ seat: Hook.Seat, _ moment: Hook.Moment?) {
      let start = Array(name.utf8.prefix(3))
      guard start.count == 3, (48...57).contains(start[0]), (48...57).contains(start[1]), start[2] == 45, name.utf8.count > 3 else {
        problems.append("\(path): a hook's name is two digits, a dash and a word, like 20-dns")
        return
      }
      guard isInside(path) else { return }
      var status = stat()
      guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        problems.append("\(path): not a file")
        return
      }
      guard checkMode(path) else { return }
      guard status.st_mode & 0o100 != 0 else {
        problems.append("\(path): not executable; chmod +x it")
        return
      }
      do {
        let bytes = try Files.read(path, limit: HookFolder.limit)
        let moment = moment ?? (start[0] < 53 ? .before : .after)
        hooks.append(Hook(point: point, seat: seat, moment: moment, name: name, content: Data(bytes), digest: SHA256.hex(bytes)))
      } catch {
        let message = FerryError.wrap(error).message
        problems.append(message.hasPrefix(path) ? message : "\(path): \(message)")
      }
    }

    /// What a link leads to is read with the rights of whoever runs Ferry, so it must not lead elsewhere.
    private mutating func isInside(_ path: String) -> Bool {
      guard let resolved = realpath(path, nil) else {
        problems.append("\(path): \(String(cString: strerror(errno)))")
        return false
      }
      defer { free(resolved) }
      if String(cString: resolved).hasPrefix(root + "/") { return true }
      problems.append("\(path): a link that leaves the hook folder")
      return false
    }

    @discardableResult private mutating func checkMode(_ path: String) -> Bool {
      var status = stat()
      guard stat(path, &status) == 0, status.st_mode & 0o002 != 0 else { return true }
      problems.append("\(path): anybody may write it; chmod o-w it")
      return false
    }
  }
}
