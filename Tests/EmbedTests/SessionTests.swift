import Ferry
import FerrySystem
import Glibc
import RunSupport
import TestSupport
import Testing

/// The same through `import Ferry`.
@Suite("Engine.Session") struct SessionTests {
  @Test("the events are an async sequence, from the session's first to its end")
  func sequence() async throws {
    let world = try World()
    let session = try world.engine.start(.run(world.manifest()))
    var kinds: [Event.Kind] = []
    for await event in session.events {
      #expect(event.run == session.run)
      kinds.append(event.kind)
    }
    #expect(kinds.first == .session && kinds.last == .ended)
    let result = try await session.result
    #expect(result.status == .done && result.run == session.run)
    #expect(session.isOver && session.next() == nil)
    #expect(try world.complaints(serving: "b") == [])
  }

  @Test("a task that reads and is cancelled leaves the run at work; a thread reads the rest")
  func abandoned() async throws {
    let world = try World()
    let session = try world.engine.start(.run(world.manifest { $0.cutover.holdBefore = [.seal] }))
    let reader = Task {
      for await event in session.events where event.kind == .waiting { return true }
      return false
    }
    #expect(await reader.value)
    let idle = Task { for await _ in session.events {} }
    idle.cancel()
    await idle.value
    #expect(!session.isOver)
    try world.engine.proceed(session.run)
    #expect(try await session.result.exit == .done)
    var last: Event?
    while let event = session.next(atMost: .seconds(60)) { last = event }
    #expect(last?.kind == .ended)
  }

  @Test("the descriptor is readable exactly while there is something to read, and for good at the end")
  func descriptor() throws {
    let world = try World()
    let session = try world.engine.start(.run(world.manifest { $0.cutover.holdBefore = [.seal] }))
    func isReadable(_ patience: Int32) -> Bool {
      var state = pollfd(fd: session.descriptor, events: Int16(POLLIN), revents: 0)
      return poll(&state, 1, patience) == 1
    }
    // Whatever comes late is read as well: nothing comes any more while the run waits.
    var isWaiting = false
    while !isWaiting {
      #expect(isReadable(60_000))
      while let event = session.next(atMost: .zero) { isWaiting = isWaiting || event.kind == .waiting }
    }
    #expect(!isReadable(0) && session.next(atMost: .milliseconds(1)) == nil)
    session.cancel()
    #expect(isReadable(60_000))
    #expect(try session.wait().exit == .interrupted)
    while session.next(atMost: .zero) != nil {}
    #expect(isReadable(0) && session.isOver)
    #expect(try world.complaints(serving: "a") == [])
  }

  @Test("a check and a plan end with their task", arguments: [false, true])
  func visits(plans: Bool) async throws {
    let world = try World()
    try Misbehaviour.install(in: world)
    try world.folder.write("misbehave", "source check wait")
    let manifest = world.manifest()
    let task = Task { if plans { _ = try await world.engine.plan(manifest) } else { _ = try await world.engine.check(manifest) } }
    // On a thread: the pool that the task needs is small.
    try await Threads.run { try waitFor("the plugin to be asked") { Files.exists(world.folder("misbehave-reached")) } }
    task.cancel()
    let error = await #expect(throws: FerryError.self) { try await task.value }
    #expect(error?.class == .cancelled, "\(String(describing: error))")
    try await Threads.run { try waitFor("the visits' agents to end") { world.processes().isEmpty } }
  }

  @Test("a session that cannot take its run up says why in its result")
  func taken() async throws {
    let world = try World()
    let session = try world.engine.start(.run(world.manifest { $0.cutover.holdBefore = [.seal] }))
    while let event = session.next(atMost: .seconds(60)), event.kind != .waiting {}
    let second = try world.engine.start(.resume(session.run))
    #expect(second.next() == nil)
    #expect(throws: FerryError.self) { try second.wait() }
    let locked = await #expect(throws: FerryError.self) { try await second.result }
    #expect(locked.map { ResultLine($0).exit } == .locked)
    session.cancel()
    #expect(try session.wait().exit == .interrupted)
    // What was undone can be undone no further.
    let undone = await #expect(throws: FerryError.self) { try await world.engine.start(.rollback(session.run)).result }
    #expect(undone.map { ResultLine($0).exit } == .checkFailed)
  }

  @Test("a wait before a phase that the run has not is refused before anything begins")
  func misfit() throws {
    let world = try World()
    var options = RunOptions()
    options.holdBefore = [.seal]
    let error = #expect(throws: FerryError.self) { try world.engine.start(.run(world.manifest(.copy), options)) }
    #expect(error?.class == .invalid)
    #expect(try world.engine.history().isEmpty)
  }

  @Test("progress that nobody has fetched gives way to newer progress, and nothing else does")
  func overtaken() throws {
    let world = try World()
    let session = try world.engine.start(.run(world.manifest()))
    _ = try session.wait()
    var events: [Event] = []
    while let event = session.next(atMost: .zero) { events.append(event) }
    var offset = 0
    let kept = try world.engine.events(session.run, from: &offset)
    #expect(events.filter { $0.kind != .progress } == kept)
    for (one, next) in zip(events, events.dropFirst()) where one.kind == .progress && next.kind == .progress {
      #expect(one.item != next.item || one.side != next.side)
    }
  }
}
