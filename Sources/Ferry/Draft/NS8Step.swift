import FerrySystem
import Glibc

/// A numbered executable of one of a module's actions.
struct NS8Step: Hashable {
  /// The action's folder: `clone-module`.
  var action: String
  /// The file's name, which begins with two digits: `50traefik`.
  var name: String

  /// The two digits.
  var number: Int { Int(name.prefix(2)) ?? 0 }
  /// The actions that have a place in a run.
  static let actions = ["create-module", "configure-module", "clone-module", "transfer-state", "restore-module", "destroy-module"]

  /// What the core of NethServer puts into these actions and Ferry does itself: a module that overrides one of them needs a person.
  private static let core: [String: Set<String>] = [
    "create-module": ["05create_volumes", "05pullimages", "10selfadm_role"],
    "clone-module": ["02pullrsync", "05create_volumes", "10recvstate", "90finalize"],
    "transfer-state": ["01set_weight", "02pullrsync", "05waitserver", "10sendpayload", "50sendstate"],
    "restore-module": ["00progress", "05replace", "10restore", "20label", "20note"],
    "destroy-module": ["95cleanup_images"],
  ]

  /// The steps of an image root in the order that the agent runs them in, and what a person should know of the others.
  static func read(_ imageRoot: String) -> (steps: [NS8Step], notes: [String]) {
    var steps: [NS8Step] = []
    var notes: [String] = []
    for action in actions {
      for name in Files.names(in: "\(imageRoot)/actions/\(action)").sorted() where !name.hasSuffix(".json") && !name.hasPrefix(".") {
        let path = "actions/\(action)/\(name)"
        let digits = name.utf8.prefix(2)
        if digits.count < 2 || !digits.allSatisfy({ (48...57).contains($0) }) || name.utf8.count < 3 {
          notes.append("\(path) has no two digits in front and became no hook")
        } else if Self.core[action]?.contains(name) == true {
          notes.append("\(path) takes the place of a step of NethServer's core that Ferry does itself, and became no hook")
        } else if access("\(imageRoot)/\(path)", X_OK) != 0 {
          notes.append("\(path) is not executable and became no hook")
        } else {
          steps.append(NS8Step(action: action, name: name))
        }
      }
    }
    return (steps, notes)
  }
}

/// A hook that runs a program of an instance of a module as the instance's agent would.
struct NS8Hook {
  /// The parameter that has the instance's id: `from` or `to`.
  var instance: String
  /// The instance's folder below its id, with its slash: `/.config` of a rootless module.
  var folder: String
  /// Whether root runs the hook, and the module's own user the program.
  var asUser = false
  /// What it is for, as a sentence.
  var comment: String
  /// Lines before the program.
  var before: [String] = []
  /// The program, below the instance's folder, with its arguments as the shell reads them.
  var program: String
  /// The jq that makes its input.
  var reader = "jq -c"
  /// What it makes of the hook's own input: a filter of jq, after options if there are any.
  var input = "'{}'"
  /// Lines after the program.
  var after: [String] = []

  /// The hook's file. A hook is one file, so each has all of this.
  var text: String {
    let lines = before + ["printf %s \"$call\" | \(reader) \(input) | \(Self.prefix(asUser))\"$folder\"/\(program) >&2"] + after
    return """
      #!/bin/sh
      # \(comment)
      # The program is the instance's own. It is run as its agent runs it: in state/, with its environment, JSON on stdin.
      set -eu
      call=$(cat)
      tell() { printf %s "$call" | jq -r "$1"; }

      id=$(tell .parameters.\(instance))
      folder=$(tell .parameters.home)/$id\(folder)
      \(asUser ? Self.asModule : Self.begin)

      \(lines.joined(separator: "\n"))

      """
  }

  /// What stands before a command of the module's own.
  static func prefix(_ asUser: Bool) -> String { asUser ? "as_module " : "" }

  /// Makes the shell what the agent would start a step in. No single quote: it may stand between two.
  private static let begin = """
    cd "$folder/state"
    for file in agent.env environment; do
      [ -r "$file" ] || continue
      while IFS= read -r line || [ -n "$line" ]; do
        case ${line%%=*} in "$line" | "" | [0-9]* | *[!A-Za-z0-9_]*) ;; *) export "$line" ;; esac
      done <"$file"
    done
    export MODULE_ID="$id" AGENT_INSTALL_DIR="$folder" AGENT_STATE_DIR="$folder/state" PATH="$folder/bin:$PATH"
    """

  /// The same in a shell of the module's user: nothing that this user can write, no variable and no program, plays a part for root.
  private static let asModule = """
    as_module() {
      runuser -u "$id" -- env -i HOME="${folder%/*}" XDG_RUNTIME_DIR="/run/user/$(id -u "$id")" PATH="$PATH" sh -euc '
    id=$1 folder=$2
    shift 2
    \(begin)
    exec "$@"' module "$id" "$folder" "$@"
    }
    """
}
