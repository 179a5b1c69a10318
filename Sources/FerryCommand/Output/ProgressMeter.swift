import Ferry

/// How far a phase has come over all of its items, and how fast.
struct ProgressMeter {
  private struct Report {
    var bytes: Int64
    var total: Int64
    var entries: Int64
  }
  private var reports: [String: [Side?: Report]] = [:]
  /// Points of the last seconds: the rate is that of now, not that of the whole phase.
  private var samples: [(at: Double, bytes: Int64)] = []
  private static let window = 10.0

  /// Notes a progress event.
  mutating func take(_ event: Event) {
    reports[event.item ?? "", default: [:]][event.side] = Report(
      bytes: event.bytes ?? 0, total: event.bytesTotal ?? 0, entries: event.entries ?? 0)
    let bytes = sum.bytes
    // A call that began anew counts from zero: what was measured before says nothing about it.
    if let last = samples.last, bytes < last.bytes { samples = [] }
    samples.append((event.at, bytes))
    samples.removeAll { event.at - $0.at > Self.window }
  }

  /// An item's pass is over.
  mutating func forget(_ item: String?) {
    reports[item ?? ""] = nil
    samples = []
  }

  /// The line: `photos   512 MiB of 1.2 GiB   41 %   87 MiB/s   ETA 9s`. What is not known is said, never made up.
  var text: String {
    let (bytes, total, entries) = sum
    var parts = [reports.count == 1 ? reports.keys.first ?? "" : "\(reports.count) items"]
    if let total {
      parts += ["\(Text.bytes(bytes)) of \(Text.bytes(total))", "\(Int(Double(bytes) / Double(total) * 100)) %"]
    } else if bytes > 0 || entries == 0 {
      parts.append(Text.bytes(bytes))
    }
    if entries > 0 { parts.append(Words.entries(entries)) }
    if let rate { parts.append("\(Text.bytes(Int64(rate)))/s") }
    parts.append(eta.map { "ETA \(Words.short($0.rounded(.up)))" } ?? "ETA unknown")
    return parts.joined(separator: "   ")
  }

  /// Both ends may report; the sender knows better what there is to do.
  private var sum: (bytes: Int64, total: Int64?, entries: Int64) {
    let chosen = reports.values.compactMap { $0[.source] ?? $0.values.first }
    let bytes = chosen.reduce(0) { $0 + $1.bytes }
    let total = chosen.reduce(0) { $0 + $1.total }
    let isKnown = !chosen.isEmpty && chosen.allSatisfy { $0.total > 0 && $0.bytes <= $0.total }
    return (bytes, isKnown ? total : nil, chosen.reduce(0) { $0 + $1.entries })
  }

  private var rate: Double? {
    guard let first = samples.first, let last = samples.last, last.at - first.at >= 1, last.bytes > first.bytes else { return nil }
    return Double(last.bytes - first.bytes) / (last.at - first.at)
  }

  /// Nobody plans by an estimate of days; it is noise from a rate near zero.
  private var eta: Double? {
    guard let total = sum.total, let rate else { return nil }
    let seconds = Double(total - sum.bytes) / rate
    return seconds < 7 * 86_400 ? seconds : nil
  }
}
