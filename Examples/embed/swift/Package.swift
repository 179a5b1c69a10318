// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "move",
  // A program of your own names Ferry's repository by its URL instead.
  dependencies: [.package(name: "ferry", path: "../../..")],
  targets: [.executableTarget(name: "move", dependencies: [.product(name: "Ferry", package: "ferry")])]
)
