import CLinux
import FerrySystem
import Glibc

/// Tells what changed in a tree while passes run, so that the last one looks at nothing else.
///
/// What it names is at least what changed: everything that was changed before `drain` was called, by system calls, is in what it returns.
/// - An entry that is there no more went with all that was below it.
/// - A file with several names is named as it was called by who changed it; its other names are not. Under a name that is gone by now it is
///   found by fanotify alone, and under one outside of the tree by neither.
/// - What is written through a map or by asynchronous I/O shows when the last holder of the file closes it: ask `OpenFiles` as well.
/// - What is written through an overlay shows in its upper folder if `OverlayTrial` says so: since Linux 6.5.
public final class ChangeTracker: Sendable {
  /// How changes are learned of, best first.
  public enum Method: String, Sendable, Codable, CaseIterable {
    /// One mark on the whole file system; for root.
    case fanotify
    /// One watch per folder; for everybody.
    case inotify
    /// Not at all: every `drain` is incomplete.
    case none
  }

  /// How this one learns of changes.
  public let method: Method
  /// Why it does not do so in a better way; empty if it does, or was not to.
  public let reason: String
  private let reader: ChangeReader?

  /// Starts to track a tree; what changes from here on is known. `best` is the best method to use, `memory` about how many bytes may be
  /// kept of changes that nobody asked for yet.
  public init(root: String, best: Method = .fanotify, memory: Int = 24 << 20) throws {
    (method, reader, reason) = try Self.begin(TreeFolder(root: root), best, memory)
  }

  private static func begin(_ root: TreeFolder, _ best: Method, _ memory: Int) throws -> (Method, ChangeReader?, String) {
    var reasons: [String] = []
    for method in Method.allCases.drop(while: { $0 != best }) {
      do {
        switch method {
        case .fanotify: return (method, try ChangeReader(FanotifyWatcher(root, memory: memory)), "")
        case .inotify: return (method, try ChangeReader(InotifyWatcher(root, memory: memory)), reasons.joined(separator: "; "))
        case .none: break
        }
      } catch { reasons.append("\(method.rawValue): \(FerryError.wrap(error).message)") }
    }
    return (.none, nil, reasons.joined(separator: "; "))
  }

  deinit { stop() }

  /// What changed since it was asked last, or since it started.
  public func drain() -> TreeChanges { reader?.drain() ?? TreeChanges(isComplete: false) }

  /// Ends it; from then on `drain` is incomplete.
  public func stop() { reader?.stop() }
}

/// A way to learn of changes. Its reader sees to it that it is called by one thread at a time.
protocol ChangeWatcher: AnyObject {
  /// Readable when there are events.
  var queue: Descriptor { get }
  /// Takes in what one `read` holds; returns the number of events, 0 if there are none now.
  func consume(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int
  /// What was taken in, and empties it. It becomes paths when it is called, while other events are taken in.
  func take() throws -> () throws -> TreeChanges
}

extension ChangeWatcher {
  /// One `read` of the queue: the bytes read, 0 if there is nothing.
  func readQueue(_ buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    while true {
      let count = read(queue.number, buffer.baseAddress, buffer.count)
      if count >= 0 { return count }
      if errno == EAGAIN { return 0 }
      guard errno == EINTR else { throw FerryError(errno: errno, "cannot read which files changed") }
    }
  }
}
