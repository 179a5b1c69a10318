import FerrySystem
import Glibc

/// Podman has no daemon: where its API service is not switched on, one is started on a socket of our own, and ends with this object.
final class PodmanService: Sendable {
  let address: EngineAddress
  private let process: ChildProcess
  private let socket: String

  /// Waits until it answers. Its socket lies in `folder`, or in one of the system's where that path is too long for a socket; another
  /// user's in a folder of theirs.
  init(folder: String, account: Account? = nil) throws {
    // 108 bytes are all that the kernel has for a socket's path, and the name takes up to 37 of them.
    let own = folder.utf8.count < 70 ? folder : (geteuid() == 0 ? "/run" : Environment.all["XDG_RUNTIME_DIR"] ?? "/tmp")
    let place = account?.runtimeFolder ?? own
    Self.sweep(place)
    socket = "\(place)/ferry-podman-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    address = try EngineAddress(socket)
    let null = try Descriptor.open("/dev/null", O_RDWR)
    let log = try Descriptor.open("\(folder)/podman-service.log", O_RDWR | O_CREAT | O_TRUNC)
    do {
      process = try ChildProcess.spawn(
        ["podman", "system", "service", "--time", "0", "unix://\(socket)"], account: account,
        descriptors: [0: null.number, 1: null.number, 2: log.number],
        ties: .thread)
    } catch {
      throw FerryError(
        .precondition, "Podman cannot be run here: \(FerryError.wrap(error).message)", hint: "install it, or name its socket with `engine`")
    }
    let ended = try process.exitDescriptor()
    for _ in 0..<1200 {
      if address.answers { return }
      var state = pollfd(fd: ended.number, events: Int16(POLLIN), revents: 0)
      if poll(&state, 1, 50) > 0 {
        let code = process.wait()
        let said = (try? Files.read("\(folder)/podman-service.log")).map { String(decoding: $0.suffix(300), as: UTF8.self) } ?? ""
        throw FerryError(
          .precondition, "`podman system service` ended with exit code \(code): \(said.split(whereSeparator: \.isNewline).last ?? "")",
          hint: "does `podman info` work as \(account?.name ?? "this user")?")
      }
    }
    end()
    throw FerryError(.retry, "`podman system service` does not answer within a minute")
  }

  /// What services of processes that were killed have left.
  private static func sweep(_ folder: String) {
    for name in Files.names(in: folder) where name.hasPrefix("ferry-podman-") {
      guard let pid = name.split(separator: "-").dropFirst(2).first.flatMap({ Int32($0) }), ProcessIdentity(pid: pid) == nil,
        let address = try? EngineAddress("\(folder)/\(name)"), !address.answers
      else { continue }
      unlink("\(folder)/\(name)")
    }
  }

  deinit { end() }

  private func end() {
    // Podman starts conmon in sessions of their own, so its containers go on.
    process.signalGroup(SIGTERM)
    process.wait()
    unlink(socket)
  }
}
