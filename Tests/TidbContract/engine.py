"""Backup and restore themselves: what the br program and the SQL statements share, as in TiDB.

A backup is one object a table, a checkpoint that grows with them, and backupmeta, which is written last.
"""
import base64, datetime, decimal, fnmatch, hashlib, json, time

from storage import open_storage

SYSTEM = ("mysql", "information_schema", "performance_schema", "sys", "ferry_contract", "metrics_schema")


class BackupError(Exception):
    """Carries br's own error code."""
    def __init__(self, code, message):
        super().__init__(f"{message}: [{code}]{message}")
        self.code = code


def encode(value):
    if isinstance(value, (bytes, bytearray)):
        return {"b": base64.b64encode(value).decode()}
    if isinstance(value, decimal.Decimal):
        return {"d": str(value)}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.timedelta)):
        return {"t": str(value)}
    return value


def decode(value):
    if isinstance(value, dict):
        return base64.b64decode(value["b"]) if "b" in value else next(iter(value.values()))
    return value


def selected(tables, what):
    """what: {"kind": "full"|"db"|"table"|"filter", "names": [...]}"""
    kind, names = what["kind"], what.get("names", [])
    if kind == "full":
        return [t for t in tables if t[0] not in SYSTEM]
    if kind == "db":
        return [t for t in tables if t[0] in names]
    if kind == "table":
        return [t for t in tables if f"{t[0]}.{t[1]}" in names]
    chosen = []
    for table in tables:
        name, taken = f"{table[0]}.{table[1]}", False
        for rule in names:
            negative = rule.startswith("!")
            if fnmatch.fnmatchcase(name, rule.lstrip("!")):
                taken = not negative
        if taken and table[0] not in SYSTEM:
            chosen.append(table)
    return chosen


def backup(cluster, uri, what, options, report=lambda share: None, stopped=lambda: False):
    """Answers {"ts", "size", "kvs"}. `cluster` gives tso(), safepoint(name, ts), reader(ts), tables(), defect(name)."""
    storage = open_storage(uri)
    if storage.read("backupmeta"):
        raise BackupError("BR:Common:ErrInvalidArgument", "backup meta file exists in " + uri.split("?")[0] + ", there may be some backup files in the path already, please specify a correct backup directory")
    identity = hashlib.sha256(json.dumps([what, options], sort_keys=True).encode()).hexdigest()
    known = storage.read("checkpoints/backup/checkpoint.meta")
    if known:
        known = json.loads(known)
        if known["identity"] != identity:
            raise BackupError("BR:Common:ErrInvalidArgument", "failed to backup to " + uri.split("?")[0] + ", because the checkpoint mode is used, but the hashs of the configs are not the same")
        ts = known["ts"]
    else:
        ts = options.get("snapshot") or cluster.tso()
        storage.write("checkpoints/backup/checkpoint.meta", json.dumps({"identity": identity, "ts": ts}).encode())
    cluster.hold(ts)
    fault = cluster.defect("backup")
    if fault == "fail":
        raise BackupError("BR:KV:ErrKVStorage", "tikv storage occur I/O error")
    tables = selected(cluster.tables(), what)
    done = []
    pause = float(cluster.defect("slow") or 0)
    for index, (database, table) in enumerate(tables):
        if stopped():
            raise BackupError("BR:Common:ErrUnknown", "context canceled")
        name = f"{database}/{table}.json"
        if not storage.read(f"checkpoints/backup/{name}"):
            create, columns, rows, kvs = cluster.read(database, table, ts)
            data = json.dumps({"database": database, "table": table, "create": create, "columns": columns, "kvs": kvs,
                               "rows": [[encode(v) for v in row] for row in rows]}).encode()
            storage.write(f"data/{name}", data)
            storage.write(f"checkpoints/backup/{name}", json.dumps({"size": len(data), "kvs": kvs}).encode())
        done.append(json.loads(storage.read(f"checkpoints/backup/{name}")))
        report((index + 1) / len(tables))
        waited = 0.0
        while waited < pause and not stopped():
            time.sleep(0.05)
            waited += 0.05
    if stopped():
        raise BackupError("BR:Common:ErrUnknown", "context canceled")
    meta = {"end_version": ts, "tables": [list(t) for t in tables], "databases": [d for d in cluster.databases() if what["kind"] == "full" or any(t[0] == d for t in tables)],
            "accounts": cluster.accounts(), "size": sum(d["size"] for d in done), "kvs": sum(d["kvs"] for d in done),
            "cluster_version": cluster.version, "crypter": options.get("crypter")}
    storage.write("backupmeta", json.dumps(meta).encode())
    # From here on nothing of br's own protects the snapshot.
    cluster.drop_hold()
    return {"ts": ts, "size": meta["size"], "kvs": meta["kvs"]}


def read_meta(uri):
    meta = open_storage(uri).read("backupmeta")
    if not meta:
        raise BackupError("BR:Common:ErrInvalidArgument", "backupmeta: The specified key does not exist in " + uri.split("?")[0])
    return json.loads(meta)


def restore(cluster, uri, what, options, report=lambda share: None, stopped=lambda: False):
    storage = open_storage(uri)
    meta = read_meta(uri)
    if meta["crypter"] and meta["crypter"] != options.get("crypter"):
        raise BackupError("BR:Common:ErrInvalidMetaFile", "invalid metafile: decrypt failed, the key is not the backup's")
    if cluster.defect("restore") == "fail":
        raise BackupError("BR:Restore:ErrRestoreWriteAndIngest", "failed to write and ingest")
    tables = selected([tuple(t) for t in meta["tables"]], what)
    identity = hashlib.sha256(json.dumps([what, options], sort_keys=True).encode()).hexdigest()
    mark = f"checkpoints/restore-{cluster.name}.meta"
    # SQL's RESTORE has no checkpoint.
    checkpoint = not options.get("statement")
    known = storage.read(mark) if checkpoint else None
    if known and json.loads(known)["identity"] != identity:
        raise BackupError("BR:Common:ErrInvalidArgument", "the checkpoint of the last restore was made with other options")
    existing = set(cluster.tables())
    done = json.loads(known)["done"] if known else []
    present = [t for t in tables if t in existing and list(t) not in done and not known]
    if present:
        raise BackupError("BR:Restore:ErrRestoreNotFreshCluster", "the target cluster is not fresh, table %s.%s exists" % present[0])
    if checkpoint:
        storage.write(mark, json.dumps({"identity": identity, "done": done}).encode())
    for database in meta["databases"]:
        if what["kind"] == "full" or any(t[0] == database for t in tables):
            cluster.execute(f"CREATE DATABASE IF NOT EXISTS `{database}`")
    pause = float(cluster.defect("slow") or 0)
    for index, table in enumerate(tables):
        if list(table) in done:
            continue
        if stopped():
            raise BackupError("BR:Common:ErrUnknown", "context canceled")
        data = json.loads(storage.read(f"data/{table[0]}/{table[1]}.json"))
        rows = [[decode(v) for v in row] for row in data["rows"]]
        if index == 0 and cluster.defect("restore") == "lose-row":
            rows = rows[1:]
        if index == 0 and cluster.defect("restore") == "change-row" and rows:
            rows[-1][-1] = "changed on the way"
        cluster.load(table, data["create"], data["columns"], rows)
        done.append(list(table))
        if checkpoint:
            storage.write(mark, json.dumps({"identity": identity, "done": done}).encode())
        report((index + 1) / len(tables))
        waited = 0.0
        while waited < pause and not stopped():
            time.sleep(0.05)
            waited += 0.05
    if options.get("with-sys-table"):
        cluster.restore_accounts(meta["accounts"])
    storage.remove(mark)
    return {"ts": meta["end_version"], "size": meta["size"], "cluster_ts": cluster.tso()}


class Access:
    """A cluster as backup and restore use it; `home` answers what MariaDB does not know."""
    def __init__(self, connect, home):
        self.connection, self.home = connect(), home
        self.name, self.version = home.name, home.version
        self.tso, self.defect, self.hold, self.drop_hold = home.tso, home.defect, home.hold, home.drop_hold

    def query(self, statement, values=None):
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def execute(self, statement):
        self.query(statement)

    def databases(self):
        return [r[0] for r in self.query("SHOW DATABASES") if r[0] not in SYSTEM]

    def tables(self):
        rows = self.query("SELECT table_schema, table_name FROM information_schema.tables WHERE table_type IN ('BASE TABLE', "
                          "'SYSTEM VERSIONED') ORDER BY 1, 2")
        return [r for r in rows if r[0] not in SYSTEM]

    def read(self, database, table, ts):
        from cluster import moment
        self.home.check_snapshot(ts)
        create = self.query(f"SHOW CREATE TABLE `{database}`.`{table}`")[0][1]
        columns = [r[0] for r in self.query(f"SHOW COLUMNS FROM `{database}`.`{table}`")]
        self.query("SET SESSION system_versioning_asof = %s", (moment(ts),))
        rows = self.query(f"SELECT * FROM `{database}`.`{table}`")
        self.query("SET SESSION system_versioning_asof = DEFAULT")
        indexes = self.query("SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics WHERE table_schema = %s AND "
                             "table_name = %s AND index_name <> 'PRIMARY'", (database, table))[0][0]
        return create, columns, rows, len(rows) * (1 + indexes)

    def load(self, table, create, columns, rows):
        name = f"`{table[0]}`.`{table[1]}`"
        self.execute(f"USE `{table[0]}`")
        self.execute(f"DROP TABLE IF EXISTS {name}")
        self.execute(create)
        if rows:
            marks = ",".join(["%s"] * len(columns))
            names = ",".join(f"`{c}`" for c in columns)
            with self.connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {name} ({names}) VALUES ({marks})", rows)

    def accounts(self):
        return [list(r) for r in self.query("SELECT user, host, authentication_string FROM mysql.user WHERE user <> 'mariadb.sys' AND host <> 'localhost'")]

    def restore_accounts(self, accounts):
        for user, host, _ in self.accounts():
            self.query(f"DROP USER `{user}`@`{host}`")
        for user, host, secret in accounts:
            self.query(f"CREATE USER `{user}`@`{host}` IDENTIFIED BY PASSWORD '{secret}'")
            self.query(f"GRANT ALL ON *.* TO `{user}`@`{host}`")
