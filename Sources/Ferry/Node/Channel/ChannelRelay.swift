import CLinux
import FerrySystem
import Glibc

/// Joins two streams inside the kernel, both ways, until both directions have ended. What they carry is the business of the agents at their ends.
enum ChannelRelay {
  /// A stream: what is read from it and what is written to it; the same descriptor twice for a socket.
  struct End: Sendable {
    var input: Descriptor
    var output: Descriptor

    init(input: Descriptor, output: Descriptor) { (self.input, self.output) = (input, output) }
    init(_ socket: Descriptor) { self.init(input: socket, output: socket) }
  }

  /// Begins, and returns; `onEnd` is told when both directions have ended.
  static func join(_ left: End, _ right: End, onEnd: @escaping @Sendable () -> Void = {}) {
    let ended = Lock(0)
    for (from, to) in [(left, right), (right, left)] {
      Threads.detach {
        SignalMask.blockPipe()
        if !move(from.input, to.output) {
          // The reader has gone: the writer must not wait for it.
          _ = shutdown(from.input.number, Int32(SHUT_RDWR))
        }
        if shutdown(to.output.number, Int32(SHUT_WR)) != 0 { to.output.close() }
        let last = ended.withLock { ended in
          ended += 1
          return ended == 2
        }
        if last { onEnd() }
      }
    }
  }

  /// Until the end of the input (true), or until nobody takes the output.
  private static func move(_ input: Descriptor, _ output: Descriptor) -> Bool {
    guard let pipe = try? Descriptor.pipe() else { return false }
    let chunk: UInt64 = 1 << 20
    _ = clinux_pipe_size(pipe.write.number, Int32(chunk))
    while true {
      let got = clinux_splice(input.number, pipe.write.number, chunk, 0)
      if got == Int64(-EINTR) { continue }
      guard got > 0 else { return true }
      var left = got
      while left > 0 {
        let put = clinux_splice(pipe.read.number, output.number, UInt64(left), 0)
        if put == Int64(-EINTR) { continue }
        guard put > 0 else { return false }
        left -= put
      }
    }
  }
}

/// `ferry link`: the far end of a relayed channel on a node. Its stdio is the controller's stream; behind it is the agent's unix socket.
/// The first bytes that the controller sends are the socket's token, so neither an argument nor a variable tells it.
enum LinkProcess {
  static func run(home: String, channel: String) throws {
    let socket = try ChannelLink.open(home: home, name: channel)
    let over = Signal()
    ChannelRelay.join(.init(input: Descriptor(0), output: Descriptor(1)), .init(socket)) { over.raise() }
    over.wait()
  }
}
