import CFerry
import CLinux
import FerrySystem
import Glibc

/// `ferry host`: the process that loads one plugin. Never run by a person.
public enum HostCommand {
  /// The descriptor of the control socket in a fresh host.
  static let control: Int32 = 3
  /// A crash says its signal. A page of backtrace would push the plugin's last words out of the error, and its handler is the process's.
  static let environment: [String: String?] = ["SWIFT_BACKTRACE": "enable=no"]

  /// Runs `ferry host` (instructions come over descriptor 3) or `ferry host --describe FILE SHA256` or
  /// `ferry host --call FILE SHA256 NAME VALUES` (print JSON), and ends the process.
  public static func run(_ arguments: [String]) -> Never {
    // A core of a host would hold secrets; a peer that goes away is an error of the write, not a signal.
    var none = rlimit(rlim_cur: 0, rlim_max: 0)
    setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none)
    signal(SIGPIPE, SIG_IGN)
    switch arguments.first {
    case nil: serve()
    case "--describe" where arguments.count == 3:
      answer { try JSONValue(encoding: PluginFile(path: arguments[1], sha256: arguments[2]).load().module) }
    case "--call" where arguments.count == 5:
      answer { try call(PluginFile(path: arguments[1], sha256: arguments[2]), arguments[3], arguments[4]) }
    default: usage()
    }
  }

  private static func usage() -> Never {
    let words = "ferry host is started by Ferry itself; 'ferry plugins' lists the plugins\n"
    try? Descriptor(2).write(Array(words.utf8))
    _exit(2)
  }

  private static func answer(_ work: () throws -> JSONValue) -> Never {
    // What the plugin prints must not mix with the answer.
    let answer = Descriptor(fcntl(1, F_DUPFD_CLOEXEC, 100))
    dup2(2, 1)
    var result = HostAnswer()
    do { result.reply = try work() } catch { result.error = FerryError.wrap(error) }
    if let bytes = try? JSONValue.encode(result) { try? answer.write(bytes + [10]) }
    _exit(0)
  }

  private static func call(_ file: PluginFile, _ name: String, _ values: String) throws -> JSONValue {
    guard let plugin = try file.load() as? DescribedPlugin else { throw FerryError(.unsupported, "plugin \(file.path) has no calls") }
    return try plugin.call(name, JSONValue(parsing: values).decode())
  }

  private static func serve() -> Never {
    // Out of the way of a plugin that writes to a descriptor which it does not own; /dev/null takes the place.
    let socket = Descriptor(fcntl(control, F_DUPFD_CLOEXEC, 100))
    guard socket.number >= 0, let null = try? Descriptor.open("/dev/null", O_RDWR) else { usage() }
    dup2(null.number, control)
    _ = clinux_set_cloexec(control, 1)
    null.close()
    let host = PluginHost(LineConnection(input: socket, output: socket))
    host.run()
  }
}
