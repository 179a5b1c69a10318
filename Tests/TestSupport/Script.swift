import FerrySystem
import Glibc

/// A Python program below Tests, with its standard streams. It ends with this object.
public final class Script {
  private let process: ChildProcess
  private let input: Descriptor
  private let output: Descriptor

  /// Starts `Tests/PATH`.
  public init(_ path: String, python: String = "/usr/bin/python3", _ arguments: [String] = []) throws {
    let (read, write) = try Descriptor.pipe()
    let (mine, theirs) = try Descriptor.pipe()
    process = try ChildProcess.spawn(
      [python, "\(Products.repository)/Tests/\(path)"] + arguments, descriptors: [0: mine.number, 1: write.number, 2: 2])
    (input, output) = (theirs, read)
  }

  /// The Python that has rusty-haystack, the server and codecs of others; the first time that is fetched.
  public static func haystackPython() throws -> String {
    let setup = try Command(["\(Products.repository)/Scripts/haystack-venv"], timeout: .seconds(300)).run()
    guard setup.succeeded else { throw FerryError(.internal, "Scripts/haystack-venv: \(setup.reason)") }
    return String(setup.output.prefix { $0 != "\n" })
  }

  /// The next line that it prints.
  public func line() throws -> String {
    var bytes: [UInt8] = []
    while let byte = try output.read(upTo: 1).first, byte != 10 { bytes.append(byte) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Writes a line, and answers the one that comes back.
  @discardableResult public func tell(_ text: String) throws -> String {
    try input.write(Array("\(text)\n".utf8))
    return try line()
  }

  deinit {
    kill(process.pid, SIGKILL)
    process.wait()
  }
}
