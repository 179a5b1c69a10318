/// Stands between restic and the channel, as ssh would. restic insists on starting that program itself and on talking to it by descriptors
/// that it makes, so something has to carry bytes between those and the channel: two cats.
enum ResticRelay {
  /// When restic lets go, the cat that reads the channel must not take a byte of what the next restic on it is to get; when the channel
  /// ends, the shell does too, which restic takes for the end of ssh.
  static func command(channel: Int32) -> String {
    "/bin/sh -c 'exec 5<&0; cat <&\(channel) & reader=$!; (cat <&5 >&\(channel); kill $reader 2>/dev/null) & exec >&-; wait $reader'"
  }
}
