import FerryEngineKit
import Glibc

/// What decides whether processes that were stopped on one host can go on at another.
struct CheckpointHost: Codable {
  var criu: String
  var kernel: String
  var machine: String
  /// What the processor can do, in the kernel's words.
  var processor: Set<String>

  /// This host; an error if criu does not work here.
  static func here(_ context: ProviderContext) throws -> CheckpointHost {
    var system = utsname()
    uname(&system)
    func text(_ value: some Any) -> String {
      withUnsafeBytes(of: value) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    let version: Command.Outcome
    do { version = try context.run(Command(["criu", "--version"], timeout: .seconds(60))) } catch let error as FerryError
      where error.class != .cancelled
    {
      throw FerryError(.precondition, "there is no criu here", hint: "install it: it is what keeps a container's memory")
    }
    let check = try context.run(Command(["criu", "check"], timeout: .seconds(60)))
    guard version.succeeded, check.succeeded else {
      throw FerryError(
        .precondition, "criu does not work on this kernel: \(check.errors.split(separator: "\n").last ?? "")",
        hint: "`criu check` tells more; a newer criu may know a newer kernel")
    }
    let words = version.output.split(whereSeparator: \.isNewline).first?.split(separator: " ").map(String.init) ?? []
    let processor = String(decoding: try Files.read("/proc/cpuinfo"), as: UTF8.self).split(separator: "\n").first {
      $0.hasPrefix("flags") || $0.hasPrefix("Features")
    }
    return CheckpointHost(
      criu: words.last ?? "", kernel: text(system.release), machine: text(system.machine),
      processor: Set(processor?.split(separator: ":").last?.split(separator: " ").map(String.init) ?? []))
  }

  /// Why what is stopped here cannot go on there, or nil.
  func obstacle(to other: CheckpointHost, ignoringProcessor: Bool) -> FerryError? {
    guard machine == other.machine else {
      return FerryError(.precondition, "the destination is a \(other.machine), and processes of a \(machine) cannot go on there")
    }
    if Self.numbers(other.criu).lexicographicallyPrecedes(Self.numbers(criu)) {
      return FerryError(
        .precondition, "criu \(other.criu) of the destination is older than \(criu), which writes what is restored there",
        hint: "install the same criu at both ends")
    }
    let missing = processor.subtracting(other.processor).sorted()
    guard !missing.isEmpty, !ignoringProcessor else { return nil }
    return FerryError(
      .precondition, "the processor of the destination lacks what processes may be using: \(missing.prefix(8).joined(separator: ", "))",
      hint: "move to a processor that has them, or say `ignore-cpu: true` if you know that none is used")
  }

  static func numbers(_ version: String) -> [Int] { version.split { !$0.isNumber }.compactMap { Int($0) } }
}
