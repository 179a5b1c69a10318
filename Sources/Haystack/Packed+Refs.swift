/// Reads a record's tags and copies them: what stays as it is in pieces that are as long as possible.
public struct PackedCopier {
  private var cursor: PackedCursor
  /// Where the tag begins that was read last, and what of all before it is not copied yet.
  private var start = 0
  private var copied = 0

  /// Over a record's tags.
  public init(_ tags: UnsafeRawBufferPointer) { cursor = PackedCursor(tags) }

  /// The next tag, or nil at the end.
  public mutating func next() -> (name: UnsafeRawBufferPointer, value: PackedValue)? {
    start = cursor.position
    return cursor.tag()
  }

  /// Copies all up to the tag that was read last, or, at the end, all.
  public mutating func catchUp(_ builder: inout PackedBuilder) {
    if start > copied { builder.raw(UnsafeRawBufferPointer(rebasing: cursor.bytes[copied..<start])) }
    copied = start
  }

  /// The same, and passes over that tag: its place is free for another.
  public mutating func passOver(_ builder: inout PackedBuilder) {
    catchUp(&builder)
    copied = cursor.position
  }

  /// The same for a tag in which `replace` writes every reference.
  public mutating func rewriteRefs(
    _ tag: (name: UnsafeRawBufferPointer, value: PackedValue), to builder: inout PackedBuilder,
    _ replace: (UnsafeRawBufferPointer, inout PackedBuilder) -> Void
  ) {
    guard tag.value.mayRefer else { return }
    passOver(&builder)
    builder.name(tag.name)
    tag.value.rewritingRefs(to: &builder, replace)
  }
}

/// Records copied with other references.
extension PackedValue {
  /// Whether it is a reference, or something in which one may be.
  var mayRefer: Bool { kind == Packed.Kind.ref || kind >= Packed.Kind.list }

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
