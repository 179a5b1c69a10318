import CFerryEmbed
import Ferry

/// What a `ferry_manifest` stands for.
final class ManifestHandle: Sendable {
  let manifest: Manifest
  init(_ manifest: Manifest) { self.manifest = manifest }
}

/// The manifest behind a handle.
func manifest(_ handle: OpaquePointer?) throws -> Manifest { try object(handle, ManifestHandle.self).manifest }

/// `ferry_manifest_load`
@_cdecl("ferry_manifest_load")
public func manifestLoad(
  _ engine: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ parameters: UnsafePointer<UnsafePointer<CChar>?>?,
  _ manifest: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) {
    let engine = try object(engine, Engine.self)
    try manifest.put(handle(ManifestHandle(engine.load(told(path, "path"), parameters: Manifest.parameters(list(parameters) ?? [])))))
  }
}

/// `ferry_manifest_parse`
@_cdecl("ferry_manifest_parse")
public func manifestParse(
  _ engine: OpaquePointer?, _ text: UnsafeRawPointer?, _ length: UInt64, _ name: UnsafePointer<CChar>?, _ folder: UnsafePointer<CChar>?,
  _ parameters: UnsafePointer<UnsafePointer<CChar>?>?, _ manifest: UnsafeMutablePointer<OpaquePointer?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) {
    let engine = try object(engine, Engine.self)
    guard length == 0 || text != nil, let length = Int(exactly: length) else { throw FerryError(.invalid, "text is NULL") }
    let bytes = Array(UnsafeRawBufferPointer(start: text, count: length))
    try manifest.put(
      handle(
        ManifestHandle(
          engine.parse(
            bytes, file: told(name, "name"), folder: told(folder, "folder"), parameters: Manifest.parameters(list(parameters) ?? [])))))
  }
}

/// `ferry_manifest_json`
@_cdecl("ferry_manifest_json")
public func manifestJSON(
  _ manifest: OpaquePointer?, _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) { try json.put(text(FerryEmbed.manifest(manifest))) }
}

/// `ferry_manifest_close`
@_cdecl("ferry_manifest_close")
public func manifestClose(_ manifest: OpaquePointer?) { release(manifest, ManifestHandle.self) }

/// `ferry_check`
@_cdecl("ferry_check")
public func check(
  _ engine: OpaquePointer?, _ manifest: OpaquePointer?, _ options: UnsafePointer<ferry_run_options>?,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) {
    let (engine, manifest, options) = (try object(engine, Engine.self), try FerryEmbed.manifest(manifest), try RunOptions(options))
    try json.put(text(waited(on: engine) { try await engine.check(manifest, options: options) }))
  }
}

/// `ferry_plan`
@_cdecl("ferry_plan")
public func plan(
  _ engine: OpaquePointer?, _ manifest: OpaquePointer?, _ options: UnsafePointer<ferry_run_options>?,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ error: ErrorPlace
) -> ferry_status {
  attempt(error) {
    let (engine, manifest, options) = (try object(engine, Engine.self), try FerryEmbed.manifest(manifest), try RunOptions(options))
    try json.put(text(waited(on: engine) { try await engine.plan(manifest, options: options) }))
  }
}
