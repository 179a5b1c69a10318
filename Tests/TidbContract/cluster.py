"""One cluster of tidb-contract: a real MariaDB server for the rows, and what TiDB, PD and TiKV would know beside them.

Every table is system-versioned, so a TSO is a moment that MariaDB itself can be read at: tidb_snapshot, BACKUP's
snapshot and TiCDC's changes all come from that one history, and none is simulated.
"""
import calendar, ctypes, hashlib, os, shutil, signal, subprocess, threading, time
from datetime import datetime, timezone

import pymysql

SYSTEM = ("mysql", "information_schema", "performance_schema", "sys", "ferry_contract")
VARIABLES = {
    "tidb_gc_life_time": "10m0s", "tidb_gc_enable": "ON", "tidb_restricted_read_only": "OFF", "tidb_super_read_only": "OFF",
    "tidb_enable_clustered_index": "ON", "tidb_mem_quota_query": "1073741824", "tidb_txn_mode": "pessimistic",
    "max_connections": "0", "sql_mode": "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES", "tidb_build_stats_concurrency": "2",
    "tidb_read_only_one": "built-in",
}
READ_ONLY = ("tidb_read_only_one",)


def moment(tso):
    """A TSO as MariaDB's time: milliseconds in the upper bits, microseconds in the lower 18."""
    micros = (tso >> 18) * 1000 + min(tso & 0x3FFFF, 999)
    return datetime.fromtimestamp(micros // 1_000_000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") + ".%06d" % (micros % 1_000_000)


def to_tso(at):
    """The other way round, for MariaDB's row_start and row_end."""
    micros = calendar.timegm(at.timetuple()) * 1_000_000 + at.microsecond
    return ((micros // 1000) << 18) | (micros % 1000)


class TidbError(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Cluster:
    def __init__(self, name, folder, template):
        self.name, self.folder = name, folder
        self.socket = f"{folder}/sql"
        shutil.copytree(template, f"{folder}/data")
        self.server = subprocess.Popen(
            ["mariadbd", "--no-defaults", f"--datadir={folder}/data", f"--socket={self.socket}", "--skip-networking",
             f"--pid-file={folder}/pid", "--innodb-flush-log-at-trx-commit=0", "--innodb-log-file-size=8M",
             "--innodb-buffer-pool-size=32M", "--performance-schema=OFF", "--skip-log-bin", "--character-set-server=utf8mb4",
             "--collation-server=utf8mb4_bin", "--user=root" if os.geteuid() == 0 else "--skip-external-locking"],
            stdout=open(f"{folder}/log", "w"), stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
        # Writes and the taking of a TSO exclude each other, so that no write of before a TSO becomes visible after it.
        self.gate = threading.RLock()
        self.lock = threading.RLock()
        self.own, self.turn = None, threading.RLock()
        self.last = 0
        self.sessions = {}
        self.tasks = []
        self.safepoints, self.changefeeds = {}, {}
        self.number = 0

    def start(self):
        deadline = time.time() + 60
        while True:
            try:
                self.connect().close()
                break
            except pymysql.Error:
                if time.time() > deadline or self.server.poll() is not None:
                    raise SystemExit(f"mariadbd of {self.name} did not start: see {self.folder}/log")
                time.sleep(0.05)
        self.run("DELETE FROM mysql.global_priv WHERE Host <> 'localhost'", "FLUSH PRIVILEGES")
        self.reset()

    def connect(self, **options):
        return pymysql.connect(unix_socket=self.socket, user="root", autocommit=True, charset="utf8mb4", ssl_disabled=True,
                               init_command="SET time_zone = '+00:00', sql_mode = ''", **options)

    def run(self, *statements):
        with self.turn:
            if not self.own:
                self.own = self.connect()
            with self.own.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall()

    def databases(self):
        return [row[0] for row in self.run("SHOW DATABASES") if row[0] not in SYSTEM]

    def tables(self, database=None):
        rows = self.run("SELECT table_schema, table_name FROM information_schema.tables WHERE table_type IN "
                        "('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, 2")
        return [row for row in rows if row[0] not in SYSTEM and (database is None or row[0] == database)]

    def reset(self, version="v7.5.1", **settings):
        """As it is after a fresh deployment."""
        self.defects, self.down = {}, False
        self.safepoints.clear()
        self.changefeeds.clear()
        self.tasks.clear()
        self.advances, self.safepoint = [], 0
        self.variables = dict(VARIABLES)
        self.system = {"new_collation_enabled": "True", "tikv_gc_life_time": "10m0s", "tikv_gc_leader_uuid": "uuid-" + self.name}
        self.version, self.stores, self.copies, self.layout = version, 3, 3, "old"
        self.table_ids = {}
        for key, value in settings.items():
            setattr(self, key, value)
        for database in self.databases():
            self.run(f"DROP DATABASE `{database}`")
        for user, host in self.run("SELECT user, host FROM mysql.user WHERE user NOT IN ('mariadb.sys') AND NOT (user = 'root' AND host = 'localhost')"):
            self.run(f"DROP USER `{user}`@`{host}`")
        self.run("CREATE DATABASE test", f"CREATE USER root@'%' IDENTIFIED BY '{settings.get('password', 'root-' + self.name)}'",
                 "GRANT ALL ON *.* TO root@'%'")

    # MARK: time

    def tso(self):
        with self.gate, self.lock:
            now = time.time_ns() // 1000
            tso = ((now // 1000) << 18) | (now % 1000)
            self.last = max(self.last + 1, tso)
            while time.time_ns() // 1000 <= now + 1:
                pass
            return self.last

    def virtual(self, tso):
        """Milliseconds on the virtual clock, which `advance` moves."""
        real = tso >> 18
        return real + sum(delta for at, delta in self.advances if at <= real)

    def advance(self, seconds):
        with self.lock:
            time.sleep(0.002)
            self.advances.append((self.tso() >> 18, int(seconds * 1000)))
        self.collect()

    def collect(self):
        """What PD's GC does: the safepoint moves up to the life time, or to the lowest service safepoint."""
        now = self.tso()
        limit = self.virtual(now) - go_duration(self.variables["tidb_gc_life_time"]) * 1000
        candidates = [at for at, _ in self.advances if self.virtual(at << 18) - dict(self.advances)[at] <= limit]
        wanted = max([c << 18 for c in candidates] + [0])
        held = [ts for ts in self.safepoints.values()]
        held += [feed["checkpoint"] for feed in self.changefeeds.values() if feed["state"] in ("normal", "pending", "stopped", "warning")]
        self.safepoint = max(self.safepoint, min([wanted] + held))

    def check_snapshot(self, tso):
        if tso < self.safepoint:
            raise TidbError(9006, "GC life time is shorter than transaction duration, transaction starts at %d, GC safe point is %d" % (tso, self.safepoint))

    # MARK: what TiKV would count

    def table_id(self, database, table):
        with self.lock:
            return self.table_ids.setdefault((database, table), 100 + 2 * len(self.table_ids) + (1000 if self.name == "target" else 0))

    def checksum(self, database, table, snapshot=None):
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                if snapshot:
                    self.check_snapshot(snapshot)
                    cursor.execute("SET SESSION system_versioning_asof = %s", (moment(snapshot),))
                cursor.execute(f"SELECT COUNT(*) FROM `{database}`.`{table}`")
                rows = cursor.fetchone()[0]
                cursor.execute("SELECT COUNT(DISTINCT index_name) FROM information_schema.statistics WHERE table_schema = %s AND "
                               "table_name = %s AND index_name <> 'PRIMARY'", (database, table))
                indexes = cursor.fetchone()[0]
                cursor.execute(f"SELECT * FROM `{database}`.`{table}` ORDER BY 1")
                content = repr((self.table_id(database, table), cursor.fetchall()))
        finally:
            connection.close()
        crc = int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")
        return crc, rows * (1 + indexes), len(content)

    def dump(self):
        """All rows, for the tests' comparison: read from MariaDB itself."""
        found = {}
        for database, table in self.tables():
            columns = [r[0] for r in self.run(f"SHOW COLUMNS FROM `{database}`.`{table}`")]
            rows = self.run(f"SELECT * FROM `{database}`.`{table}`")
            found[f"{database}.{table}"] = [columns] + sorted([str(v) for v in row] for row in rows)
        return found


def go_duration(text):
    total, number = 0.0, ""
    units = {"h": 3600, "m": 60, "s": 1}
    for letter in text:
        if letter in units:
            total += float(number) * units[letter]
            number = ""
        else:
            number += letter
    if number or text == "":
        raise ValueError(text)
    return total


def go_text(text):
    seconds = int(go_duration(text))
    hours, minutes, rest = seconds // 3600, seconds % 3600 // 60, seconds % 60
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
