import Ferry
import FerrySystem
import FerryTree
import Glibc
import HostSupport
import PluginHarness
import TestSupport
import Testing

@testable import ResticPlugin

/// The same move through everything that restic can keep a repository on.
@Suite struct BackendTests {
  let backup: Backup

  init() throws {
    backup = try Backup()
    try backup.folder.write("a/state/folder/file", String(repeating: "content ", count: 100_000))
  }

  private func moves(_ repository: String, keys: [String: JSONValue] = [:], secrets: [String: String] = [:]) throws {
    let harness = try backup.harness(repository, keys: keys, secrets: secrets)
    for side in Side.allCases { #expect(try backup.errors(harness, side) == []) }
    let digests = try backup.move(harness) { try backup.folder.write("a/state/folder/new", "new") }
    #expect(digests.source == digests.destination)
    #expect(try Oracle.describe(backup.from) == Oracle.describe(backup.to))
    for secret in secrets.values { #expect(!harness.log.contains(secret)) }
  }

  @Test("a folder of this machine") func local() throws { try moves(backup.repository) }

  @Test("sftp, by restic's own program")
  func sftp() throws {
    // No sshd: what ssh would start at the other end.
    try moves("sftp:nobody@nowhere:\(backup.repository)", keys: ["options": [.string("sftp.command=\(try ResticServer.program())")]])
  }

  @Test("sftp, through ssh to a real sshd; one that does not answer is told", .enabled(if: TestHosts.available))
  func sshd() throws {
    let hosts = try TestHosts(["vault"], in: backup.folder, ferry: nil)
    let vault = try hosts["vault"]
    vault.stopSSHD()
    try vault.configureSSHD("Subsystem sftp internal-sftp")
    try vault.startSSHD()
    let repository = "sftp:root@\(vault.address):\(backup.repository)"
    let ssh: JSONValue = [.string("sftp.command=ssh -F \(hosts.sshConfig) -l root \(vault.address) -s sftp")]
    try moves(repository, keys: ["options": ssh, "check": "all", "keep": ["last": 1]])
    #expect(try backup.snapshots().count == 1)
    vault.stopSSHD()
    let errors = try backup.errors(backup.harness(repository, keys: ["options": ssh]), .source)
    #expect(errors.first?.contains("the repository cannot be reached") == true, "\(errors)")
  }

  @Test("an S3 server")
  func s3() throws {
    let server = try StandIn("s3-server")
    try moves(
      "s3:http://127.0.0.1:\(server.line)/backups/image/uuid",
      keys: ["environment": ["AWS_DEFAULT_REGION=us-east-1"], "check": "all", "keep": ["last": 1]],
      secrets: ["AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "s3/canary"])
  }

  @Test("rclone")
  func rclone() throws { try moves("rclone::local:\(backup.repository)") }

  @Test("a REST server with a user and a password, which are in no address that anyone sees")
  func rest() throws {
    let server = try Server(
      ["rclone", "serve", "restic", "--addr", "127.0.0.1:0", "--user", "ferry", "--pass", "pa/ss w@rd", backup.folder("served")],
      listening: #"127[.]0[.]0[.]1:[0-9]+"#)
    defer { server.end() }
    try moves(
      "rest:http://\(server.address)/one/sub-path", secrets: ["RESTIC_REST_USERNAME": "ferry", "RESTIC_REST_PASSWORD": "pa/ss w@rd"])
    let refused = try backup.harness(
      "rest:http://\(server.address)/one", secrets: ["RESTIC_REST_USERNAME": "ferry", "RESTIC_REST_PASSWORD": "wrong"])
    #expect(try backup.errors(refused, .source).first?.contains("refused the credentials") == true)
  }

  @Test("a repository that only the channel leads to")
  func channel() throws {
    try moves("channel:\(backup.repository)", keys: ["check": "100%", "keep": ["last": 1]])
    #expect(try backup.snapshots().count == 1)
  }

  @Test("a source that dies in the middle of a pass through the channel leaves a clear error, and the next run is whole")
  func dies() throws {
    let harness = try backup.harness("channel:\(backup.repository)")
    try harness.prepare()
    let (left, right) = try Descriptor.socketPair()
    Threads.detach {
      // A greeting, and then nothing more.
      try? left.write([0, 0, 0, 5, 1, 0, 0, 0, 3])
      left.close()
    }
    let error = failure { _ = try harness.half(.destination, right, final: true) }
    #expect(error?.class == .peer)
    #expect(error?.message.contains("wrote no snapshot") == true, "\(String(describing: error))")
    try harness.pass(final: true)
    #expect(try harness.digest(.source) == harness.digest(.destination))
  }

  @Test(
    "a hostile source gets nothing but the repository",
    arguments: [
      "3 /etc/passwd", "3 /srv/repo/../other", "3 /srv/repository", "11 /", "13 /etc/passwd", "18 /srv/repo/x /etc/x",
      "20 /srv/repo/x /etc/x",
      "200 hardlink@openssh.com /srv/repo/x /etc/x", "200 posix-rename@openssh.com /srv/repo/x /etc/x", "15 ", "3 /srv/repo\0/x",
    ])
  func hostile(_ text: String) {
    #expect(throws: FerryError.self) { try SFTPGate(folder: "/srv/repo").check(Self.request(text)) }
  }

  @Test(
    "what restic asks for passes", arguments: ["3 /srv/repo/config", "11 /srv/repo", "18 /srv/repo/a /srv/repo/b", "200 fsync@openssh.com"])
  func passes(_ text: String) throws {
    let request = Self.request(text)
    #expect(try SFTPGate(folder: "/srv/repo").check(request + [0, 0]) == request.count)
    #expect(try SFTPGate(folder: "/srv/repo").check(Array(request.dropLast())) == 0)
  }

  @Test("a request without an end, and one that is longer than any, are refused")
  func lengths() {
    #expect(throws: FerryError.self) { try SFTPGate(folder: "/r").check([0xff, 0xff, 0xff, 0xff, 3]) }
    #expect(throws: FerryError.self) { try SFTPGate(folder: "/r").check([0, 0, 0, 9, 3, 0, 0, 0, 1, 0, 0, 1, 0]) }
  }

  /// A kind, a request's number and texts, as they are on the wire.
  private static func request(_ text: String) -> [UInt8] {
    func number(_ value: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(value).bigEndian) { Array($0) } }
    let words = text.split(separator: " ", omittingEmptySubsequences: false)
    let body = [UInt8(words[0]) ?? 0] + number(7) + words.dropFirst().flatMap { number($0.utf8.count) + Array($0.utf8) }
    return number(body.count) + body
  }
}

/// A server for one test.
final class Server: Sendable {
  let address: String
  private let process: ChildProcess

  /// Starts a program and waits for the address that it says.
  init(_ arguments: [String], listening pattern: String, environment: [String: String?] = [:]) throws {
    let folder = try TemporaryFolder()
    let log = try Descriptor.open(folder("log"), O_WRONLY | O_CREAT)
    process = try ChildProcess.spawn(arguments, environment: environment, descriptors: [1: log.number, 2: log.number])
    var found = ""
    do {
      try waitFor("a server's address") {
        found = try Command(["grep", "-oE", pattern, folder("log")]).run().output.split(separator: "\n").first.map(String.init) ?? ""
        return !found.isEmpty
      }
    } catch {
      process.signalGroup(SIGKILL)
      throw FerryError(.internal, "\(arguments[0]): \(try folder.read("log"))")
    }
    address = found
  }

  func end() {
    process.signalGroup(SIGKILL)
    process.wait()
  }
}
