/// How a project file is laid out. `id` is the record's whole id; `tags` holds it again, packed, with all others.
extension RecordStore {
  static let version: Int64 = 1
  /// Tells our files from other databases.
  static let application: Int64 = 0x4672_7952

  /// What watches new records.
  private static let additionTriggers = """
    CREATE TRIGGER record_added AFTER INSERT ON records WHEN NEW.clone_set IS NULL
    BEGIN INSERT INTO changes(rid, id) VALUES(NEW.rid, NEW.id); END;
    CREATE TRIGGER clone_added BEFORE INSERT ON records
    WHEN NEW.clone_set IS NOT NULL AND EXISTS(SELECT 1 FROM guard WHERE enabled AND NOT applier)
    BEGIN SELECT RAISE(ABORT, 'clones come from their progenitors only'); END;
    """

  /// Work that adds very many records and nothing else, in a transaction: the triggers on additions cost more than the additions. Nobody sees the
  /// store without them, for they are back before the transaction ends.
  func withoutAdditionTriggers<Result>(_ work: () throws -> Result) throws -> Result {
    try database.execute("DROP TRIGGER record_added; DROP TRIGGER clone_added")
    let result = try work()
    try database.execute(Self.additionTriggers)
    return result
  }

  /// What finds records by their id, and what finds them by other things.
  private static let idIndex = "CREATE UNIQUE INDEX IF NOT EXISTS records_by_id ON records(id);"
  private static let otherIndexes = """
    CREATE INDEX IF NOT EXISTS records_by_shape ON records(shape);
    CREATE INDEX IF NOT EXISTS clones_by_set ON records(clone_set) WHERE clone_set IS NOT NULL;
    """

  /// Drops them, in a transaction that writes very many records into an empty store. Without them all is found as well, by reading everything.
  func dropIndexes(butID: Bool) throws {
    try database.execute("DROP INDEX IF EXISTS records_by_shape; DROP INDEX IF EXISTS clones_by_set")
    if !butID { try database.execute("DROP INDEX IF EXISTS records_by_id") }
  }

  /// Makes those that were dropped: at the end, or by who comes next if that was never reached.
  func makeIndexes() throws { try database.execute(Self.idIndex + Self.otherIndexes) }

  static let schema = """
    CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE records(
      rid INTEGER PRIMARY KEY, id TEXT NOT NULL, mod INTEGER NOT NULL, shape INTEGER NOT NULL,
      clone_set TEXT, clone_mod INTEGER, tags BLOB NOT NULL) STRICT;
    \(idIndex)
    \(otherIndexes)
    CREATE TABLE shapes(shape INTEGER PRIMARY KEY, tags TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE history(rid INTEGER NOT NULL, ts INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY(rid, ts)) STRICT, WITHOUT ROWID;
    CREATE TABLE clone_sets(
      id TEXT PRIMARY KEY, filter TEXT NOT NULL, server TEXT NOT NULL, count INTEGER NOT NULL, digest BLOB NOT NULL,
      epoch INTEGER NOT NULL, seq INTEGER NOT NULL, last_sub INTEGER, last_sync INTEGER, last_update INTEGER, flags TEXT NOT NULL)
      STRICT, WITHOUT ROWID;
    CREATE TABLE passed_over(clone_set TEXT NOT NULL, id TEXT NOT NULL, mod INTEGER NOT NULL, PRIMARY KEY(clone_set, id)) STRICT, WITHOUT ROWID;
    CREATE TABLE changes(seq INTEGER PRIMARY KEY AUTOINCREMENT, rid INTEGER NOT NULL, id TEXT NOT NULL) STRICT;
    CREATE TABLE guard(applier INTEGER NOT NULL, enabled INTEGER NOT NULL) STRICT;
    INSERT INTO guard VALUES(0, 1);

    \(additionTriggers)
    CREATE TRIGGER record_changed AFTER UPDATE ON records WHEN NEW.clone_set IS NULL OR OLD.clone_set IS NULL
    BEGIN
      INSERT INTO changes(rid, id) VALUES(NEW.rid, NEW.id);
      INSERT INTO changes(rid, id) SELECT OLD.rid, OLD.id WHERE OLD.id <> NEW.id;
    END;
    CREATE TRIGGER record_removed AFTER DELETE ON records
    BEGIN
      INSERT INTO changes(rid, id) SELECT OLD.rid, OLD.id WHERE OLD.clone_set IS NULL;
      DELETE FROM history WHERE rid = OLD.rid;
    END;
    CREATE TRIGGER clone_changed BEFORE UPDATE ON records
    WHEN (OLD.clone_set IS NOT NULL OR NEW.clone_set IS NOT NULL) AND EXISTS(SELECT 1 FROM guard WHERE enabled AND NOT applier)
    BEGIN SELECT RAISE(ABORT, 'a clone cannot be changed: change its progenitor'); END;
    CREATE TRIGGER clone_removed BEFORE DELETE ON records
    WHEN OLD.clone_set IS NOT NULL AND EXISTS(SELECT 1 FROM guard WHERE enabled AND NOT applier)
    BEGIN SELECT RAISE(ABORT, 'a clone cannot be removed: remove its progenitor, or its clone set'); END;
    -- While cloning is off, clones can be changed. The change is noted, so that it is mended later.
    CREATE TRIGGER clone_spoilt AFTER UPDATE OF id, tags, clone_set ON records
    WHEN OLD.clone_set IS NOT NULL AND EXISTS(SELECT 1 FROM guard WHERE NOT applier)
    BEGIN
      UPDATE records SET clone_mod = 0 WHERE rid = NEW.rid;
      UPDATE clone_sets SET count = -1 WHERE id IN (OLD.clone_set, NEW.clone_set);
    END;
    CREATE TRIGGER clone_lost AFTER DELETE ON records
    WHEN OLD.clone_set IS NOT NULL AND EXISTS(SELECT 1 FROM guard WHERE NOT applier)
    BEGIN UPDATE clone_sets SET count = -1 WHERE id = OLD.clone_set; END;
    """
}
