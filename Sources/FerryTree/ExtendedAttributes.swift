import CLinux
import FerrySystem
import Glibc

/// Extended attributes by name. POSIX ACLs are two of them.
public enum ExtendedAttributes {
  /// Names of the attributes that hold the ACLs of a file and the default ones of a folder.
  public static let accessControl = ["system.posix_acl_access", "system.posix_acl_default"]

  static func isAccessControl(_ name: [UInt8]) -> Bool { accessControl.contains { name.elementsEqual($0.utf8) } }

  /// All of an entry, sorted by name. Empty where the file system knows none.
  public static func read(_ folder: TreeFolder, _ name: [UInt8]) throws -> [(name: [UInt8], value: [UInt8])] {
    // A root is named by a magic link that has to be followed; nothing else is.
    let follow: Int32 = name.isEmpty ? 1 : 0
    return try withCString(folder.shortPath(name)) { path in
      try read(
        list: { clinux_listxattr(path, $0, $1, follow) }, get: { clinux_getxattr(path, $0, $1, $2, follow) },
        failure: { folder.failure($0, $1, name) })
    }
  }

  /// The same of a file that is open: about twice as fast.
  static func read(_ folder: TreeFolder, _ name: [UInt8], open file: Descriptor) throws -> [(name: [UInt8], value: [UInt8])] {
    try read(
      list: { clinux_flistxattr(file.number, $0, $1) }, get: { clinux_fgetxattr(file.number, $0, $1, $2) },
      failure: { folder.failure($0, $1, name) })
  }

  private static func read(
    list: (UnsafeMutablePointer<CChar>?, UInt64) -> Int64,
    get: (UnsafePointer<CChar>, UnsafeMutablePointer<CChar>?, UInt64) -> Int64,
    failure: (Int32, String) -> FerryError
  ) throws -> [(name: [UInt8], value: [UInt8])] {
    let names: [UInt8]
    switch fetch(list) {
    case .success(let bytes): names = bytes
    case .failure(let error) where [ENOTSUP, EPERM, EACCES].contains(error.code): return []
    case .failure(let error): throw failure(error.code, "cannot list the attributes of")
    }
    var found: [(name: [UInt8], value: [UInt8])] = []
    for attribute in names.split(separator: UInt8(0)).map({ Array($0) }) {
      switch withCString(attribute, { attribute in fetch { get(attribute, $0, $1) } }) {
      case .success(let value): found.append((attribute, value))
      // Gone since it was listed.
      case .failure(let error) where error.code == ENODATA: continue
      case .failure(let error): throw failure(error.code, "cannot read the attribute \(TreePath.escaped(attribute)) of")
      }
    }
    return found.sorted { TreePath.precedes($0.name, $1.name) }
  }

  /// An ACL as the kernel takes it and gives it: by tag, then by id.
  package static func accessList(_ entries: [(tag: UInt16, permissions: UInt16, id: UInt32)]) -> [UInt8] {
    func bytes(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
    let sorted = entries.sorted { ($0.tag, $0.id) < ($1.tag, $1.id) }
    return bytes(UInt32(2)) + sorted.flatMap { bytes($0.tag) + bytes($0.permissions) + bytes($0.id) }
  }

  /// The names of all that what is at a path has; links are followed. Empty where the file system knows none.
  static func names(_ path: String) throws -> [[UInt8]] {
    switch fetch({ clinux_listxattr(path, $0, $1, 1) }) {
    case .success(let list): return list.split(separator: 0).map { Array($0) }
    case .failure(let error) where error.code == ENOTSUP: return []
    case .failure(let error): throw FerryError(errno: error.code, "cannot list attributes")
    }
  }

  private struct Failure: Error { let code: Int32 }

  private static func fetch(_ call: (UnsafeMutablePointer<CChar>?, UInt64) -> Int64) -> Result<[UInt8], Failure> {
    var capacity = 256
    while true {
      var length: Int64 = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
        length = buffer.withMemoryRebound(to: CChar.self) { call($0.baseAddress, UInt64(capacity)) }
        count = max(0, Int(length))
      }
      if length >= 0 { return .success(bytes) }
      guard length == -Int64(ERANGE), capacity < 1 << 20 else { return .failure(Failure(code: Int32(-length))) }
      capacity *= 4
    }
  }
}
