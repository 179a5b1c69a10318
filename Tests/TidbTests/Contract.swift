import FerrySystem
import Glibc
import TestSupport

@testable import TidbBrPlugin

/// The stand-in for two TiDB clusters, BR and TiCDC (Tests/TidbContract), started once for the module. It ends with this process.
final class Contract: Sendable {
  struct Addresses: Decodable {
    struct Cluster: Decodable {
      var port: Int
      var tls: Int
      var pd: String
      var cdc: String
    }
    var s3: Int
    var br: String
    /// sync_diff_inspector
    var diff: String
    var source: Cluster
    var target: Cluster
  }

  let addresses: Addresses
  private let standIn: StandIn
  private let controls = Lock<SQLConnection?>(nil)

  private static let started = Lock<Result<Contract, any Error>?>(nil)

  static func shared() throws -> Contract {
    try started.withLock { started in
      if started == nil { started = Result { try Contract() } }
      guard let contract = try started?.get() else { throw FerryError(.internal, "there is no contract") }
      return contract
    }
  }

  private init() throws {
    standIn = try StandIn("tidb-contract")
    addresses = try JSONValue(parsing: standIn.line).decode()
  }

  /// A file of its own, such as a certificate.
  func file(_ name: String) -> String { standIn.folder(name) }

  func cluster(_ side: String) -> Addresses.Cluster { side == "source" ? addresses.source : addresses.target }

  /// A session as root.
  func connect(_ side: String, password: String? = nil) throws -> SQLConnection {
    try SQLConnection(
      SQLAddress(host: "127.0.0.1", port: cluster(side).port, user: "root", password: password ?? "root-\(side)"),
      secrets: Secrets(values: [:]))
  }

  /// Through the front of a cluster, whose own accounts do not matter for this.
  @discardableResult func control(_ command: JSONValue) throws -> JSONValue {
    func ask(_ connection: SQLConnection) throws -> JSONValue {
      try JSONValue(parsing: try connection.row("CONTRACT \(command.text)").text("answer"))
    }
    if let known = controls.withLock({ $0 }), let answer = try? ask(known) { return answer }
    let fresh = try SQLConnection(
      SQLAddress(host: "127.0.0.1", port: addresses.target.port, user: "root", password: "root-target"), secrets: Secrets(values: [:]))
    controls.withLock { $0 = fresh }
    return try ask(fresh)
  }

  func reset(source: JSONValue = [:], target: JSONValue = [:]) throws {
    try control(["do": "reset", "source": source, "target": target])
  }

  func defect(_ side: String, _ defects: JSONValue) throws { try control(["do": "set", "cluster": .string(side), "defects": defects]) }

  func look(_ side: String) throws -> JSONValue { try control(["do": "look", "cluster": .string(side)]) }

  func variable(_ side: String, _ name: String) throws -> String? { try look(side)["variables"]?[name]?.string }

  /// All rows, as MariaDB itself has them.
  func rows(_ side: String) throws -> JSONValue { try control(["do": "dump", "cluster": .string(side)]) }

  func run(_ side: String, _ statements: String...) throws {
    let connection = try connect(side)
    for statement in statements { try connection.query(statement) }
  }

  var events: [String] {
    get throws { try control(["do": "events"]).array?.compactMap(\.string) ?? [] }
  }
}
