import FerryTreeKit

private let module = exportModule(name: "tree", version: "1.0", vendor: "Ferry", providers: [TreeProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }
