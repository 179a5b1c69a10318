import Ferry
import Glibc

/// Runs a migration: move MANIFEST [NAME=VALUE]... Tells how far it is; the exit code is that of `ferry run`.
@main struct Move {
  static func main() async {
    do {
      guard CommandLine.argc > 1 else { throw FerryError(.invalid, "usage: move MANIFEST [NAME=VALUE]...") }
      let arguments = CommandLine.arguments
      let engine = try Engine()
      let manifest = try engine.load(arguments[1], parameters: Manifest.parameters(Array(arguments[2...])))
      let plan = try await engine.plan(manifest)
      print("\(manifest.name): \(plan.phases.map(\.rawValue).joined(separator: " → "))")

      let session = try engine.start(.run(manifest))
      for await event in session.events {
        switch event.kind {
        case .phaseBegan: print("\(event.phase?.rawValue ?? "") …")
        case .pass: print("  \(event.item ?? ""): \(event.bytes ?? 0) bytes in \(event.entries ?? 0) entries")
        default: continue
        }
      }
      let result = try await session.result
      if let error = result.error { print("failed: \(error)") }
      if let receipt = result.receipt { print("done, without service for \(receipt.outage.total) s") }
      exit(result.exit.rawValue)
    } catch {
      print(error)
      exit(ResultLine(error).exit.rawValue)
    }
  }
}
