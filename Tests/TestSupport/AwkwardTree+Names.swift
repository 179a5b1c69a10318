import FerrySystem
import Glibc

extension AwkwardTree {
  /// Names that have broken somebody's script.
  public static let awkwardNames: [[UInt8]] =
    [
      "new\nline", "\n", " leading", "trailing ", " ", "a\ttab", "\\x41", "back\\slash", "-rf", "--help", "*", "?[glob]{a,b}", "'\"`$(id)`",
      "...",
      "..data", "a..", ".wh.gone", ".wh..wh..opq", ".wh.", "CASE", "case", "é", "e\u{301}", "\u{202e}left", "escape\u{1b}[31m", "\u{7f}",
      "日本",
      "a:b", "a,b=c", "#", "~", "%00", "NUL", "name;type",
    ].map { Array($0.utf8) } + [[0xff, 0xfe], [0x66, 0xc3], [0xed, 0xa0, 0x80], [1], Array(repeating: 0x6e, count: 255)]

  func names(_ folder: BareFolder) throws {
    let (files, folders) = (try folder.folder("as files"), try folder.folder("as folders"))
    for name in Self.awkwardNames {
      let shown = "the name \(BareFolder.shown(name))"
      attempt(shown) {
        try files.file(name, name)
        try folders.folder(name).file("inside", "x")
      }
    }
    // Whoever sorts whole paths and whoever sorts names disagree about these.
    let order = try folder.folder("order")
    for name in ["a", "a.d", "a-b"] { try order.folder(name).file("x") }
    try order.file("a ")
    try folder.folder("empty")
  }

  func depth(_ folder: BareFolder) throws {
    var deep = try folder.folder("deep")
    for _ in 0..<1000 { deep = try deep.folder("d") }
    try deep.file("bottom", "here")
    // Twenty such names are as long as the longest path that a system call takes.
    var long = try folder.folder("long")
    for level in 0..<24 {
      long = try long.folder(Array("\(level)-".utf8) + Array(repeating: 0x6c, count: 200))
      try long.file("file", "\(level)")
    }
    attempt("a link at a path too long") {
      if !long.call("link", { symlinkat("../file", $0, $1) }) { throw FerryError(errno: errno, "symlink") }
    }
    attempt("an attribute at a path too long", long.setAttribute(Array("file".utf8), "user.deep", [1, 2, 3]))
  }

  func links(_ folder: BareFolder) throws {
    try folder.folder("folder").file("file", "x")
    let targets: [(name: String, target: [UInt8])] = [
      ("absolute", Array("/etc/passwd".utf8)), ("dangling", Array("nowhere/at/all".utf8)), ("to a folder", Array("folder".utf8)),
      ("to a folder, slash", Array("folder/".utf8)), ("loop-a", Array("loop-b".utf8)), ("loop-b", Array("loop-a".utf8)),
      ("self", Array("self".utf8)), ("outwards", Array("../../../../../../etc".utf8)), ("newline", Array("a\nb -> c".utf8)),
      ("bytes", [0xff, 0x0a]),
      ("longest", Array(repeating: 0x78, count: 4095)), ("sixty", Array(repeating: 0x78, count: 60)),
      ("proc", Array("/proc/self/cwd".utf8)),
    ]
    for (name, target) in targets {
      attempt("a link \(name)", folder.call(name) { folder, name in BareFolder.named(target) { symlinkat($0, folder, name) } })
    }
  }

  func hardLinks(_ folder: BareFolder) throws {
    let (one, two) = (try folder.folder("one"), try folder.folder("two").folder("inner"))
    try one.file("first", "shared")
    _ = one.call("soft") { symlinkat("first", $0, $1) }
    func link(_ from: String, _ folder: BareFolder, _ to: String) {
      attempt("a hard link to \(from)", one.call(from) { source, from in folder.call(to) { linkat(source, from, $0, $1, 0) } ? 0 : -1 })
    }
    link("first", one, "in the same folder")
    link("first", two, "in another folder")
    // Its first name in the order of a walk comes before the folder of the file's own.
    link("first", folder, "above")
    link("soft", two, "a link's link")
    // The same content twice is not the same file.
    try one.file("equal, not same", "shared")
    try one.file("large", String(repeating: "0123456789abcdef", count: 80_000))
    link("large", two, "large again")
    if one.call("fifo", { mkfifoat($0, $1, 0o600) }) { link("fifo", two, "fifo again") }
  }
}
