import Glibc

/// The wait between two looks at something that gives no notice of a change.
enum Pause {
  static let length = Duration.milliseconds(200)
  static func brief() { usleep(200_000) }
}
