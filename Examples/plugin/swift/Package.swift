// swift-tools-version: 6.1
import PackageDescription

let package = Package(
  name: "example-file",
  products: [.library(name: "example-file", type: .dynamic, targets: ["ExampleFile"])],
  dependencies: [.package(name: "ferry", path: "../../..")],
  targets: [.target(name: "ExampleFile", dependencies: [.product(name: "FerryPluginKit", package: "ferry")])]
)
