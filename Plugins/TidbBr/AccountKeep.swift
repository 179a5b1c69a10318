import FerryPluginKit

/// The destination's own accounts, kept while br overwrites the system tables. They are kept in the cluster itself: their passwords' hashes are
/// nobody else's business.
enum AccountKeep {
  static let database = "ferry_accounts"
  private static let key = "accounts-kept"
  private static let table = "\(SQLConnection.name(database)).kept"

  /// `begun`: what is there may be half of it. `done`: what mysql.user holds since then may be the source's.
  private enum Progress: String, Codable { case begun, done }

  static func keep(at cluster: TidbCluster, kv: KeyValueStore) throws {
    if try kv.get(key, as: Progress.self) == .done { return }
    try kv.put(key, Progress.begun)
    let accounts = try AccountCopy.export(cluster)
    try cluster.sql.query("DROP DATABASE IF EXISTS \(SQLConnection.name(database))")
    try cluster.sql.query("CREATE DATABASE \(SQLConnection.name(database))")
    try cluster.sql.query("CREATE TABLE \(table) (place INT PRIMARY KEY, account LONGTEXT)")
    for (place, account) in accounts.enumerated() {
      let text = String(decoding: try JSONValue.encode(account), as: UTF8.self)
      try cluster.sql.query("INSERT INTO \(table) VALUES (\(place), \(SQLConnection.quote(text)))")
    }
    try kv.put(key, Progress.done)
  }

  /// The accounts are those of before, with their passwords and grants. `user` is Ferry's own name there: a session that drops its own account can
  /// do nothing more.
  static func undo(at cluster: TidbCluster, kv: KeyValueStore, user: String) throws {
    if try kv.get(key, as: Progress.self) == .done, try cluster.hasDatabase(database) {
      let kept = try cluster.sql.query("SELECT account FROM \(table) ORDER BY place").map {
        try JSONValue.decode(AccountCopy.Account.self, from: Array(try $0.text("account").utf8))
      }
      let names = Set(kept.map(\.name))
      let strangers = try AccountCopy.present(cluster).filter { !names.contains($0.name) && $0.user != user }
      for name in strangers.map(\.name) { try cluster.sql.query("DROP USER IF EXISTS \(name)") }
      for account in kept {
        if account.user == user {
          try cluster.sql.query("ALTER" + account.create.dropFirst("CREATE".count))
        } else {
          try cluster.sql.query("DROP USER IF EXISTS \(account.name)")
          try cluster.sql.query(account.create)
        }
      }
      // All are there: one may be another's role.
      for grant in kept.flatMap(\.grants) { try cluster.sql.query(grant) }
    }
    try forget(at: cluster, kv: kv)
  }

  /// Nothing is to be undone any more.
  static func forget(at cluster: TidbCluster, kv: KeyValueStore) throws {
    guard try isThere(kv) else { return }
    try cluster.sql.query("DROP DATABASE IF EXISTS \(SQLConnection.name(database))")
    try kv.remove(key)
  }

  static func isThere(_ kv: KeyValueStore) throws -> Bool { try kv.bytes(key) != nil }
}
