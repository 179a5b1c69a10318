import CFerryEmbed
import Ferry
import Glibc

/// What a `ferry_session` stands for: a session as lines. One thread reads them; all else may come from any.
final class SessionHandle: @unchecked Sendable {
  let session: Engine.Session
  let id: UnsafeMutablePointer<CChar>
  private var line: UnsafeMutablePointer<CChar>?
  /// Whether the result was told.
  private(set) var isTold = false

  init(_ session: Engine.Session) throws {
    self.session = session
    id = try copied(session.run)
  }

  deinit {
    free(line)
    free(id)
  }

  /// How the session has ended, waiting for it.
  var result: ResultLine { do { return ResultLine(try session.wait()) } catch { return ResultLine(error) } }

  /// The next line, the result among them; nil: none came in time, or all were told.
  func next(_ timeout: Int32) -> UnsafePointer<CChar>? {
    free(line)
    line = nil
    if let event = session.next(atMost: timeout < 0 ? nil : .milliseconds(timeout)) {
      line = try? text(event)
    } else if !isTold, session.isOver {
      isTold = true
      line = try? text(result)
    }
    return UnsafePointer(line)
  }
}

/// Begins a session and hands it out.
private func begin(_ engine: OpaquePointer?, _ session: UnsafeMutablePointer<OpaquePointer?>?, _ work: Engine.Work) throws {
  let engine = try object(engine, Engine.self)
  try session.put(handle(SessionHandle(engine.start(work))))
}

/// `ferry_session_run`
@_cdecl("ferry_session_run")
public func sessionRun(
  _ engine: OpaquePointer?, _ manifest: OpaquePointer?, _ options: UnsafePointer<ferry_run_options>?,
  _ session: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try begin(engine, session, .run(FerryEmbed.manifest(manifest), RunOptions(options))) }
}

/// `ferry_session_transfer`
@_cdecl("ferry_session_transfer")
public func sessionTransfer(
  _ engine: OpaquePointer?, _ manifest: OpaquePointer?, _ options: UnsafePointer<ferry_run_options>?,
  _ session: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try begin(engine, session, .transfer(FerryEmbed.manifest(manifest), RunOptions(options))) }
}

/// `ferry_session_receive`
@_cdecl("ferry_session_receive")
public func sessionReceive(
  _ engine: OpaquePointer?, _ manifest: OpaquePointer?, _ snapshot: UnsafePointer<CChar>?, _ session: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try begin(engine, session, .receive(FerryEmbed.manifest(manifest), .snapshot(told(snapshot, "snapshot")))) }
}

/// `ferry_session_resume`
@_cdecl("ferry_session_resume")
public func sessionResume(
  _ engine: OpaquePointer?, _ run: UnsafePointer<CChar>?, _ session: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try begin(engine, session, .resume(told(run, "run"))) }
}

/// `ferry_session_rollback`
@_cdecl("ferry_session_rollback")
public func sessionRollback(
  _ engine: OpaquePointer?, _ run: UnsafePointer<CChar>?, _ flags: UInt32, _ session: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: ErrorPlace
) -> ferry_status {
  attempt(error) {
    try demand(flags, among: FERRY_DISCARD_DESTINATION_WRITES, "ferry_session_rollback")
    let discard = flags & UInt32(FERRY_DISCARD_DESTINATION_WRITES) != 0
    try begin(engine, session, .rollback(told(run, "run"), discardDestinationWrites: discard))
  }
}

/// `ferry_session_id`
@_cdecl("ferry_session_id")
public func sessionID(_ session: OpaquePointer?) -> UnsafePointer<CChar>? {
  (try? object(session, SessionHandle.self)).map { UnsafePointer($0.id) }
}

/// `ferry_session_fd`
@_cdecl("ferry_session_fd")
public func sessionDescriptor(_ session: OpaquePointer?) -> Int32 { (try? object(session, SessionHandle.self))?.session.descriptor ?? -1 }

/// `ferry_session_next`
@_cdecl("ferry_session_next")
public func sessionNext(_ session: OpaquePointer?, _ timeout: Int32) -> UnsafePointer<CChar>? {
  (try? object(session, SessionHandle.self))?.next(timeout)
}

/// `ferry_session_is_over`
@_cdecl("ferry_session_is_over")
public func sessionIsOver(_ session: OpaquePointer?) -> Int32 {
  let session = try? object(session, SessionHandle.self)
  return session?.isTold ?? true ? 1 : 0
}

/// `ferry_session_cancel`
@_cdecl("ferry_session_cancel")
public func sessionCancel(_ session: OpaquePointer?) { (try? object(session, SessionHandle.self))?.session.cancel() }

/// `ferry_session_result`
@_cdecl("ferry_session_result")
public func sessionResult(_ session: OpaquePointer?, _ exitCode: UnsafeMutablePointer<Int32>?, _ error: ErrorPlace) -> ferry_status {
  var line: ResultLine?
  let failed = attempt(error) { line = try object(session, SessionHandle.self).result }
  guard let line else { return failed }
  exitCode?.pointee = line.exit.rawValue
  return fail(error, line)
}

/// `ferry_session_close`
@_cdecl("ferry_session_close")
public func sessionClose(_ session: OpaquePointer?) {
  guard let running = try? object(session, SessionHandle.self) else { return }
  running.session.cancel()
  _ = running.result
  release(session, SessionHandle.self)
}
