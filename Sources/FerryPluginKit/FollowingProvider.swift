/// A provider whose passes stay (`Pass.stay`), and can be told to end one sooner.
public protocol FollowingProvider: StateProvider {
  /// Source: the running pass is to end soon and in good order, as when its time is over. Called from any thread, perhaps several times, perhaps
  /// when the pass has ended; must not wait.
  func windUp()
}
