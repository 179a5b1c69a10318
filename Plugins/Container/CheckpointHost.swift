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
      throw FerryError(
        .precondition, "there is no criu here", hint: "install it (Debian's package is called criu): it is what keeps a container's memory")
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

  /// Why what is stopped here cannot go on there.
  func obstacles(to other: CheckpointHost, ignoringProcessor: Bool) -> [FerryError] {
    guard machine == other.machine else {
      return [FerryError(.precondition, "the destination is a \(other.machine), and processes of a \(machine) cannot go on there")]
    }
    var found: [FerryError] = []
    if Self.numbers(other.criu).lexicographicallyPrecedes(Self.numbers(criu)) {
      found.append(
        FerryError(
          .precondition, "criu \(other.criu) of the destination is older than \(criu), which writes what is restored there",
          hint: "install the same criu at both ends"))
    }
    let missing = processor.subtracting(other.processor).sorted()
    if !missing.isEmpty, !ignoringProcessor {
      found.append(
        FerryError(
          .precondition,
          "the processor of the destination lacks what processes may be using: \(missing.prefix(8).joined(separator: ", "))",
          hint: "move to a processor that has them, or say `ignore-cpu: true` if you know that none is used"))
    }
    return found
  }

  /// What may keep it from going on there, or nil.
  func warning(to other: CheckpointHost) -> String? {
    guard Self.numbers(other.kernel).lexicographicallyPrecedes(Self.numbers(kernel)) else { return nil }
    return "the destination's kernel \(other.kernel) is older than \(kernel): what it lacks keeps processes from going on, and they go back"
  }

  // MARK: Asking criu

  /// Whether the kernel here tracks which memory changes, so that most of it can be taken while processes run.
  static func tracksMemory(_ context: ProviderContext) throws -> Bool {
    try context.run(Command(["criu", "check", "--feature", "mem_dirty_track"], timeout: .seconds(60))).succeeded
  }

  /// The processor here, in criu's form.
  static func processorImage(_ context: ProviderContext) throws -> [UInt8] {
    try inFolder(context) { folder in
      let outcome = try context.run(Command(["criu", "cpuinfo", "dump", "--images-dir", folder], timeout: .seconds(60)))
      guard outcome.succeeded else { throw FerryError(.io, "`criu cpuinfo dump` failed, \(outcome.reason)") }
      return try Files.read("\(folder)/cpuinfo.img")
    }
  }

  /// Has criu look whether the processor here can take what that one has begun.
  static func refuseProcessor(_ image: [UInt8], _ context: ProviderContext) throws {
    try inFolder(context) { folder in
      try Files.replace("\(folder)/cpuinfo.img", with: image)
      let outcome = try context.run(
        Command(["criu", "cpuinfo", "check", "--images-dir", folder, "--cpu-cap=ins"], timeout: .seconds(60)))
      guard outcome.succeeded else {
        throw FerryError(
          .precondition, "criu says that the processor here cannot go on with what the source's has begun: \(outcome.reason)",
          hint: "move to a processor like it, or say `ignore-cpu: true`; nothing was stopped")
      }
    }
  }

  private static func inFolder<Value>(_ context: ProviderContext, _ body: (String) throws -> Value) throws -> Value {
    let folder = "\(context.temporaryFolder)/criu"
    try TreeRemoval.remove(folder)
    try Files.makeFolder(folder)
    defer { try? TreeRemoval.remove(folder) }
    return try body(folder)
  }

  static func numbers(_ version: String) -> [Int] { version.split { !$0.isNumber }.compactMap { Int($0) } }
}
