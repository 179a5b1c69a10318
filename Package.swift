// swift-tools-version: 6.1
import PackageDescription

// CI sets FERRY_WARNINGS=error; a developer's half-finished change still builds.
let strict: [SwiftSetting] =
  Context.environment["FERRY_WARNINGS"] == "error" ? [.unsafeFlags(["-warnings-as-errors"])] : []

/// A plugin is one folder below Plugins and one dynamic library.
func plugin(_ name: String, folder: String, dependencies: [Target.Dependency]) -> (Product, Target) {
  let target = "\(folder)Plugin"
  return (
    .library(name: "ferry-plugin-\(name)", type: .dynamic, targets: [target]),
    .target(
      name: target, dependencies: dependencies, path: "Plugins/\(folder)", exclude: ["README.md"], publicHeadersPath: ".",
      swiftSettings: strict)
  )
}

let plugins = [
  plugin("example", folder: "Example", dependencies: ["CFerry"]),
  plugin("podman-volume", folder: "PodmanVolume", dependencies: ["FerryArchive", "FerryEngineKit"]),
  plugin("docker-layer", folder: "DockerLayer", dependencies: ["FerryArchive", "FerryEngineKit"]),
  plugin("record-clone", folder: "RecordClone", dependencies: ["FerryPluginKit", "FerryRecords", "Haystack", "FerrySystem"]),
  plugin("container", folder: "Container", dependencies: ["FerryArchive", "FerryEngineKit"]),
  plugin("tree", folder: "Tree", dependencies: ["FerryTreeKit"]),
  plugin("rsync", folder: "Rsync", dependencies: ["FerryPluginKit", "FerryTree", "FerryTreeKit", "FerrySystem", "CLinux"]),
  plugin("env-file", folder: "EnvFile", dependencies: ["FerryPluginKit", "FerryTree", "FerrySystem"]),
  plugin("redis-keys", folder: "RedisKeys", dependencies: ["FerryPluginKit", "FerryTree", "FerrySystem", "CHiredis"]),
  plugin("systemd-units", folder: "SystemdUnits", dependencies: ["FerryPluginKit", "FerryTree", "FerrySystem"]),
  plugin("restic", folder: "Restic", dependencies: ["FerryPluginKit", "FerryTree", "FerryTreeKit", "FerrySystem"]),
  plugin("tidb-br", folder: "TidbBr", dependencies: ["FerryPluginKit", "FerrySystem", "CMariaDB", "CCurl", "CXXHash", "CCrypto"]),
]

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(
    name: name, dependencies: dependencies, path: "Tests/\(name)", exclude: exclude, swiftSettings: strict,
    // All suites are one program, and every plugin in it exports ferry_module_v1. Nothing there calls it: tests load the plugins' own files.
    linkerSettings: [.unsafeFlags(["-Xlinker", "-z", "-Xlinker", "muldefs"])])
}

let suites = [
  tests("TwoHostTests", ["Ferry", "FerrySystem", "HostSupport", "RunSupport", "TestSupport"]),
  tests("ABITests", ["Ferry", "CFerry", "FerrySystem", "TestSupport"]),
  tests("ChannelTests", ["Ferry", "FerrySystem", "TestSupport"]),
  tests("RunTests", ["Ferry", "FerrySystem", "RunSupport", "TestSupport"]),
  tests("PluginKitTests", ["FerryPluginKit", "TestSupport"]),
  tests("TreeTests", ["FerryTree", "FerryArchive", "FerrySystem", "CLinux", "TestSupport"]),
  tests("CommandTests", ["FerryCommand", "Ferry", "FerrySystem", "TestSupport"]),
  tests("EmbedTests", ["FerryEmbed", "CFerry", "Ferry", "FerrySystem", "RunSupport", "TestSupport"], exclude: ["Programs"]),
  tests("SkeletonTests", ["Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests("ServiceTests", ["Ferry", "FerrySystem", "RunSupport", "TestSupport"]),
  tests("ManifestTests", ["Ferry", "FerrySystem"], exclude: ["Bad", "Good"]),
  tests(
    "ConformanceTests", ["Ferry", "FerryConformance", "FerryRecords", "FerrySystem", "Haystack", "PluginHarness", "TestSupport"],
    exclude: ["Bad"]),
  tests("DescriptorTests", ["Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests("EngineTests", ["FerryEngine", "Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests("ContainerTests", ["ContainerPlugin", "Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests("HaystackTests", ["Haystack", "FerrySystem", "TestSupport"], exclude: ["rusty.py"]),
  tests(
    "ModuleTests",
    ["EnvFilePlugin", "SystemdUnitsPlugin", "Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests("NS8Tests", ["Ferry", "FerrySystem", "HostSupport", "TestSupport"], exclude: ["Modules"]),
  tests("RedisTests", ["RedisKeysPlugin", "Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests("ResticTests", ["ResticPlugin", "Ferry", "FerrySystem", "FerryTree", "HostSupport", "PluginHarness", "TestSupport"]),
  tests("TidbTests", ["TidbBrPlugin", "Ferry", "FerrySystem", "PluginHarness", "TestSupport"]),
  tests(
    "RecordCloneTests", ["RecordClonePlugin", "Ferry", "FerryRecords", "FerrySystem", "Haystack", "PluginHarness", "TestSupport"],
    exclude: ["commit.py"]),
  tests("RecordsTests", ["FerryRecords", "Haystack", "FerrySystem", "TestSupport"], exclude: ["server.py", "bad.py"]),
  tests("TreeProviderTests", ["TreePlugin", "Ferry", "FerrySystem", "FerryTree", "PluginHarness", "TestSupport"]),
  tests("RsyncTests", ["RsyncPlugin", "Ferry", "FerrySystem", "FerryTree", "PluginHarness", "TestSupport"]),
]

// Scripts/test with names of modules builds no others: all of them take minutes.
let chosen = Context.environment["FERRY_TESTS"].map { Set($0.split(separator: " ").map(String.init)) }

let package = Package(
  name: "ferry",
  products: [
    .library(name: "Ferry", targets: ["Ferry"]),
    .library(name: "FerryPluginKit", targets: ["FerryPluginKit"]),
    .executable(name: "ferry", targets: ["FerryCommand"]),
    // Installed as libferry.so: a product of that name would be the command's twin.
    .library(name: "FerryEmbed", type: .dynamic, targets: ["FerryEmbed", "FerryLibrary"]),
  ] + plugins.map(\.0),
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
  ],
  targets: [
    .target(name: "CFerry", path: "include", publicHeadersPath: "."),
    .target(name: "CLinux"),
    .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CFFI", pkgConfig: "libffi", providers: [.apt(["libffi-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CArchive", pkgConfig: "libarchive", providers: [.apt(["libarchive-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    // Without its pkg-config file, whose flags are not allowed in a package.
    .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
    .systemLibrary(name: "CMariaDB", pkgConfig: "libmariadb", providers: [.apt(["libmariadb-dev"])]),
    .target(name: "CTLS", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
    .target(name: "FerrySystem", dependencies: ["CLinux"], swiftSettings: strict),
    .target(name: "CCurl", linkerSettings: [.linkedLibrary("curl")]),
    .target(name: "FerryEngine", dependencies: ["FerrySystem", "CLinux", "CCurl"], swiftSettings: strict),
    .target(name: "FerryTree", dependencies: ["FerrySystem", "CLinux", "CXXHash", "CCrypto"], swiftSettings: strict),
    .target(name: "FerryArchive", dependencies: ["FerryTree", "FerrySystem", "CLinux", "CArchive"], swiftSettings: strict),
    .target(name: "FerryPluginKit", dependencies: ["CFerry", "FerrySystem"], swiftSettings: strict),
    .target(name: "FerryTreeKit", dependencies: ["FerryPluginKit", "FerryTree"], swiftSettings: strict),
    .target(name: "FerryEngineKit", dependencies: ["FerryArchive", "FerryEngine", "FerryTreeKit"], swiftSettings: strict),
    .target(name: "Haystack", dependencies: ["FerrySystem"], swiftSettings: strict),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(
      name: "FerryRecords", dependencies: ["Haystack", "FerrySystem", "CSQLite", "CCrypto", "CCurl", "CXXHash"], swiftSettings: strict),
    .target(
      name: "Ferry",
      dependencies: [
        "CFFI", "CFerry", "CLinux", "CYAML", "CCrypto", "CTLS", "CZstd", "FerryRecords", "FerrySystem", "FerryTree", "Haystack",
        .product(name: "GRDB", package: "GRDB.swift"),
      ],
      swiftSettings: strict),
    .target(name: "FerryConformance", dependencies: ["Ferry", "FerrySystem"], swiftSettings: strict),
    .executableTarget(
      name: "FerryCommand",
      dependencies: ["Ferry", "FerryConformance", .product(name: "ArgumentParser", package: "swift-argument-parser")], swiftSettings: strict
    ),
    .target(name: "FerryEmbed", dependencies: ["CFerry", "Ferry", "FerrySystem"], swiftSettings: strict),
    .target(
      name: "FerryLibrary", exclude: ["exports.map"], publicHeadersPath: ".",
      linkerSettings: [
        .unsafeFlags([
          "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/FerryLibrary/exports.map",
          "-Xlinker", "-soname=libferry.so.1", "-Xlinker", "-z", "-Xlinker", "nodelete",
        ])
      ]),
    .target(name: "TestSupport", dependencies: ["FerrySystem", "CLinux"], path: "Tests/TestSupport", swiftSettings: strict),
    .target(name: "HostSupport", dependencies: ["FerrySystem", "TestSupport"], path: "Tests/HostSupport", swiftSettings: strict),
    .target(
      name: "RunSupport", dependencies: ["Ferry", "FerrySystem", "HostSupport", "TestSupport"], path: "Tests/RunSupport",
      swiftSettings: strict),
    .target(
      name: "PluginHarness", dependencies: ["Ferry", "FerryConformance", "FerrySystem", "TestSupport"], path: "Tests/PluginHarness",
      swiftSettings: strict),
  ] + plugins.map(\.1) + suites.filter { chosen?.contains($0.name) ?? true }
)
