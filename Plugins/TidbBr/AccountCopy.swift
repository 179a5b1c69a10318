import FerryPluginKit

/// Accounts that the destination lacks, as the source describes them.
enum AccountCopy {
  static let key = "accounts"

  struct Account: Codable {
    var user: String
    var host: String
    /// CREATE USER with the password's hash, and the grants.
    var create: String
    var grants: [String]

    var name: String { AccountCopy.name(user, host) }
  }

  private static func name(_ user: String, _ host: String) -> String { "\(SQLConnection.quote(user))@\(SQLConnection.quote(host))" }

  /// Who is there, by the names that statements have for them.
  static func present(_ cluster: TidbCluster) throws -> [(user: String, host: String, name: String)] {
    try cluster.sql.query("SELECT User AS user, Host AS host FROM mysql.user").map { row in
      let (user, host) = (try row.text("user"), try row.text("host"))
      return (user, host, name(user, host))
    }
  }

  /// What became of one.
  struct Outcome: Codable, Equatable {
    var account: String
    var result: String
  }

  static func export(_ cluster: TidbCluster) throws -> [Account] {
    try present(cluster).map { user, host, name in
      func lines(_ statement: String) throws -> [String] { try cluster.sql.query(statement).compactMap { $0.values.values.first ?? nil } }
      return Account(
        user: user, host: host, create: try lines("SHOW CREATE USER \(name)").first ?? "", grants: try lines("SHOW GRANTS FOR \(name)"))
    }
  }

  /// Creates what is missing. Its name is journaled before: an undo drops exactly what this run made.
  static func create(_ accounts: [Account], at cluster: TidbCluster, kv: KeyValueStore) throws -> [Outcome] {
    let present = Set(try present(cluster).map { "\($0.user)@\($0.host)" })
    var made = try kv.get(key, as: [String].self) ?? []
    var outcomes: [Outcome] = []
    for account in accounts {
      let label = "\(account.user)@\(account.host)"
      let isOurs = made.contains(account.name)
      if present.contains(label), !isOurs {
        outcomes.append(Outcome(account: label, result: "skipped: the destination has it"))
        continue
      }
      if !isOurs {
        made.append(account.name)
        try kv.put(key, made)
      }
      do {
        if !present.contains(label) { try cluster.sql.query(account.create) }
        for grant in account.grants { try cluster.sql.query(grant) }
        outcomes.append(Outcome(account: label, result: "copied"))
      } catch let error as FerryError where error.class != .retry {
        outcomes.append(Outcome(account: label, result: "failed: \(error.code ?? error.class.rawValue)"))
      }
    }
    return outcomes
  }

  static func undo(at cluster: TidbCluster, kv: KeyValueStore) throws {
    for name in try kv.get(key, as: [String].self) ?? [] { try cluster.sql.query("DROP USER IF EXISTS \(name)") }
    try kv.remove(key)
  }
}
