import FerryPluginKit

private let module = exportModule(name: "systemd-units", version: "1.0", vendor: "Ferry", providers: [SystemdUnitsProvider.self])

/// What the host asks for.
@c(ferry_module_v1) public func ferryModule() -> UnsafePointer<ferry_module>? { module.pointer }
