import FerrySystem
import TestSupport

/// What a tree is, by means that share nothing with Ferry: a Python script over lstat, readlink, xattrs and SHA-256.
public enum Oracle {
  private static let script = """
    import os, sys, hashlib, stat
    root = os.fsencode(sys.argv[1]); skip = set(sys.argv[2:])
    links = {}; lines = []
    def show(folder, path, name):
        s = os.stat(name or b'.', dir_fd=folder, follow_symlinks=False)
        kind = stat.S_IFMT(s.st_mode)
        out = [repr(path), oct(s.st_mode), s.st_mtime_ns]
        if 'owners' not in skip: out += [s.st_uid, s.st_gid]
        if kind in (stat.S_IFCHR, stat.S_IFBLK): out.append(s.st_rdev)
        if kind == stat.S_IFLNK: out.append(os.readlink(name, dir_fd=folder))
        if kind == stat.S_IFREG:
            f = os.open(name, os.O_RDONLY, dir_fd=folder); h = hashlib.sha256()
            while True:
                b = os.read(f, 1 << 20)
                if not b: break
                h.update(b)
            os.close(f); out += [s.st_size, h.hexdigest()]
        if kind != stat.S_IFDIR and s.st_nlink > 1:
            out.append('first ' + repr(links.setdefault((s.st_dev, s.st_ino), path)))
        at = b'/proc/self/fd/%d/' % folder + name
        for x in sorted(os.listxattr(at, follow_symlinks=not name)):
            out.append((x, os.getxattr(at, x, follow_symlinks=not name).hex()))
        lines.append(' '.join(map(str, out)))
    def walk(folder, path):
        for name in sorted(os.fsencode(n) for n in os.listdir(folder)):
            show(folder, path + name, name)
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                f = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=folder)
                walk(f, path + name + b'/'); os.close(f)
    sys.setrecursionlimit(5000)
    import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (4000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    f = os.open(root, os.O_RDONLY); show(f, b'.', b''); walk(f, b'')
    print(chr(10).join(lines))
    """

  /// One line an entry. `without` may hold "owners".
  public static func describe(_ root: String, without: [String] = []) throws -> [String] {
    var command = Command(["python3", "-c", script, root] + without)
    command.output = .capture(limit: 64 << 20)
    let outcome = try command.run()
    guard outcome.succeeded else { throw FerryError(.internal, "the oracle failed: \(outcome.errors)") }
    return outcome.output.split(separator: "\n").map(String.init)
  }
}
