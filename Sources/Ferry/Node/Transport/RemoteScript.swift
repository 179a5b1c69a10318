import FerrySystem

/// What is run on a node over ssh: one line for a POSIX shell.
///
/// It does not travel as an argument. The node's login shell, whatever it is, is asked for `/bin/sh` and one constant; `sh` then reads the line
/// from stdin, byte by byte, so that what follows the line is the program's. Nothing has to be quoted for an unknown shell, and nobody reads it
/// in a list of processes.
struct RemoteScript: Sendable {
  /// What the login shell is given: good in sh, bash, zsh, ksh, csh and fish alike.
  static let loader = "exec /bin/sh -c 'IFS= read -r line && eval \"$line\"'"

  /// Printed on a line of its own, with what follows it, when everything before it was noise.
  let marker = "ferry-\(Hex.random(16))"
  private(set) var text: String

  /// A script whose `$mark` is the marker. With `sudo` all of it runs as root; sudo asks nobody for a password.
  init(_ body: String, sudo: Bool = false) throws {
    text = "mark=\(marker); PATH=$PATH:/usr/local/bin:/usr/bin:/bin; export PATH; \(body)"
    if sudo { text = "LC_ALL=C; export LC_ALL; exec sudo -n -- /bin/sh -c \(Self.quoted(text))" }
    guard !text.utf8.contains(10), !text.utf8.contains(0) else {
      throw FerryError(.invalid, "a path or name for the other node holds a line feed", hint: "nothing was changed")
    }
  }

  /// The line as it goes into the stream.
  var line: [UInt8] { Array(text.utf8) + [10] }

  /// Starts `ferry`, looked up in PATH.
  static func ferry(_ arguments: [String]) -> String {
    "command -v ferry >/dev/null || { echo \"$mark missing\"; exit 0; }; echo \"$mark ready\"; exec ferry \(arguments.map(quoted).joined(separator: " "))"
  }

  /// One word for a POSIX shell.
  static func quoted(_ word: String) -> String {
    "'\(word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''"))'"
  }
}
