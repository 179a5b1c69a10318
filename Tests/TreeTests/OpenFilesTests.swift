import FerrySystem
import FerryTree
import Glibc
import TestSupport
import Testing

@Suite struct OpenFilesTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// A process that runs until its input ends.
  private static let holder = """
    import sys, os, mmap
    root = sys.argv[1]
    kept = [open(root + '/written', 'r+'), open(root + '/appended\\nname', 'a'), open(root + '/read')]
    file = open(root + '/deep/mapped', 'r+b'); mapped = mmap.mmap(file.fileno(), 0); file.close()
    gone = open(root + '/gone', 'w'); os.unlink(root + '/gone')
    print('ready', flush=True); sys.stdin.read()
    """

  private func prepare(_ root: String) throws {
    for name in ["written", "appended\nname", "read", "deep/mapped", "closed"] { try folder.write("\(root)/\(name)", "content") }
  }

  @Test("files that are open for writing or mapped are found, others are not")
  func open() throws {
    try prepare("root")
    try holding(["python3", "-c", Self.holder, folder("root")]) {
      let found = try OpenFiles(below: folder("root"))
      #expect(found.paths == Set(["written", "appended\nname", "deep/mapped"].map { Array($0.utf8) }))
      #expect(found.changes.entries == found.paths)
    }
    let after = try OpenFiles(below: folder("root")).paths
    #expect(after.isEmpty)
  }

  @Test(
    "what a process in another mount namespace has open is found under its name here", .enabled(if: geteuid() == 0, "namespaces are root's")
  )
  func namespace() throws {
    try prepare("data/volume")
    try Files.makeFolder(folder("container/data"))
    let script = "mount --bind \(folder("data/volume")) \(folder("container/data")) && exec python3 -c \"$0\" \(folder("container/data"))"
    try holding(["unshare", "-m", "sh", "-c", script, Self.holder]) {
      let volume = try OpenFiles(below: folder("data/volume")).paths
      #expect(volume == Set(["written", "appended\nname", "deep/mapped"].map { Array($0.utf8) }))
      let above = try OpenFiles(below: folder("data")).paths
      #expect(above.contains(Array("volume/deep/mapped".utf8)))
      let beside = try OpenFiles(below: folder("container")).paths
      #expect(beside.isEmpty)
    }
  }

  @Test(
    "what a process has open through an overlay is found in its upper folder, and what is only in a lower one is not",
    .enabled(if: geteuid() == 0, "mounts are root's"))
  func overlay() throws {
    try prepare("lower")
    try folder.write("upper/deep/other", "content")
    try folder.write("lower/mapped for reading", "content")
    for name in ["work", "merged"] { try Files.makeFolder(folder(name)) }
    let options = "lowerdir=\(folder("lower")),upperdir=\(folder("upper")),workdir=\(folder("work"))"
    let script = "mount -t overlay overlay -o '\(options)' \(folder("merged")) && exec python3 -c \"$0\" \(folder("merged"))"
    let holder =
      "import mmap, sys\nfile = open(sys.argv[1] + '/mapped for reading', 'rb'); lower = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
    try holding(["unshare", "-m", "sh", "-c", script, holder + Self.holder]) {
      let found = try OpenFiles(below: folder("upper"))
      #expect(found.paths == Set(["written", "appended\nname", "deep/mapped"].map { Array($0.utf8) }))
      #expect(found.unplaced == 0)
      let beside = try OpenFiles(below: folder("lower")).paths
      #expect(beside.isEmpty)
    }
  }

  private func holding(_ command: [String], _ body: () throws -> Void) throws {
    let (input, output) = (try Descriptor.pipe(), try Descriptor.pipe())
    let child = try ChildProcess.spawn(command, descriptors: [0: input.read.number, 1: output.write.number, 2: 2])
    defer {
      input.write.close()
      child.wait()
    }
    input.read.close()
    output.write.close()
    var said: [UInt8] = []
    try waitFor("the process") {
      said += try output.read.read(upTo: 100)
      return said.starts(with: Array("ready".utf8))
    }
    try body()
  }
}
