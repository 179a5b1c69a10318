import FerryPluginKit
import FerryTree
import FerryTreeKit
import Glibc

/// A volume of a module that is received, as the run remembers it.
private struct ResticVolume: Codable {
  var name: String
  /// Where its content is; nil before the volume is there.
  var folder: String?
  /// Whether this run has made it.
  var isOurs = false
}

/// A module: each of its folders is received beside its place, and `activate` swaps them all in.
extension ResticDestination {
  private static let volumesKey = "volumes"
  private var listing: String { "\(context.temporaryFolder)/received" }

  private func volumes() throws -> [ResticVolume] { try context.kv.get(Self.volumesKey) ?? [] }

  private func staged(_ volume: ResticVolume) -> StagedFolder? {
    let (kv, key) = (context.kv, "received-volume-\(volume.name)")
    return volume.folder.map { folder in
      StagedFolder(path: folder, run: context.run, memory: .init(get: { try kv.get(key) }, put: { try kv.put(key, $0) }))
    }
  }

  /// All that is swapped in, by the names in the snapshot.
  func targets() throws -> [(name: String, folder: StagedFolder)] {
    try [(ResticModule.state, target)] + volumes().compactMap { volume in staged(volume).map { ("volumes/\(volume.name)", $0) } }
  }

  func restoreModule(_ snapshot: ResticChoice, _ repository: ResticRepository) throws -> PassReport {
    guard let module else { throw FerryError(.internal, "the item is about no module") }
    try ResticListing.save(snapshot, repository, to: listing)
    try prepareVolumes(module)
    let targets = try targets()
    for (name, folder) in targets {
      try fill(folder) { incoming in
        try restore(snapshot, part: name, to: incoming, module, repository)
        let restored = "\(incoming)/\(name)"
        guard Files.isFolder(restored) else { throw FerryError(.precondition, "the snapshot holds no folder \(name): it is of no module") }
        if name == ResticModule.state { try complete(restored) }
        return restored
      }
    }
    return try report(targets.map(\.folder))
  }

  private func restore(
    _ snapshot: ResticChoice, part: String, to incoming: String, _ module: ResticModule, _ repository: ResticRepository
  ) throws {
    guard let owners = try module.owners() else { return try repository.restore(snapshot, to: incoming, include: part) }
    // Root of the user's namespace makes the folders that lead there.
    guard let user = owners.onDisk(user: 0), let group = owners.onDisk(group: 0), chown(incoming, user, group) == 0 else {
      throw FerryError(errno: errno, "cannot give \(incoming) to the module's user")
    }
    try module.showing([ResticPart(name: "incoming", folder: incoming)]) {
      try repository.restore(snapshot, to: "\(module.view)/incoming", include: part)
    }
  }

  /// Makes what volumes are missing. All are looked at before the first is made.
  private func prepareVolumes(_ module: ResticModule) throws {
    var volumes = try volumes()
    if volumes.isEmpty {
      let names = Set(try ResticListing.read(listing, below: "volumes").compactMap { $0.split(separator: 0x2f).first.map { Array($0) } })
      volumes = try names.map { name in
        let text = String(decoding: name, as: UTF8.self)
        // It becomes part of a path and of a pattern.
        guard text.utf8.first != 0x2e, text.utf8.allSatisfy({ $0.isNameOfVolume }) else {
          throw FerryError(.invalid, "the snapshot names a volume '\(text.prefix(60))', which no volume can be called")
        }
        return ResticVolume(name: text)
      }.sorted { $0.name < $1.name }
      for volume in volumes {
        guard let folder = try module.folder(volume.name) else { continue }
        guard config.replace == true || Files.names(in: folder).isEmpty else {
          throw FerryError(
            .conflict, "the volume \(module.engineName(volume.name)) exists and is not empty",
            hint: "say `replace: true` to replace its content; it is kept until the run has succeeded")
        }
      }
      try context.kv.put(Self.volumesKey, volumes)
    }
    for index in volumes.indices {
      if volumes[index].folder == nil {
        if try module.folder(volumes[index].name) == nil {
          // Written down first: what is made afterwards is known to be ours.
          volumes[index].isOurs = true
          try context.kv.put(Self.volumesKey, volumes)
          try module.make(volumes[index].name)
        }
        volumes[index].folder = try module.folder(volumes[index].name)
        try context.kv.put(Self.volumesKey, volumes)
      }
      try staged(volumes[index])?.prepare()
    }
  }

  /// The state folder is not replaced but completed, as NethServer's restore does: what is there already and not in the snapshot stays.
  private func complete(_ restored: String) throws {
    let (saved, beside) = ("\(restored)/\(ResticModule.environment)", "\(restored)/\(ResticModule.savedEnvironment)")
    try keepingTime(of: restored) {
      if rename(saved, beside) != 0, errno != ENOENT { throw FerryError(errno: errno, "cannot set the saved environment aside") }
    }
    try add(from: target.path, to: restored)
  }

  private func add(from old: String, to new: String) throws {
    try keepingTime(of: new) {
      for name in Files.names(in: old) {
        let (from, to) = ("\(old)/\(name)", "\(new)/\(name)")
        if !Files.exists(to) {
          let copied = try context.run(Command(["cp", "--archive", "--reflink=auto", "--", from, to]))
          guard copied.succeeded else { throw FerryError(.io, "cannot keep \(from): \(copied.reason)") }
        } else if Files.isFolder(from), Files.isFolder(to), Self.isOwn(from), Self.isOwn(to) {
          try add(from: from, to: to)
        }
      }
    }
  }

  /// A folder, and no link to one.
  private static func isOwn(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// A folder's time counts, and what is added would change it.
  private func keepingTime(of folder: String, _ work: () throws -> Void) throws {
    var status = stat()
    guard lstat(folder, &status) == 0 else { throw FerryError(errno: errno, "cannot look at \(folder)") }
    try work()
    guard utimensat(AT_FDCWD, folder, [status.st_atim, status.st_mtim], 0) == 0 else {
      throw FerryError(errno: errno, "cannot set the times of \(folder)")
    }
  }

  /// What counts of what was received.
  func trees(active: Bool) throws -> [DigestRequest.Tree] {
    guard module != nil else { return [DigestRequest.Tree(try target.current(active: active))] }
    return try targets().map { name, folder in
      let root = try folder.current(active: active)
      guard name == ResticModule.state else { return DigestRequest.Tree(root, name: name) }
      let environment = Array(ResticModule.environment.utf8)
      let paths = try ResticListing.read(listing, below: name).filter { $0 != environment }
      return DigestRequest.Tree(root, name: name, selection: TreeSelection(paths))
    }
  }

  func activate() throws {
    if let module { for volume in try volumes() { try module.demandIdle(volume.name) } }
    for (_, folder) in try targets() { try folder.activate() }
  }

  func deactivate() throws { for (_, folder) in try targets().reversed() { try folder.deactivate() } }

  func discard() throws {
    for (_, folder) in try targets().reversed() { try folder.discard() }
    guard let module else { return }
    for volume in try volumes() where volume.isOurs { try module.remove(volume.name) }
    try context.kv.remove(Self.volumesKey)
  }

  func release() throws { for (_, folder) in try targets() { try folder.release() } }
}

extension UInt8 {
  /// Letters, digits, and what else a volume's name may hold.
  fileprivate var isNameOfVolume: Bool {
    (0x30...0x39).contains(self) || (0x41...0x5a).contains(self) || (0x61...0x7a).contains(self) || [0x2d, 0x2e, 0x5f].contains(self)
  }
}
