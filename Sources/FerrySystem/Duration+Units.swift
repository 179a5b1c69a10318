extension Duration {
  /// The number of seconds.
  public var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }

  /// Whole milliseconds for `poll`, rounded up so that nobody wakes early only to wait again; 0 if it has passed already.
  public var inMilliseconds: Int32 {
    let milliseconds = (inSeconds * 1000).rounded(.up)
    return milliseconds < Double(Int32.max) ? Int32(max(0, milliseconds)) : .max
  }
}
