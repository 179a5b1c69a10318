import CFerryEmbed
import Ferry
import Glibc

/// `ferry_embed_minor`
@_cdecl("ferry_embed_minor")
public func embedMinor() -> UInt32 { FERRY_EMBED_MINOR }

nonisolated(unsafe) private let version: UnsafePointer<CChar>? = strdup(ferryVersion).map { UnsafePointer($0) }

/// `ferry_version`
@_cdecl("ferry_version")
public func libraryVersion() -> UnsafePointer<CChar>? { version }

/// `ferry_engine_open`
@_cdecl("ferry_engine_open")
public func engineOpen(_ options: UnsafePointer<ferry_options>?, _ engine: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorPlace)
  -> ferry_status
{
  attempt(error) { try engine.put(handle(Engine(Engine.Configuration(options)))) }
}

/// `ferry_engine_close`
@_cdecl("ferry_engine_close")
public func engineClose(_ engine: OpaquePointer?) { release(engine, Engine.self) }

/// `ferry_engine_interrupt`
@_cdecl("ferry_engine_interrupt")
public func engineInterrupt(_ engine: OpaquePointer?) { (try? object(engine, Engine.self)).map(interrupt) }

/// `ferry_engine_ask`
@_cdecl("ferry_engine_ask")
public func engineAsk(_ engine: OpaquePointer?, _ run: UnsafePointer<CChar>?, _ what: Int32, _ error: ErrorPlace) -> ferry_status {
  attempt(error) {
    let (engine, run) = (try object(engine, Engine.self), try told(run, "run"))
    switch Int(what) {
    case FERRY_ASK_CANCEL: try engine.cancel(run)
    case FERRY_ASK_PROCEED: try engine.proceed(run)
    case FERRY_ASK_CUTOVER: try engine.cutover(run)
    default: throw FerryError(.unsupported, "nobody can be asked for \(what)", hint: "embed.h names what there is")
    }
  }
}

/// `ferry_engine_history`
@_cdecl("ferry_engine_history")
public func engineHistory(_ engine: OpaquePointer?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace)
  -> ferry_status
{
  attempt(error) { try json.put(text(object(engine, Engine.self).history().map { RunStatus($0) })) }
}

/// `ferry_engine_status`
@_cdecl("ferry_engine_status")
public func engineStatus(
  _ engine: OpaquePointer?, _ run: UnsafePointer<CChar>?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try json.put(text(RunStatus(object(engine, Engine.self).find(told(run, "run"))))) }
}

/// `ferry_engine_receipt`
@_cdecl("ferry_engine_receipt")
public func engineReceipt(
  _ engine: OpaquePointer?, _ run: UnsafePointer<CChar>?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try json.put(text(object(engine, Engine.self).receipt(told(run, "run")))) }
}

/// `ferry_engine_verify`
@_cdecl("ferry_engine_verify")
public func engineVerify(
  _ engine: OpaquePointer?, _ receipt: UnsafePointer<CChar>?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: ErrorPlace
) -> ferry_status {
  attempt(error) {
    let (engine, receipt) = (try object(engine, Engine.self), try told(receipt, "receipt"))
    try json.put(text(waited(on: engine) { try await engine.verify(receipt) }))
  }
}

/// `ferry_engine_cleanup`
@_cdecl("ferry_engine_cleanup")
public func engineCleanup(_ engine: OpaquePointer?, _ run: UnsafePointer<CChar>?, _ error: ErrorPlace) -> ferry_status {
  attempt(error) {
    let (engine, run) = (try object(engine, Engine.self), try told(run, "run"))
    try waited { try await engine.cleanup(run) }
  }
}

/// `ferry_engine_plugins`
@_cdecl("ferry_engine_plugins")
public func enginePlugins(_ engine: OpaquePointer?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace)
  -> ferry_status
{
  attempt(error) { try json.put(text(object(engine, Engine.self).configuration.catalog().plugins())) }
}

/// `ferry_schema`
@_cdecl("ferry_schema")
public func schema(_ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace) -> ferry_status {
  attempt(error) { try json.put(text(ManifestSchema.jsonSchema())) }
}
