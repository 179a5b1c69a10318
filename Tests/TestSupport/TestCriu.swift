import FerrySystem

/// A criu that this kernel knows, below .build: the one that Scripts/criu lays out.
public enum TestCriu {
  /// The folder that has the program.
  public static func folder() throws -> String { try made.get() }

  private static let made = Result {
    let outcome = try Command(["\(Products.repository)/Scripts/criu"], timeout: .seconds(600)).run()
    guard outcome.succeeded, let folder = outcome.output.split(separator: "\n").last else {
      throw FerryError(.internal, "Scripts/criu: \(outcome.errors)")
    }
    return String(folder)
  }

  /// Whether the kernel tracks which memory changes.
  public static let tracksMemory =
    (try? Command(["\(folder())/criu", "check", "--feature", "mem_dirty_track"], timeout: .seconds(60)).run())?.succeeded == true
}
