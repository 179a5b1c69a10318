import FerrySystem
import Glibc
import TestSupport

@testable import Ferry

/// A service's specification with short times; `environment` is for both ends.
func spec(
  _ kind: ServiceSpec.Kind, _ name: String, destination: String? = nil, environment: [String: String] = [:], stop: Duration = .seconds(60),
  healthy: [String]? = nil, healthyWithin: Duration = .seconds(60)
) throws -> ServiceSpec {
  var value = ServiceSpec(
    name: name, kind: kind, source: .init(environment: environment), destination: .init(name: destination, environment: environment))
  value.stopTimeout = stop
  value.healthy = healthy
  value.healthyTimeout = healthyWithin
  return value
}

/// What a failing act says, all of it.
func message(_ act: () throws -> Void) -> String {
  do { try act() } catch { return FerryError.wrap(error).description }
  return "it did not fail"
}

/// An engine that a test starts and ends: known by its process, never by its name.
final class Engine: Sendable {
  let process: ChildProcess
  private let log: Descriptor

  init(_ arguments: [String], environment: [String: String?] = [:], log path: String) throws {
    log = try Descriptor.open(path, O_WRONLY | O_CREAT | O_APPEND)
    let null = try Descriptor.open("/dev/null", O_RDONLY)
    process = try ChildProcess.spawn(arguments, environment: environment, descriptors: [0: null.number, 1: log.number, 2: log.number])
  }

  func end() {
    _ = kill(process.pid, SIGTERM)
    process.wait()
  }
}

/// Whether an engine cannot be started here; says why.
func isMissing(_ programs: String...) -> Bool {
  if geteuid() != 0 {
    print("skipped: engines of the test's own need root")
    return true
  }
  for program in programs where (try? Programs.find(program)) == nil && access(program, X_OK) != 0 {
    print("skipped: there is no \(program) here")
    return true
  }
  return false
}

/// Makes the image `box` of a static busybox, for an engine that imports tar files.
func busyboxImage(_ folder: TemporaryFolder) throws -> String {
  let root = folder("root/bin")
  try Files.makeFolder(root, mode: 0o755)
  for arguments in [
    ["cp", try Programs.find("busybox"), "\(root)/busybox"], ["ln", "-s", "busybox", "\(root)/sh"],
    ["tar", "-C", folder("root"), "-cf", folder("box.tar"), "."],
  ] {
    let outcome = try Command(arguments, timeout: .seconds(60)).run()
    guard outcome.succeeded else { throw FerryError(.internal, "\(arguments): \(outcome.reason)") }
  }
  return folder("box.tar")
}
