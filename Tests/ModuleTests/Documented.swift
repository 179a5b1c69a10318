@testable import SystemdUnitsPlugin

enum Documented { static let units = SystemdUnitsConfig.schema }
