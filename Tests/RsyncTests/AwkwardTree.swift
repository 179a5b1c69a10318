import FerrySystem
import Glibc

/// Awkward things that real trees hold.
enum AwkwardTree {
  static let script = """
    import os, sys, socket, subprocess
    root = os.geteuid() == 0
    def put(name, data=b'x'):
        with open(name, 'wb') as f: f.write(data)
    os.makedirs(sys.argv[1]); os.chdir(os.fsencode(sys.argv[1]))
    for n in [b'new\\nline', b' blanks ', b'tab\\there', b'\\xff\\xfe', b'n' * 255, b'-rf', b'.wh.x', b'back\\\\slash', b'\\\\#134', b'a -> b', b'*', 'grün'.encode()]: put(n)
    os.mkdir('empty'); os.mkdir(b'odd\\nfolder'); put(b'odd\\nfolder/x')
    for n in [0, 1, 4095, 4096, 4097]: put('size%d' % n, b'y' * n)
    for m in ([0] if root else []) + [0o4755, 0o2755, 0o1644, 0o7777]: put('mode%o' % m); os.chmod('mode%o' % m, m)
    os.mkdir('sticky'); os.chmod('sticky', 0o3777)
    if root:
        put('owned'); os.chown('owned', 70001, 4000000000 % 2**32)
        os.symlink('x', 'ownedlink'); os.lchown('ownedlink', 7, 8)
        os.mknod('char', 0o20640, os.makedev(1, 3)); os.mknod('block', 0o60600, os.makedev(259, 300))
        put('capable'); subprocess.run(['setcap', 'cap_net_raw+ep', 'capable'], stderr=subprocess.DEVNULL)
        os.setxattr('capable', 'trusted.ferry', b'\\x00\\xff')
    os.link('size1', 'again'); os.link('size1', 'empty/../sticky/again')
    os.symlink('/nowhere', 'absolute'); os.symlink('gone', 'dangling'); os.symlink('empty', 'tofolder'); os.symlink('loop', 'loop')
    os.link('dangling', 'danglingtoo', follow_symlinks=False)
    for n, parts in [('start', [(1 << 20, b'z')]), ('middle', [(0, b'z'), (1 << 20, b'z')]), ('hole', [])]:
        with open('sparse' + n, 'wb') as f:
            for at, data in parts: f.seek(at); f.write(data)
            f.truncate(2 << 20)
    put('attributes')
    os.setxattr('attributes', 'user.empty', b''); os.setxattr('attributes', 'user.long', b'v' * 3000)
    os.setxattr('empty', 'user.folder', b'f')
    subprocess.run(['setfacl', '-m', 'u:1234:rw,g:5:r', 'attributes'], check=True)
    subprocess.run(['setfacl', '-d', '-m', 'u:1234:rwx', 'empty'], check=True)
    os.mkfifo('fifo'); s = socket.socket(socket.AF_UNIX); s.bind('socket'); s.close()
    os.utime('size0', ns=(5, 1_600_000_000_123_456_789)); os.utime('size1', ns=(5, -86_400_000_000_000 + 7))
    os.utime('absolute', ns=(5, 1_500_000_000_000_000_001), follow_symlinks=False)
    for i in range(400): os.mkdir('deep'); os.chdir('deep')
    put('bottom')
    os.chdir(os.fsencode(sys.argv[1])); os.utime('empty', ns=(5, 1_400_000_000_000_000_999)); os.utime('.', ns=(5, 1_300_000_000_000_000_111))
    """

  static func make(_ path: String) throws {
    let outcome = try Command(["python3", "-c", script, path]).run()
    guard outcome.succeeded else { throw FerryError(.internal, "the awkward tree: \(outcome.errors)") }
  }
}
