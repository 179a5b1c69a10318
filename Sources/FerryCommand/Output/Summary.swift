import Ferry

/// The closing words of a run: only what its receipt proves.
struct Summary {
  let receipt: Receipt
  let budget: Double?

  var text: String { receipt.transfer.map { stored($0) } ?? [headline, proof, pointer].joined(separator: "\n") }

  /// Of a transfer: what waits, and how it is fetched.
  private func stored(_ transfer: Receipt.Transfer) -> String {
    let items = receipt.items.map { item in
      "stored \(item.name) as \(transfer.snapshots[item.name]?.prefix(8) ?? "?"): \(Words.entries(item.entries)), \(Text.bytes(item.bytes))"
    }
    return (items + ["receipt  run \(receipt.run) · ferry receive \(receipt.run) · ferry receipt \(receipt.run)"]).joined(separator: "\n")
  }

  private var headline: String {
    let verb =
      switch receipt.mode {
      case .copy: "copied"
      case .move: "moved"
      case .follow: "switched"
      }
    let outage = receipt.outage
    let limit = budget.map { " (budget \(Words.short($0)))" } ?? ""
    let parts = [("stop", outage.stop), ("final", outage.final), ("verify", outage.verify), ("start", outage.start)]
      .map { "\($0) \(Words.bare($1))" }.joined(separator: "  ")
    return "\(verb) \(receipt.name) to \(receipt.destination.name)   downtime \(Words.short(outage.total))\(limit): \(parts)"
  }

  private var proof: String {
    let equal = receipt.items.filter { $0.sourceRoot == $0.destinationRoot && !$0.sourceRoot.isEmpty }
    let (proven, all) = (equal.reduce(0) { $0 + $1.entries }, receipt.items.reduce(0) { $0 + $1.entries })
    // An equal root over path, metadata and content is an equal tree: nothing differs, nothing is missing.
    let verdict =
      equal.count == receipt.items.count
      ? "0 differ, 0 missing" : "\(receipt.items.count - equal.count) of \(receipt.items.count) items not proven"
    let (sent, bytes) = (receipt.items.reduce(0) { $0 + $1.sent }, receipt.items.reduce(0) { $0 + $1.bytes })
    return "verified \(Text.count(proven)) of \(Words.entries(all)), \(verdict)   sent \(Text.bytes(sent)) for \(Text.bytes(bytes))"
  }

  private var pointer: String {
    let back = receipt.rollbackUntil.map { " · ferry rollback \(receipt.run) until \(Timestamp.text($0).prefix(10))" } ?? ""
    return "receipt  run \(receipt.run) · ferry verify \(receipt.run) · ferry receipt \(receipt.run) · ferry cleanup \(receipt.run)\(back)"
  }
}
