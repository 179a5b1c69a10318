"""The MySQL protocol of one cluster: answers what is TiDB's own and passes everything else to MariaDB."""
import asyncio, json, re, threading, time

import pymysql
from mysql_mimic import MysqlServer, User
from mysql_mimic.auth import IdentityProvider, NativePasswordAuthPlugin
from mysql_mimic.errors import MysqlError
from mysql_mimic.packets import make_error
from mysql_mimic.results import ResultColumn
from mysql_mimic.session import BaseSession
from mysql_mimic.stream import MysqlStream
from mysql_mimic.types import ColumnType
from mysql_mimic.variables import GlobalVariables, SessionVariables

import ticdc
from cluster import READ_ONLY, TidbError, go_duration, go_text, moment
from engine import Access, BackupError, backup, restore

WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|TRUNCATE|RENAME|GRANT|REVOKE|LOAD|BACKUP|RESTORE|ADMIN|LOCK|KILL)\b", re.I)
DEFINITIONS = re.compile(r"\s*(CREATE|DROP|ALTER|TRUNCATE|RENAME)\s+(TABLE|DATABASE|SCHEMA|INDEX|UNIQUE)\b", re.I)
EVENTS = re.compile(r"\s*(SET\s+GLOBAL|CREATE|DROP|GRANT|BACKUP|RESTORE|KILL)\b", re.I)


def text_result(names, rows):
    columns = [ResultColumn(name=name, type=ColumnType.VARCHAR) for name in names]
    return [[None if v is None else v if isinstance(v, str) else v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v)
             for v in row] for row in rows], columns


class Accounts(IdentityProvider):
    """Passwords are those of the real MariaDB's mysql.user."""
    def __init__(self, cluster):
        self.cluster = cluster

    async def get_user(self, username):
        rows = await asyncio.to_thread(self.cluster.run, "SELECT authentication_string FROM mysql.user WHERE user = '%s' AND host = '%%'" % username.replace("'", ""))
        if not rows:
            return User(name=username, auth_string="00", auth_plugin=NativePasswordAuthPlugin.name)
        return User(name=username, auth_string=(rows[0][0] or "").lstrip("*").lower(), auth_plugin=NativePasswordAuthPlugin.name)


class Session(BaseSession):
    def __init__(self, cluster, contract):
        self.cluster, self.contract = cluster, contract
        self.variables = SessionVariables(GlobalVariables())
        self.variables.set("version", f"8.0.11-TiDB-{cluster.version}", force=True)
        self.username = self.database = None
        self.snapshot, self.sql, self.statement, self.killed = None, None, "", threading.Event()

    async def init(self, connection):
        self.connection = connection
        if self.cluster.down:
            raise ConnectionResetError("down")
        self.sql = await asyncio.to_thread(self.cluster.connect)
        self.cluster.sessions[connection.connection_id] = self
        if self.database:
            await self.use(self.database)

    async def close(self):
        if self.sql:
            self.cluster.sessions.pop(self.connection.connection_id, None)
            self.killed.set()
            self.sql.close()

    async def use(self, database):
        self.sql.select_db(database)
        self.database = database

    async def handle_query(self, sql, attrs):
        sql = sql.strip().rstrip(";")
        if sql.startswith("CONTRACT "):
            answer = await asyncio.to_thread(self.contract.control, json.loads(sql[9:]))
            return text_result(["answer"], [[json.dumps(answer)]])
        if self.username is None or self.cluster.down:
            self.connection.stream.writer.transport.abort()
            raise ConnectionResetError("down")
        self.statement = sql
        try:
            event = EVENTS.match(sql) and not self.contract.quiet
            if event:
                await asyncio.to_thread(self.contract.event, self.cluster.name, sql, "before")
            result = await asyncio.to_thread(self.answer, sql)
            if event:
                await asyncio.to_thread(self.contract.event, self.cluster.name, sql, "after")
            return result
        except TidbError as error:
            raise Raw(error.message, error.code)
        except BackupError as error:
            raise Raw(str(error), 8124 if sql.upper().startswith("BACKUP") else 8125)
        except pymysql.MySQLError as error:
            raise Raw(str(error.args[-1]), error.args[0] or 1105)
        finally:
            self.statement = ""

    # MARK: statements

    def answer(self, sql):
        upper = re.sub(r"\s+", " ", sql).upper()
        cluster = self.cluster
        if upper.startswith("BEGIN") or upper.startswith("ROLLBACK") or upper == "COMMIT":
            self.begun = cluster.tso() if upper.startswith("BEGIN") else 0
            return None
        if "TIDB_CURRENT_TSO()" in upper:
            return text_result(["tso"], [[getattr(self, "begun", 0)]])
        if "TIDB_VERSION()" in upper:
            return text_result(["version"], [[f"Release Version: {cluster.version}\nEdition: tidb-contract\nStore: tikv"]])
        if upper.startswith("SELECT VERSION()"):
            return text_result(["version"], [[f"8.0.11-TiDB-{cluster.version}"]])
        if upper.startswith("SELECT CONNECTION_ID()"):
            return text_result(["id"], [[self.connection.connection_id]])
        if upper.startswith("SHOW GLOBAL VARIABLES"):
            return text_result(["Variable_name", "Value"], sorted(cluster.variables.items()))
        if match := re.match(r"SET (?:SESSION )?(?:@@)?tidb_snapshot\s*=\s*'(\d*)'$", sql, re.I):
            return self.set_snapshot(match[1])
        if match := re.match(r"SET GLOBAL (\w+)\s*=\s*'?(.*?)'?$", sql, re.I | re.S):
            return self.set_global(match[1].lower(), match[2])
        if re.match(r"SET (?!GLOBAL)", sql, re.I):
            return self.passed(sql)
        if match := re.match(r"KILL TIDB QUERY (\d+)$", sql, re.I):
            return self.kill(int(match[1]))
        if upper.startswith(("SHOW FULL PROCESSLIST", "SHOW PROCESSLIST")):
            rows = [(i, "root", "%", None, "Query" if s.statement else "Sleep", 0, "", s.statement or None) for i, s in list(cluster.sessions.items())]
            return text_result(["Id", "User", "Host", "db", "Command", "Time", "State", "Info"], rows)
        if match := re.match(r"SHOW (BACKUPS|RESTORES)", sql, re.I):
            rows = [t for t in cluster.tasks if t[0] == match[1].upper()]
            return text_result(["Destination", "State", "Progress", "Queue_time", "Execution_time", "Finish_time", "Connection", "Message"],
                               [t[1:] for t in rows])
        if upper.startswith("SHOW CONFIG"):
            return text_result(["Type", "Instance", "Name", "Value"], [["pd", "127.0.0.1:2379", "replication.max-replicas", str(cluster.copies)]])
        writes = WRITES.match(sql)
        if writes and self.variable("tidb_restricted_read_only") and self.username != "replica":
            raise TidbError(1836, "Running in read-only mode")
        if match := re.match(r"ADMIN (CHECKSUM|CHECK) TABLE `(.+?)`\.`(.+?)`$", sql, re.I):
            return self.admin(match[1].upper(), match[2], match[3])
        if upper.startswith(("BACKUP ", "RESTORE ")):
            return self.brie(sql)
        if upper.startswith("SHOW CREATE USER"):
            rows = self.query(sql)[0]
            text = re.sub(r"IDENTIFIED BY PASSWORD '(.*?)'", r"IDENTIFIED WITH 'mysql_native_password' AS '\1' REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK", rows[0][0])
            return text_result(["CREATE USER"], [[text.replace("`", "'")]])
        if upper.startswith(("CREATE USER", "ALTER USER")):
            sql = re.sub(r"IDENTIFIED WITH 'mysql_native_password' AS '(.*?)'.*", r"IDENTIFIED BY PASSWORD '\1'", sql, flags=re.S)
        if "PASSWORD '" in sql and upper.startswith("SHOW GRANTS"):
            raise TidbError(1105, "no")
        if upper.startswith("SHOW GRANTS"):
            names, rows = self.query(sql)[1], self.query(sql)[0]
            return text_result(names, [[re.sub(r" IDENTIFIED BY PASSWORD '.*?'", "", r[0])] for r in rows])
        text = sql
        if upper.startswith("CREATE TABLE") and "VERSIONING" not in upper:
            sql += " WITH SYSTEM VERSIONING"
        if upper.startswith("ALTER TABLE"):
            self.passed("SET SESSION system_versioning_alter_history = KEEP")
        if upper.startswith(("SELECT", "SHOW")):
            sql = self.rewritten(sql)
        if writes:
            with cluster.gate:
                if DEFINITIONS.match(text):
                    return ticdc.define(cluster, self.database, text, lambda: self.passed(sql))
                return self.passed(sql)
        return self.passed(sql)

    def rewritten(self, sql):
        """What TiDB's schema tables have and MariaDB's have not."""
        quote = pymysql.converters.escape_string
        system = " UNION ALL ".join(f"SELECT '{k}' AS VARIABLE_NAME, '{quote(v)}' AS VARIABLE_VALUE" for k, v in self.cluster.system.items())
        parts = [("tidb", "127.0.0.1:4000")] + [("pd", "127.0.0.1:2379")] + [("tikv", f"127.0.0.1:{20160 + i}") for i in range(self.cluster.stores)]
        if self.cluster.defects.get("cdc") != "absent":
            parts.append(("ticdc", "127.0.0.1:8300"))
        info = " UNION ALL ".join(f"SELECT '{t}' AS TYPE, '{self.cluster.name}-{i}' AS INSTANCE, '{self.cluster.version.lstrip('v')}' AS VERSION" for t, i in parts)
        sql = re.sub(r"mysql\.tidb\b", f"({system}) AS tidb", sql, flags=re.I)
        sql = re.sub(r"mysql\.user\b", "(SELECT * FROM mysql.user WHERE user <> 'mariadb.sys' AND host <> 'localhost') AS users", sql, flags=re.I)
        sql = re.sub(r"information_schema\.cluster_info\b", f"({info}) AS info", sql, flags=re.I)
        sql = re.sub(r"information_schema\.schemata\b", "(SELECT * FROM information_schema.schemata WHERE schema_name <> 'ferry_contract') AS schemata", sql, flags=re.I)
        return re.sub(r"information_schema\.tables\b", "(SELECT table_schema, table_name, 'BASE TABLE' AS table_type, data_length, index_length "
                      "FROM information_schema.tables WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')) AS tables", sql, flags=re.I)

    def query(self, sql):
        with self.sql.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall(), [d[0] for d in cursor.description or []]

    def passed(self, sql):
        if self.snapshot and sql.upper().startswith("SELECT"):
            self.cluster.check_snapshot(self.snapshot)
        rows, names = self.query(sql)
        return text_result(names, rows) if names else None

    def variable(self, name):
        return self.cluster.variables[name] in ("ON", "1")

    def set_snapshot(self, value):
        self.snapshot = int(value) if value else None
        if self.snapshot:
            self.cluster.check_snapshot(self.snapshot)
        return self.passed("SET SESSION system_versioning_asof = " + (f"'{moment(self.snapshot)}'" if self.snapshot else "DEFAULT"))

    def set_global(self, name, value):
        cluster = self.cluster
        if name not in cluster.variables:
            raise TidbError(1193, f"Unknown system variable '{name}'")
        if name in READ_ONLY:
            raise TidbError(1238, f"Variable '{name}' is a read only variable")
        if name in cluster.defects.get("refuse", []):
            raise TidbError(1105, f"injected: {name} cannot be set")
        if name == "tidb_gc_life_time":
            try:
                if not 600 <= go_duration(value) <= 8760 * 3600:
                    raise ValueError
            except ValueError:
                raise TidbError(1231, f"Variable 'tidb_gc_life_time' can't be set to the value of '{value}'")
            value = cluster.system["tikv_gc_life_time"] = go_text(value)
        if value.upper() in ("1", "ON", "0", "OFF") and cluster.variables[name] in ("ON", "OFF"):
            value = "ON" if value.upper() in ("1", "ON") else "OFF"
        with cluster.gate:
            cluster.variables[name] = value
            if name == "tidb_restricted_read_only" and value == "ON":
                cluster.variables["tidb_super_read_only"] = "ON"

    def admin(self, kind, database, table):
        if kind == "CHECK":
            if f"{database}.{table}" in self.cluster.defects.get("corrupt", []) or (self.cluster.defects.get("restore") == "corrupt-index" and self.cluster.tables()[0] == (database, table)):
                raise TidbError(8223, f"data inconsistency in table: {table}, index: PRIMARY, handle: 1, index-values:\"\" != record-values:\"1\"")
            self.query(f"SELECT 1 FROM `{database}`.`{table}` LIMIT 1")
            return None
        crc, kvs, size = self.cluster.checksum(database, table, self.snapshot)
        return text_result(["Db_name", "Table_name", "Checksum_crc64_xor", "Total_kvs", "Total_bytes"], [[database, table, crc, kvs, size]])

    def kill(self, number):
        if self.cluster.defects.get("kill") == "ignored":
            return None
        session = self.cluster.sessions.get(number)
        if session:
            session.killed.set()
        return None

    def brie(self, sql):
        match = re.match(r"(BACKUP|RESTORE) (DATABASE|TABLE) (.+?) (?:TO|FROM) '(.+?)'(.*)$", sql, re.I | re.S)
        if not match:
            raise TidbError(1064, "You have an error in your SQL syntax")
        kind = match[1].upper()
        options = {k.lower(): v for k, v in re.findall(r"(\w+) = ('.*?'|[\w.]+)", match[5])}
        if "snapshot" in options:
            options["snapshot"] = int(options["snapshot"])
        options["statement"] = True
        names = [n.strip().replace("`", "") for n in match[3].split(",")]
        what = {"kind": "full"} if names == ["*"] else {"kind": "db" if match[2].upper() == "DATABASE" else "table", "names": names}
        access = Access(self.cluster.connect, self.contract.home(self.cluster, "sql"))
        task = [kind + "S", match[4].split("?")[0], "Backup" if kind == "BACKUP" else "Restore", 0.0, time.strftime("%F %T"), time.strftime("%F %T"), None, self.connection.connection_id, None]
        self.cluster.tasks.append(task)

        def report(share):
            task[3] = round(share * 100, 2)
        self.killed.clear()
        try:
            done = (backup if kind == "BACKUP" else restore)(access, match[4], what, options, report, self.killed.is_set)
        except BackupError as error:
            task[6], task[8] = time.strftime("%F %T"), str(error)
            if self.killed.is_set():
                raise TidbError(1317, "Query execution was interrupted")
            raise
        finally:
            access.connection.close()
        task[3], task[6] = 100.0, time.strftime("%F %T")
        columns = [("Destination", match[4].split("?")[0]), ("Size", done["size"]), ("BackupTS", done["ts"]),
                   ("Queue Time", time.strftime("%F %T")), ("Execution Time", time.strftime("%F %T"))]
        if kind == "RESTORE" and self.cluster.layout == "new":
            columns.insert(3, ("Cluster TS", done["cluster_ts"]))
        if self.cluster.layout == "new":
            columns = columns[::-1]
        return text_result([c[0] for c in columns], [[c[1] for c in columns]])


class Raw(MysqlError):
    """An error with a number that mysql-mimic has no name for."""
    def __init__(self, message, number):
        Exception.__init__(self, message)
        self.msg, self.code = message, int(number)


async def start_tls(stream, ssl):
    """A client may send its TLS greeting together with its request for TLS: mysql-mimic's own would lose what the reader has read ahead."""
    loop, transport = asyncio.get_running_loop(), stream.writer.transport
    ahead = bytes(stream.reader._buffer)
    stream.reader._buffer.clear()
    upgrade = asyncio.ensure_future(loop.start_tls(transport, transport.get_protocol(), ssl, server_side=True))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if ahead:
        protocol = transport.get_protocol()
        protocol.get_buffer(len(ahead))[:len(ahead)] = ahead
        protocol.buffer_updated(len(ahead))
    stream.writer._transport = stream.reader._transport = await upgrade


MysqlStream.start_tls = start_tls


class Server(MysqlServer):
    """A server that can be away."""
    async def _client_connected_cb(self, reader, writer):
        if self.cluster.down:
            return writer.close()
        await super()._client_connected_cb(reader, writer)


def server(cluster, contract, ssl=None):
    made = Server(session_factory=lambda: Session(cluster, contract), identity_provider=Accounts(cluster), ssl=ssl)
    made.cluster = cluster
    return made
