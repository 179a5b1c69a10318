import FerrySystem
import Glibc

extension Engine {
  /// Begins a run in a process of its own, in a session of its own: it outlives this process and its terminal. Answers the run's id as soon as
  /// that process is at work; `events`, `cancel` and the like reach it from anywhere. Secrets that are variables go with the environment.
  public func runDetached(_ manifest: Manifest, options: RunOptions = RunOptions()) throws -> String {
    let id = try begin(manifest, options: options)
    let null = try Descriptor.open("/dev/null", O_RDWR)
    let errors = "\(configuration.folder(of: id))/controller.errors"
    try Files.makeFolder(Files.parent(of: errors))
    let log = try Descriptor.open(errors, O_WRONLY | O_CREAT | O_APPEND)
    let controller = try ChildProcess.spawn(
      [configuration.executable, "resume", id], environment: ["FERRY_STATE": configuration.stateFolder, "FERRY_PLUGINS": pluginPath],
      directory: "/", descriptors: [0: null.number, 1: null.number, 2: log.number])
    let exit = try controller.exitDescriptor()
    for _ in 0..<600 {
      // Its first act is to take the run over; until then it might still fail for want of anything.
      if try find(id).controller?.pid == controller.pid || find(id).status != .running { return id }
      var state = pollfd(fd: exit.number, events: Int16(POLLIN), revents: 0)
      if poll(&state, 1, 100) == 1 {
        let code = controller.wait()
        if try find(id).status != .running { return id }
        let said = String(decoding: (try? Files.read(errors)) ?? [], as: UTF8.self)
        throw FerryError(.internal, "the controller of run \(id) ended with code \(code): \(said)", hint: "`ferry resume \(id)` shows why")
      }
    }
    throw FerryError(.internal, "the controller of run \(id) did not begin within 60 s", hint: "`ferry status \(id)` tells how far it is")
  }

  private var pluginPath: String { configuration.pluginFolders.joined(separator: ":") }
}
