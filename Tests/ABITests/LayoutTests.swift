import CFerry
import Testing

@Suite("The frozen layout")
struct LayoutTests {
  @Test("Swift sees the structs at the sizes that the header asserts")
  func sizes() {
    #expect(MemoryLayout<ferry_host>.size == 40)
    #expect(MemoryLayout<ferry_provider>.size == 160)
    #expect(MemoryLayout<ferry_module>.size == 48)
    #expect(MemoryLayout<ferry_args>.size == 32)
    #expect(MemoryLayout<ferry_item>.size == 40)
  }
}
