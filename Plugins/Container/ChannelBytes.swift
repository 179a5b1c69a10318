import FerryEngineKit
import Glibc

/// Plain bytes on a channel, between two messages; cancelling the call ends it.
struct ChannelBytes {
  private let channel: Int32
  private let context: ProviderContext
  private static let block = 1 << 20

  init(_ channel: Int32, _ context: ProviderContext) {
    self.channel = channel
    self.context = context
  }

  private func wait(_ events: Int32) throws {
    var states = [
      pollfd(fd: channel, events: Int16(events), revents: 0),
      pollfd(fd: context.cancellation.descriptor, events: Int16(POLLIN), revents: 0),
    ]
    while poll(&states, 2, -1) < 0 { guard errno == EINTR else { throw FerryError(errno: errno, "cannot wait for the channel") } }
    try context.checkCancellation()
  }

  func send(_ bytes: UnsafeRawBufferPointer) throws {
    var start = 0
    while start < bytes.count {
      try wait(POLLOUT)
      let sent = Glibc.send(channel, bytes.baseAddress?.advanced(by: start), bytes.count - start, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      if sent < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard sent > 0 else { throw FerryError(.peer, "the other end closed the channel") }
      start += sent
    }
  }

  func send(file path: String, _ size: Int64) throws {
    let file = try Descriptor.open(path, O_RDONLY)
    var left = size
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.block, alignment: 4096)
    defer { buffer.deallocate() }
    while left > 0 {
      let count = read(file.number, buffer.baseAddress, min(buffer.count, Int(clamping: left)))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw FerryError(.io, "\(path) ended early") }
      try send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      left -= Int64(count)
    }
  }

  func receive(_ size: Int64, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    var left = size
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.block, alignment: 4096)
    defer { buffer.deallocate() }
    while left > 0 {
      try wait(POLLIN)
      let count = recv(channel, buffer.baseAddress, min(buffer.count, Int(clamping: left)), 0)
      if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
      guard count > 0 else { throw FerryError(.peer, "the other end closed the channel") }
      try body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
      left -= Int64(count)
    }
  }

  func receive(_ size: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    try receive(Int64(size)) { bytes.append(contentsOf: $0) }
    return bytes
  }
}
