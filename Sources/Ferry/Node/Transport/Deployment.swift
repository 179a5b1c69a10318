import FerrySystem
import Glibc

/// Brings Ferry's own tree to a node's cache, once for each digest. What is needed there: a POSIX shell, tar and sha256sum.
struct Deployment: Sendable {
  let transport: SSHTransport
  let tree: InstalledTree

  /// Starts the tree's `ferry` if it is there; else says what the host is like: `absent MACHINE TAR SUM PACKER LIBC…`.
  func script(_ arguments: [String]) -> String {
    """
    \(cache) if [ -x "$tree/bin/ferry" ]; then echo "$mark ready"; exec "$tree/bin/ferry" \(arguments.map(RemoteScript.quoted).joined(separator: " ")); fi; \
    has() { command -v "$1" >/dev/null 2>&1 && echo "$1" || echo -; }; \
    if command -v zstd >/dev/null 2>&1; then packer=zstd; else packer=$(has gzip); fi; \
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || ldd --version 2>&1 | head -n 1); \
    echo "$mark absent $(uname -m) $(has tar) $(has sha256sum) $packer $libc"
    """
  }

  private var cache: String {
    "if [ \"$(id -u)\" = 0 ]; then cache=/var/cache/ferry; else cache=${XDG_CACHE_HOME:-$HOME/.cache}/ferry; fi; tree=$cache/\(tree.digest);"
  }

  /// Sends the tree to a host that has said what it is like.
  func send(to host: String) throws {
    let words = host.split(separator: " ").map(String.init)
    guard words.count >= 5, words[0] == "absent" else { throw FerryError(.peer, "\(name) did not say what it is: \(host.prefix(80))") }
    try compare(machine: words[1], libc: words[5...].joined(separator: " "))
    for (tool, answer) in [("tar", words[2]), ("sha256sum", words[3])] where answer == "-" {
      throw FerryError(
        .notFound, "ferry cannot be deployed: there is no \(tool) on \(name)", hint: "install \(tool) or ferry there; nothing was changed")
    }
    let packer = ["zstd", "gzip"].first { $0 == words[4] && (try? Programs.find($0)) != nil }
    let script = try transport.script(unpack(packer))
    let (process, word) = try transport.run(script)
    defer { process.end() }
    if word == "there" { return }
    guard word == "send" else { throw failed(word) }
    try pack(packer, into: process.stream)
    _ = shutdown(process.stream.number, Int32(SHUT_WR))
    let answer = try transport.word(after: script.marker, from: process, within: .seconds(300))
    guard answer == "done" else { throw failed(answer) }
  }

  // MARK: Comparing

  private func compare(machine: String, libc: String) throws {
    var own = utsname()
    uname(&own)
    let here = withUnsafeBytes(of: &own.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    guard machine == here else {
      throw FerryError(
        .unsupported, "ferry cannot be deployed: \(name) is \(machine), this ferry is for \(here)",
        hint: "install a ferry for \(machine) there, and leave `deploy` out; nothing was changed")
    }
    let version = libc.split(separator: " ").last.flatMap { GlibcVersion($0) }
    guard libc.lowercased().contains("glibc") || libc.contains("GNU libc"), let version else {
      throw FerryError(
        .unsupported, "ferry cannot be deployed: \(name) has no glibc\(libc.isEmpty ? "" : " (\(libc.prefix(60)))")",
        hint: "ferry runs on Linux with glibc \(tree.glibc) or newer; nothing was changed")
    }
    guard version >= tree.glibc else {
      throw FerryError(
        .unsupported, "ferry cannot be deployed: \(name) has glibc \(version), this ferry needs \(tree.glibc)",
        hint: "deploy a ferry that was built on an older system, or build one there; nothing was changed")
    }
  }

  // MARK: Sending

  /// A temporary name first; the real one only when all digests are right and the program has been seen to run.
  private func unpack(_ packer: String?) -> String {
    let unpacker = packer.map { "\($0) -dc | tar -xof -" } ?? "tar -xof -"
    return """
      umask 022; \(cache) fresh=$cache/.new-\(Hex.random(8)); \
      fail() { rm -rf "$fresh"; why=$(echo "$2" | grep -e 'space left' -e quota | head -n 1); \
      echo "$mark failed $1 $cache ${why:-$(echo "$2" | tail -n 1)}"; exit 0; }; \
      said=$(mkdir -p "$cache" 2>&1) || fail cache "$said"; [ -O "$cache" ] || fail owner "it belongs to somebody else"; \
      if [ -x "$tree/bin/ferry" ]; then echo "$mark there"; exit 0; fi; \
      find "$cache" -maxdepth 1 -name '.new-*' -mtime +0 -exec rm -rf {} + 2>/dev/null; \
      said=$(mkdir "$fresh" 2>&1) || fail cache "$said"; cd "$fresh" || exit 1; echo "$mark send"; \
      said=$({ \(unpacker); } 2>&1) || fail unpack "$said"; chmod -R go-w .; \
      said=$(sha256sum -c SHA256SUMS 2>&1) || fail digest "$said"; \
      said=$(./bin/ferry --version 2>&1) || fail start "$said"; sync; \
      [ -d "$tree" ] || mv "$fresh" "$tree"; rm -rf "$fresh"; echo "$mark done"
      """
  }

  private func pack(_ packer: String?, into stream: Descriptor) throws {
    let place = try TransientFolder("\(Environment.temporaryFolder)/ferry-tree", orSay: "cannot make a temporary folder")
    defer { place.remove() }
    let folder = place.path
    for file in tree.files {
      try Files.makeFolder(Files.parent(of: "\(folder)/\(file.path)"), mode: 0o755)
      guard symlink(file.source, "\(folder)/\(file.path)") == 0 else { throw FerryError(errno: errno, "cannot lay out \(file.path)") }
    }
    try Files.replace("\(folder)/SHA256SUMS", with: Array(tree.listing.utf8), mode: 0o644)
    let tar = ["tar", "-C", folder, "-chf", "-", "SHA256SUMS", "bin", "lib"]
    let packers = ["zstd": "zstd -q -3 -T0", "gzip": "gzip -1"]
    // Only the last of a pipe tells how it ended; a tar that fails is found by the digests.
    let line = tar.map(RemoteScript.quoted).joined(separator: " ") + (packer.flatMap { packers[$0] }.map { " | \($0)" } ?? "")
    var command = Command(["sh", "-c", line], timeout: .seconds(3600))
    command.output = .descriptor(stream.number)
    let outcome = try command.run()
    // A far end that has stopped reading says itself why.
    guard outcome.succeeded || outcome.code == 141 || outcome.errors.contains("roken pipe") else {
      throw FerryError(.io, "cannot pack ferry's own tree: \(outcome.reason)", hint: "nothing was changed")
    }
  }

  // MARK: Failing

  private var name: String { transport.name }

  private func failed(_ answer: String) -> FerryError {
    let words = answer.split(separator: " ", maxSplits: 3).map(String.init)
    let (step, cache, said) = (words.dropFirst().first ?? "", words.dropFirst(2).first ?? "", words.dropFirst(3).first ?? "no reason given")
    if said.contains("No space left") || said.contains("Disk quota") {
      return FerryError(
        .io, "ferry cannot be deployed: \(cache) on \(name) is full",
        hint: "make room there, or install ferry there; nothing is left of the attempt")
    }
    if step == "start", said.contains("Permission denied") {
      return FerryError(
        .precondition, "ferry cannot be deployed: \(cache) on \(name) is on a file system that runs no programs (noexec)",
        hint: "mount it without noexec, or install ferry there and leave `deploy` out; nothing is left of the attempt")
    }
    let what = ["unpack": "cannot be unpacked", "digest": "did not arrive whole", "start": "does not run there"][step] ?? "cannot be kept"
    return FerryError(
      .peer, "ferry cannot be deployed: its tree \(what) in \(cache) on \(name): \(said)", hint: "nothing is left of the attempt")
  }
}
