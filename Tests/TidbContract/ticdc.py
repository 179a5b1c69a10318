"""TiCDC's HTTP API v2, as far as it is documented, with changes that really move: they are read from MariaDB's history."""
import json, re, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql

from cluster import SYSTEM, moment, to_tso
from engine import selected


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def fail(self, code, message, status=400):
        self.reply(status, {"error_msg": f"[{code}]{message}", "error_code": code})

    def handle_one(self, method):
        cluster, contract = self.server.cluster, self.server.contract
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}") if length else {}
        path = urlsplit(self.path).path
        fault = cluster.defects.get("cdc")
        if cluster.down or fault == "absent":
            self.close_connection = True
            return self.connection.close()
        if fault == "broken-query" and method == "GET" and "/changefeeds/" in path:
            return self.fail("CDC:ErrInternalServerError", "etcd is not available", 500)
        if path == "/api/v2/status":
            return self.reply(200, {"version": cluster.version, "is_owner": True, "liveness": 0})
        if path == "/api/v2/changefeeds" and method == "GET":
            items = [{"id": i, "namespace": "default", "state": f["state"], "checkpoint_tso": f["checkpoint"]} for i, f in cluster.changefeeds.items()]
            return self.reply(200, {"total": len(items), "items": items})
        if path == "/api/v2/changefeeds" and method == "POST":
            contract.event(cluster.name, "POST changefeed", "before")
            self.create(cluster, body)
            return contract.event(cluster.name, "POST changefeed", "after")
        if match := re.match(r"/api/v2/changefeeds/([^/]+)/(pause|resume)$", path):
            feed = cluster.changefeeds.get(match[1])
            if not feed:
                return self.fail("CDC:ErrChangeFeedNotExists", f"changefeed not exists, {match[1]}")
            contract.event(cluster.name, f"POST {match[2]}", "before")
            with feed["lock"]:
                feed["state"] = "stopped" if match[2] == "pause" else "normal"
            self.reply(200, {})
            return contract.event(cluster.name, f"POST {match[2]}", "after")
        if match := re.match(r"/api/v2/changefeeds/([^/]+)$", path):
            feed = cluster.changefeeds.get(match[1])
            if not feed:
                return self.fail("CDC:ErrChangeFeedNotExists", f"changefeed not exists, {match[1]}", 404 if method == "GET" else 400)
            if method == "GET":
                return self.reply(200, {"id": match[1], "namespace": "default", "sink_uri": re.sub(r":[^:@/]+@", ":xxxxx@", feed["sink"]),
                                        "start_ts": feed["start"], "state": feed["state"], "error": feed["error"],
                                        "checkpoint_ts": 0 if fault == "zero" else feed["checkpoint"], "resolved_ts": feed["checkpoint"]})
            if method == "DELETE":
                contract.event(cluster.name, "DELETE changefeed", "before")
                cluster.changefeeds.pop(match[1], None)
                self.reply(200, {})
                return contract.event(cluster.name, "DELETE changefeed", "after")
        self.fail("CDC:ErrAPIInvalidParam", "unknown path", 404)

    def create(self, cluster, body):
        name, start = body.get("changefeed_id"), body.get("start_ts", 0)
        if name in cluster.changefeeds:
            return self.fail("CDC:ErrChangeFeedAlreadyExists", f"changefeed already exists, {name}")
        if start < cluster.safepoint:
            return self.fail("CDC:ErrStartTsBeforeGC", f"fail to create or maintain changefeed because start-ts {start} is earlier than or equal to GC safepoint at {cluster.safepoint}")
        rules = body.get("replica_config", {}).get("filter", {}).get("rules", ["*.*"])
        for database, table in selected(cluster.tables(), {"kind": "filter", "names": rules}):
            if not cluster.run("SELECT 1 FROM information_schema.statistics WHERE table_schema = '%s' AND table_name = '%s' AND non_unique = 0 "
                               "GROUP BY index_name HAVING SUM(nullable = 'YES') = 0" % (database, table)):
                return self.fail("CDC:ErrTableIneligible", f"some tables are not eligible to replicate, [{database}.{table}]")
        feed = {"sink": body["sink_uri"], "start": start, "checkpoint": start, "state": "pending", "error": None, "rules": rules, "lock": threading.Lock(),
                "queue": [], "captured": start}
        cluster.changefeeds[name] = feed
        threading.Thread(target=follow, args=(cluster, name, feed), daemon=True).start()
        self.reply(200, {"id": name, "start_ts": start, "state": "normal"})

    def do_GET(self):
        self.handle_one("GET")

    def do_POST(self):
        self.handle_one("POST")

    def do_DELETE(self):
        self.handle_one("DELETE")


def follow(cluster, name, feed):
    """Applies what changed between the checkpoint and now, again and again."""
    time.sleep(0.1)
    sink = urlsplit(feed["sink"])
    while cluster.changefeeds.get(name) is feed:
        fault = cluster.defects.get("cdc")
        if fault == "failed":
            feed["state"], feed["error"] = "failed", {"addr": "127.0.0.1:8300", "code": "CDC:ErrSnapshotLostByGC", "message": "fail to create or maintain changefeed due to snapshot loss caused by GC"}
            return
        if feed["state"] == "pending":
            feed["state"] = "normal"
        # The clock waits for writes, and a write that changes definitions waits for the feed: so the clock comes first.
        resolved = cluster.tso()
        with feed["lock"]:
            if fault == "lag" or feed["state"] == "stopped":
                pass
            else:
                try:
                    capture(cluster, feed, resolved)
                    apply(feed, sink)
                    feed["checkpoint"], feed["state"], feed["error"] = feed["captured"], "normal", None
                except Exception as error:  # a sink that is away: TiCDC tries again
                    feed["state"], feed["error"] = "warning", {"addr": "127.0.0.1:8300", "code": "CDC:ErrMySQLTxnError", "message": str(error)}
        time.sleep(0.05)


def define(cluster, database, statement, run):
    """A statement that changes definitions: what was written before it is noted by the old ones, and then the statement itself."""
    feeds = list(cluster.changefeeds.values())
    for feed in feeds:
        feed["lock"].acquire()
    try:
        for feed in feeds:
            capture(cluster, feed, cluster.tso())
        result = run()
        for feed in feeds:
            feed["queue"].append((database, statement, None))
            feed["captured"] = cluster.tso()
        return result
    finally:
        for feed in feeds:
            feed["lock"].release()


def capture(cluster, feed, resolved):
    """Puts what changed since the last time into the queue, in order."""
    if resolved <= feed["captured"]:
        return
    events = []
    for database, table in selected([t for t in cluster.tables() if t[0] not in SYSTEM], {"kind": "filter", "names": feed["rules"]}):
        columns = [r[0] for r in cluster.run(f"SHOW COLUMNS FROM `{database}`.`{table}`")]
        names = ",".join(f"`{c}`" for c in columns)
        low, high = moment(feed["captured"]), moment(resolved)
        rows = cluster.run(f"SELECT {names}, ROW_START, ROW_END FROM `{database}`.`{table}` FOR SYSTEM_TIME ALL WHERE "
                           f"(ROW_START > '{low}' AND ROW_START <= '{high}') OR (ROW_END > '{low}' AND ROW_END <= '{high}')")
        keys = [r[0] for r in cluster.run("SELECT column_name FROM information_schema.statistics WHERE table_schema = '%s' AND table_name = '%s' AND non_unique = 0 "
                                          "AND index_name = (SELECT index_name FROM information_schema.statistics WHERE table_schema = '%s' AND table_name = '%s' AND non_unique = 0 ORDER BY index_name = 'PRIMARY' DESC LIMIT 1)" % (database, table, database, table))]
        keys = [k for k in keys if k in columns]
        for row in rows:
            values, born, died = row[:-2], row[-2], row[-1]
            key = [values[columns.index(k)] for k in keys]
            if feed["captured"] < to_tso(died) <= resolved:
                events.append((died, 0, f"DELETE FROM `{database}`.`{table}` WHERE " + " AND ".join(f"`{k}` = %s" for k in keys), key))
            if feed["captured"] < to_tso(born) <= resolved:
                events.append((born, 1, f"REPLACE INTO `{database}`.`{table}` ({names}) VALUES ({','.join(['%s'] * len(columns))})", list(values)))
    feed["queue"] += [(None, statement, values) for _, _, statement, values in sorted(events, key=lambda e: (e[0], e[1]))]
    feed["captured"] = resolved


def apply(feed, sink):
    if not feed["queue"]:
        return
    files = parse_qs(sink.query)
    secure = {option: files[name][0] for name, option in (("ssl-ca", "ssl_ca"), ("ssl-cert", "ssl_cert"), ("ssl-key", "ssl_key")) if name in files}
    connection = pymysql.connect(host=sink.hostname, port=sink.port, user=unquote(sink.username or ""), password=unquote(sink.password or ""), autocommit=True, charset="utf8mb4",
                                 **(secure or {"ssl_disabled": True}))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            while feed["queue"]:
                database, statement, values = feed["queue"][0]
                if database:
                    connection.select_db(database)
                cursor.execute(statement, values)
                feed["queue"].pop(0)
    finally:
        connection.close()


class Pd(BaseHTTPRequestHandler):
    """What the stand-in br asks of its --pd address, instead of PD's own protocol."""
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        try:
            answer = {"answer": self.server.contract.pd(self.server.cluster, body)}
        except Exception as error:
            answer = {"error": str(error)}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve(handler, cluster, contract):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.cluster, server.contract = cluster, contract
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
