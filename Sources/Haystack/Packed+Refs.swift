/// Records copied with other references.
extension PackedValue {
  /// Copies the value, and lets `replace` write every reference in it, in lists, dicts and grids too.
  public func rewritingRefs(to builder: inout PackedBuilder, _ replace: (UnsafeRawBufferPointer, inout PackedBuilder) -> Void) {
    switch kind {
    case Packed.Kind.ref: if let text { replace(text, &builder) }
    case Packed.Kind.list:
      guard var content else { return }
      let start = builder.open(kind)
      while let value = content.value() { value.rewritingRefs(to: &builder, replace) }
      builder.close(start)
    case Packed.Kind.dict:
      guard var content else { return }
      let start = builder.open(kind)
      content.rewriteTags(to: &builder, replace)
      builder.close(start)
    case Packed.Kind.grid:
      guard var content else { return }
      let start = builder.open(kind)
      content.rewriteGrid(to: &builder, replace)
      builder.close(start)
    default: builder.raw(whole)
    }
  }
}

extension PackedCursor {
  fileprivate mutating func rewriteTags(to builder: inout PackedBuilder, _ replace: (UnsafeRawBufferPointer, inout PackedBuilder) -> Void) {
    while let tag = tag() {
      builder.name(tag.name)
      tag.value.rewritingRefs(to: &builder, replace)
    }
  }

  private mutating func rewriteBlock(to builder: inout PackedBuilder, _ replace: (UnsafeRawBufferPointer, inout PackedBuilder) -> Void)
    -> Bool
  {
    guard var block = block() else { return false }
    let start = builder.openLength()
    block.rewriteTags(to: &builder, replace)
    builder.close(start)
    return true
  }

  fileprivate mutating func rewriteGrid(to builder: inout PackedBuilder, _ replace: (UnsafeRawBufferPointer, inout PackedBuilder) -> Void) {
    guard rewriteBlock(to: &builder, replace), let columns = fixed(UInt32.self) else { return }
    builder.fixed(columns)
    for _ in 0..<columns {
      guard let length = byte(), let name = take(Int(length)) else { return }
      builder.name(name)
      guard rewriteBlock(to: &builder, replace) else { return }
    }
    while rewriteBlock(to: &builder, replace) {}
  }
}
