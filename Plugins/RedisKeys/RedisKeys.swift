import FerryPluginKit

private let module = exportModule(name: "redis-keys", version: "1.0", vendor: "Ferry", providers: [RedisKeysProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }
