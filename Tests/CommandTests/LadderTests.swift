import Testing

@testable import Ferry
@testable import FerryCommand

@Suite("The ladder of phases") struct LadderTests {
  private func event(_ kind: Event.Kind, at: Double = 0, _ fill: (inout Event) -> Void = { _ in }) -> Event {
    var event = Event(kind, run: "7f3a")
    event.at = at
    fill(&event)
    return event
  }

  @Test("phases are counted among those of the mode, and a pass tells what it shrank from")
  func phases() {
    var ladder = Ladder(phases: Manifest.Mode.copy.phases)
    #expect(ladder.take(event(.phaseBegan) { $0.phase = .copy }).live == "[3/7] copy      …")
    func pass(_ number: Int, _ bytes: Int64) -> String? {
      ladder.take(
        event(.pass) {
          $0.phase = .copy
          $0.item = "pages"
          $0.pass = number
          $0.bytes = bytes
        }
      ).line
    }
    #expect(pass(0, 41 << 20) == "[3/7] copy      pass 0   pages 41 MiB")
    #expect(pass(1, 1_992_295) == "[3/7] copy      pass 1   pages 1.9 MiB ▼ from 41 MiB")
    #expect(pass(2, 3 << 20) == "[3/7] copy      pass 2   pages 3.0 MiB ▲ from 1.9 MiB")
    #expect(ladder.take(event(.phaseEnded, at: 2.4) { $0.phase = .copy }).line == "[3/7] copy      done   2.4s")
  }

  @Test("an ETA comes from what was measured; what is not known is said, and nothing is absurd")
  func meter() {
    func progress(_ at: Double, _ bytes: Int64, _ total: Int64) -> Event {
      event(.progress, at: at) {
        $0.item = "photos"
        $0.side = .source
        $0.bytes = bytes
        $0.bytesTotal = total
      }
    }
    var meter = ProgressMeter()
    meter.take(progress(0, 0, 0))
    #expect(meter.text == "photos   0 B   ETA unknown")
    meter.take(progress(1, 100 << 20, 1 << 30))
    meter.take(progress(3, 300 << 20, 1 << 30))
    #expect(meter.text == "photos   300 MiB of 1.0 GiB   29 %   100 MiB/s   ETA 8s")
    // More than there should be: the total was wrong, so no share and no estimate comes from it.
    meter.take(progress(4, 1100 << 20, 1 << 30))
    #expect(meter.text.hasSuffix("ETA unknown") && !meter.text.contains("%"))
    // A rate near zero would tell of years.
    var slow = ProgressMeter()
    slow.take(progress(0, 1, 1 << 50))
    slow.take(progress(5, 2, 1 << 50))
    #expect(slow.text.hasSuffix("ETA unknown"))
  }

  @Test("a receipt whose roots differ does not read as proof")
  func summary() {
    let node = Receipt.Node(node: "local", name: "b", host: "h", home: "/x")
    let item = Receipt.Item(
      name: "i", provider: "p", entries: 5, bytes: 10, passes: 2, sent: 20, sourceRoot: "aa", destinationRoot: "bb", offer: [:])
    var receipt = Receipt(
      run: "7f3a", name: "wiki", mode: .move, began: 0, ended: 1, ferry: "", manifest: "", source: node, destination: node, plugins: [],
      items: [item], outage: .init(), verify: .sweep, algorithm: .xxh3)
    #expect(Summary(receipt: receipt, budget: nil).text.contains("verified 0 of 5 entries, 1 of 1 items not proven"))
    receipt.items[0].destinationRoot = "aa"
    receipt.outage = .init(stop: 0.6, final: 0.3, verify: 1.1, start: 0.4, total: 2.4)
    #expect(
      Summary(receipt: receipt, budget: 30).text.hasPrefix(
        "moved wiki to b   downtime 2.4s (budget 30s): stop 0.6  final 0.3  verify 1.1  start 0.4\n"))
  }
}
