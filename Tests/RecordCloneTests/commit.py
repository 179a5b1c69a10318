"""A Haystack server that takes commits as Haxall's `commit` does (ops `about`, `ops`, `read` and `commit`), with the codecs and filters of
rusty-haystack, which has no such op itself: commit.py. Prints its port. Each line on stdin says what to do: `set ID TAG TEXT` edits a record as
somebody else would, `add ID` makes one, `fail N` answers the Nth commit from now with an error, `commits` prints how many rows were committed."""
import datetime
import http.server
import sys
import threading
import rusty_haystack as rh

records = {}
lock = threading.Lock()
state = {"clock": 0, "fail": 0, "rows": 0}


class Failure(Exception):
    pass


def stamp():
    """A `mod` that no record has had."""
    state["clock"] += 1
    moment = datetime.datetime(2026, 11, 21) + datetime.timedelta(seconds=state["clock"])
    return rh.HDateTime(*moment.timetuple()[:6], 0, "UTC")


def grid(rows, meta=None):
    names = sorted({name for row in rows for name in row}) or ["empty"]
    return rh.HGrid.from_parts(rh.HDict(meta or {}), [rh.HCol(name) for name in names], [rh.HDict(row) for row in rows])


def known(row):
    """The record that a row means, if it is still what the row says that it was."""
    record = records.get(row["id"].val)
    if record is None:
        raise Failure(f"UnknownRecErr: {row['id']}")
    if str(record["mod"]) != str(row.get("mod")):
        raise Failure(f"ConcurrentChangeErr: {row['id']}")
    return record


def commit(asked):
    mode = asked.meta().get("commit")
    rows = [dict(row.items()) for row in asked.rows()]
    state["fail"] -= 1
    if state["fail"] == 0:
        raise Failure("the disk is full")
    # All or none: what is wrong is seen before anything is changed.
    done = []
    if mode == "add":
        for row in rows:
            if row["id"].val in records or "mod" in row:
                raise Failure(f"DiffErr: {row['id']} cannot be added")
            done.append(dict(row))
    elif mode == "update":
        for row in rows:
            record = dict(known(row))
            for name, value in row.items():
                if isinstance(value, rh.Remove):
                    record.pop(name, None)
                elif name not in ("id", "mod"):
                    record[name] = value
            done.append(record)
    elif mode == "remove":
        for row in rows:
            known(row)
        for row in rows:
            del records[row["id"].val]
    else:
        raise Failure(f"Unknown commit mode: {mode}")
    for record in done:
        record["mod"] = stamp()
        records[record["id"].val] = record
    state["rows"] += len(rows)
    return grid(done)


def answer(place, operation, asked):
    if operation == "about":
        return grid([{"haystackVersion": "4.0", "productName": "commit.py"}])
    if operation == "ops":
        return grid([{"def": rh.Symbol(f"op:{name}")} for name in ("about", "ops", "read", "commit")
                     if name != "commit" or place != "plain"])
    if operation == "read":
        first = asked.rows()[0]
        if first.get("filter") is not None:
            return grid([row for row in records.values() if rh.matches_filter(first["filter"], rh.HDict(row))])
        # A row without anything for each id that is not known.
        return grid([records.get(row["id"].val, {}) for row in asked.rows()])
    if operation == "commit":
        return commit(asked)
    raise Failure(f"no op {operation}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.reply(rh.decode_grid("text/zinc", text))

    def do_GET(self):
        self.reply(None)

    def reply(self, asked):
        with lock:
            try:
                found = answer(*self.path.split("/")[-2:], asked)
            except Failure as failure:
                found = grid([], {"err": rh.Marker(), "dis": str(failure)})
            body = rh.encode_grid("text/zinc", found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/zinc; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
for line in sys.stdin:
    words = line.split()
    with lock:
        if words[0] == "set":
            records[words[1]] |= {words[2]: words[3], "mod": stamp()}
        elif words[0] == "add":
            records[words[1]] = {"id": rh.Ref(words[1]), "dis": "Mine", "mod": stamp()}
        elif words[0] == "fail":
            state["fail"] = int(words[1])
        print(state["rows"] if words[0] == "commits" else "done", flush=True)
