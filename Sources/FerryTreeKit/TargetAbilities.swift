import FerryPluginKit
import FerryTree
import Glibc

/// What a destination's `check` tells the source's: what can be held there, found by trying, so that the source can name what of its tree cannot.
public struct TargetAbilities: Codable, Sendable {
  /// What can be held.
  public var fileSystem: FileSystemAbilities
  /// Where, for people.
  public var place: String

  /// Of what is to be below a folder, which has to be there.
  public init(in folder: String) throws { (fileSystem, place) = (try FileSystemAbilities(in: folder), folder) }

  /// The same where ids go through a map: those outside of it cannot be owners.
  public func limited(by owners: IDMap?) -> TargetAbilities {
    guard let owners else { return self }
    var limited = self
    let highest = [owners.users, owners.groups].map { $0.map { $0.inside + ($0.count - 1) }.max() ?? 0 }.min() ?? 0
    limited.fileSystem.largestID = min(fileSystem.largestID, highest)
    return limited
  }

  /// What of a tree will not survive there: what both ends leave out is a warning, what the run would fail for an error.
  public func notices(for root: String, _ options: TreeOptions, as name: String) throws -> [CheckReport.Notice] {
    fileSystem.losses(of: try TreeNeeds(root: root, options: options)).map { loss in
      .init(
        loss.isLeftOut ? .warning : .error, "not all of \(name) can be kept in \(place): \(loss.text)",
        hint: loss.isLeftOut
          ? "it is left out, at both ends of the proof as well" : "choose a target on another file system, or leave these out"
      )
    }
  }
}

extension CheckReport.Notice {
  /// That some of any tree would be lost in a folder, whatever the tree holds; nil if nothing would.
  public static func lost(_ form: TreeForm, in folder: String) -> CheckReport.Notice? {
    let lost = form.losses
    if lost.isEmpty { return nil }
    let cause = geteuid() != 0 ? "without root" : "on the file system of \(folder)"
    return .init(.warning, "\(lost.joined(separator: ", ")) cannot be kept \(cause); they are left out of the proof as well")
  }
}
