import CFerryEmbed
import Ferry
import Glibc

/// Where a function puts its error.
public typealias ErrorPlace = UnsafeMutablePointer<UnsafeMutablePointer<ferry_error>?>?

/// Does what a function is for; a failure becomes its status and its error.
func attempt(_ place: ErrorPlace, _ body: () throws -> Void) -> ferry_status {
  place?.pointee = nil
  do {
    try body()
    return 0
  } catch {
    return fail(place, ResultLine(error))
  }
}

/// Hands out an error, if there is one, and answers its class.
func fail(_ place: ErrorPlace, _ line: ResultLine) -> ferry_status {
  guard let failure = line.error else { return 0 }
  if let place {
    let error = UnsafeMutablePointer<ferry_error>.allocate(capacity: 1)
    let json = (try? JSONValue.encode(line)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    error.initialize(
      to: ferry_error(
        struct_size: UInt32(MemoryLayout<ferry_error>.size), status: failure.class.status, exit_code: line.exit.rawValue, reserved: 0,
        class_name: strdup(failure.class.rawValue), code: strdup(failure.code ?? ""), message: strdup(failure.message),
        hint: strdup(failure.hint), json: strdup(json)))
    place.pointee = error
  }
  return failure.class.status
}

/// `ferry_error_free`
@_cdecl("ferry_error_free")
public func errorFree(_ error: UnsafeMutablePointer<ferry_error>?) {
  guard let error else { return }
  for text in [error.pointee.class_name, error.pointee.code, error.pointee.message, error.pointee.hint, error.pointee.json] {
    free(UnsafeMutablePointer(mutating: text))
  }
  error.deallocate()
}

/// `ferry_free`
@_cdecl("ferry_free")
public func textFree(_ text: UnsafeMutablePointer<CChar>?) { free(text) }
