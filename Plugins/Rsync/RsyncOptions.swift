import FerryPluginKit
import FerryTree

/// rsync's options for one pass. Both ends compute theirs from the same values, so the destination runs nothing that it was asked to run:
/// a hostile source can choose neither folder nor options.
struct RsyncOptions: Sendable {
  var form = TreeForm()
  var isFinal = false
  var oneFileSystem = false
  var wholeFile = false
  var checksum = false

  init(_ config: RsyncConfig, form: TreeForm, isFinal: Bool) {
    self.form = form
    self.isFinal = isFinal
    oneFileSystem = config.oneFileSystem ?? false
    wholeFile = config.wholeFile ?? false
    checksum = config.checksum ?? false
  }

  /// For the rsync that is started by a person's command line: the source's.
  var client: [String] {
    var options = ["-rlptHS", "--specials", "--numeric-ids", "--force"]
    // By default rsync takes times of the same second for equal, and a file that changed twice in one for unchanged.
    options.append("--modify-window=-1")
    if form.owners { options.append("-go") }
    options.append(form.devices ? "--devices" : "--no-devices")
    if form.accessControl { options.append("-A") }
    if form.attributes != .none { options.append("-X") }
    if form.attributes == .user { options.append("--filter=-x! user.*") }
    if oneFileSystem { options.append("-x") }
    if wholeFile { options.append("-W") }
    if checksum { options.append("-c") }
    if isFinal { options += ["--delete", "--delete-excluded"] }
    return options
  }

  /// For the rsync at the other end of the wire. `abilities` is how the source's rsync names its own.
  func server(abilities: String, folder: String) -> [String] {
    var letters = "lptrHS"
    if form.owners { letters += "go" }
    if form.devices { letters += "D" }
    if form.accessControl { letters += "A" }
    if form.attributes != .none { letters += "X" }
    if oneFileSystem { letters += "x" }
    if wholeFile { letters += "W" }
    if checksum { letters += "c" }
    var options = ["--server", "-\(letters)e\(abilities)", "--force", "-@-1", "--numeric-ids"]
    if !form.devices { options.append("--specials") }
    if isFinal { options.append("--delete-excluded") }
    return options + [".", folder]
  }
}
