@_exported import struct FerrySystem.FerryError
@_exported import enum FerrySystem.ErrorClass
@_exported import enum FerrySystem.JSONValue

/// This release of Ferry.
public let ferryVersion = "0.1.0"
