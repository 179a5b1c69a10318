import CFerry
import FerrySystem
import Glibc

extension HostServices {
  /// The services by name. The tables are the same for every host and live as long as the process.
  nonisolated(unsafe) private static let tables: [String: UnsafeRawPointer] = [
    "ferry.log/1": forever(logTable), "ferry.progress/1": forever(progressTable), "ferry.kv/1": forever(kvTable),
    "ferry.secret/1": forever(secretTable), "ferry.tmp/1": forever(tmpTable), "ferry.json/1": forever(jsonTable),
    "ferry.process/1": forever(processTable),
  ]

  private static func forever<Table>(_ table: Table) -> UnsafeRawPointer {
    let memory = UnsafeMutablePointer<Table>.allocate(capacity: 1)
    memory.initialize(to: table)
    return UnsafeRawPointer(memory)
  }

  private static func size<Table>(_ type: Table.Type) -> UInt32 { UInt32(MemoryLayout<Table>.size) }

  static func makeTable() -> UnsafeMutablePointer<ferry_host> {
    let host = UnsafeMutablePointer<ferry_host>.allocate(capacity: 1)
    host.initialize(to: ferry_host())
    host.pointee.struct_size = size(ferry_host.self)
    host.pointee.fail = { host, message, hint in services(of: host)?.setFailure(string(message), string(hint)) }
    host.pointee.reply = { host, json in services(of: host)?.setReply(string(json)) }
    host.pointee.get_service = { _, name in HostServices.tables[string(name)] }
    return host
  }

  private static var logTable: ferry_log {
    var table = ferry_log()
    table.struct_size = size(ferry_log.self)
    table.write = { host, level, message in services(of: host)?.log(LogLevel(rawValue: level) ?? .error, string(message)) }
    return table
  }

  private static var progressTable: ferry_progress {
    var table = ferry_progress()
    table.struct_size = size(ferry_progress.self)
    table.report = { host, report in
      guard let report = report?.pointee else { return }
      services(of: host)?.progress(
        ProgressReport(
          bytes: report.bytes, bytesTotal: report.bytes_total, entries: report.entries, entriesTotal: report.entries_total))
    }
    return table
  }

  private static var kvTable: ferry_kv {
    var table = ferry_kv()
    table.struct_size = size(ferry_kv.self)
    table.get = { host, key, buffer, capacity, length in
      attempt(host) { services in copyOut(try services.memory.get(string(key)), buffer, capacity, length) }
    }
    table.put = { host, key, value, length in
      attempt(host) { services in
        guard length == 0 || value != nil else { throw FerryError(.invalid, "a value is NULL") }
        guard length <= UInt64(HostMemory.valueLimit) else {
          throw FerryError(.invalid, "a value of '\(string(key))' has \(length) bytes and may have \(HostMemory.valueLimit)")
        }
        try services.memory.put(string(key), Array(UnsafeRawBufferPointer(start: value, count: Int(length))))
        return 0
      }
    }
    table.remove = { host, key in
      attempt(host) { services in
        try services.memory.remove(string(key))
        return 0
      }
    }
    return table
  }

  private static var secretTable: ferry_secret {
    var table = ferry_secret()
    table.struct_size = size(ferry_secret.self)
    table.get = { host, name, buffer, capacity, length in
      attempt(host) { services in copyOut(services.secret(string(name)), buffer, capacity, length) }
    }
    return table
  }

  private static var tmpTable: ferry_tmp {
    var table = ferry_tmp()
    table.struct_size = size(ferry_tmp.self)
    table.path = { host in services(of: host)?.temporaryFolder }
    return table
  }

  private static var jsonTable: ferry_json {
    var table = ferry_json()
    table.struct_size = size(ferry_json.self)
    table.get = { _, json, pointer, buffer, capacity, length in
      guard let value = try? JSONValue(parsing: string(json)) else { return ErrorClass.invalid.status }
      guard let found = value.at(pointer: string(pointer)) else { return ErrorClass.notFound.status }
      let text = Array((found.string ?? found.text).utf8)
      length?.pointee = UInt64(text.count)
      if let buffer, capacity > 0 {
        let count = min(text.count, Int(clamping: capacity) - 1)
        UnsafeMutableRawPointer(buffer).copyMemory(from: text, byteCount: count)
        buffer[count] = 0
      }
      return 0
    }
    return table
  }

  private static var processTable: ferry_process {
    var table = ferry_process()
    table.struct_size = size(ferry_process.self)
    table.run = { host, command, exitCode, errors, capacity in
      attempt(host) { services in
        guard let command else { throw FerryError(.invalid, "a command is NULL") }
        let outcome = try services.run(try swiftCommand(command.pointee))
        exitCode?.pointee = outcome.code
        if let errors, capacity > 0 {
          let kept = Array(outcome.errors.utf8.suffix(min(4096, Int(clamping: capacity) - 1)))
          UnsafeMutableRawPointer(errors).copyMemory(from: kept, byteCount: kept.count)
          errors[kept.count] = 0
        }
        return outcome.cancelled ? ErrorClass.cancelled.status : 0
      }
    }
    return table
  }
}

// Functions of the file: a C function carries no type.

private func services(of host: UnsafePointer<ferry_host>?) -> HostServices? {
  host?.pointee.context.map { Unmanaged<HostServices>.fromOpaque($0).takeUnretainedValue() }
}

private func string(_ text: UnsafePointer<CChar>?) -> String { text.map { String(cString: $0) } ?? "" }

private func swiftCommand(_ command: ferry_command) throws -> Command {
  func list(_ pointer: UnsafePointer<UnsafePointer<CChar>?>?) -> [String] {
    var strings: [String] = []
    while let text = pointer?[strings.count] { strings.append(String(cString: text)) }
    return strings
  }
  guard command.flags == 0 else { throw FerryError(.unsupported, "a command has flags that this host does not know") }
  var result = Command(list(command.argv))
  for pair in list(command.envp) {
    guard let equals = pair.firstIndex(of: "=") else { throw FerryError(.invalid, "an environment entry has no '='") }
    result.environment[String(pair[..<equals])] = String(pair[pair.index(after: equals)...])
  }
  result.directory = command.directory.map { String(cString: $0) }
  if command.stdin_fd >= 0 { result.input = .descriptor(command.stdin_fd) }
  if command.stdout_fd >= 0 { result.output = .descriptor(command.stdout_fd) }
  return result
}

/// Runs a service; an error becomes a status, and its words go to the log since only the provider knows what it was about.
private func attempt(_ host: UnsafePointer<ferry_host>?, _ body: (HostServices) throws -> ferry_status) -> ferry_status {
  guard let services = services(of: host) else { return ErrorClass.internal.status }
  do { return try body(services) } catch {
    let failure = FerryError.wrap(error)
    services.log(.error, failure.message)
    return failure.class.status
  }
}

private func copyOut(
  _ value: [UInt8]?, _ buffer: UnsafeMutableRawPointer?, _ capacity: UInt64, _ length: UnsafeMutablePointer<UInt64>?
) -> ferry_status {
  guard let value else { return ErrorClass.notFound.status }
  length?.pointee = UInt64(value.count)
  buffer?.copyMemory(from: value, byteCount: min(value.count, Int(clamping: capacity)))
  return 0
}

extension JSONValue {
  /// The value at a JSON Pointer (RFC 6901), or nil.
  fileprivate func at(pointer: String) -> JSONValue? {
    if pointer.isEmpty { return self }
    guard pointer.hasPrefix("/") else { return nil }
    var value = self
    for part in pointer.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      let key = part.split(separator: "~1", omittingEmptySubsequences: false).joined(separator: "/")
        .split(separator: "~0", omittingEmptySubsequences: false).joined(separator: "~")
      let next = value.array.flatMap { list in Int(key).flatMap { list.indices.contains($0) ? list[$0] : nil } } ?? value[key]
      guard let next else { return nil }
      value = next
    }
    return value
  }
}
