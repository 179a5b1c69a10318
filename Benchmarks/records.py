"""record-clone at size, both ends on this machine: called by bench.py, or alone: records.py FERRY FOLDER [COUNT]"""
import json
import os
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from pathlib import Path

import trees

FILTER = "point"


def make(ferry, folder, count):
    """A server's store with so many points, of some 300 bytes each in Zinc."""
    path = folder / "points.zinc"
    with open(path, "w") as file:
        file.write('ver:"3.0"\nid,dis,equipRef,his,kind,navName,point,sensor,siteRef,temp,tz,unit\n')
        for number in range(count):
            file.write(
                f'@p{number},"Point number {number} of the building",@e{number % 50000},M,"Number","T{number % 100}",M,M,@s{number % 1000},M,'
                f'"New_York","°C"\n')
    store = folder / "server.db"
    run(ferry, "records", "create", store, "--project", "server")
    began = time.monotonic()
    run(ferry, "records", "import", store, path)
    return store, time.monotonic() - began


def run(ferry, *words, **environment):
    done = subprocess.run([ferry, *map(str, words)], env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stdout}{done.stderr}")
    return done.stdout


FOUND = re.compile(
    r"found by ([a-z, ]+): (\d+) written, (\d+) removed; (\d+) bytes sent and (\d+) received, (\d+) of records; (\d+) questions")


def clone(ferry, folder, source, client, filter=FILTER):
    """One copy; answers its first pass: seconds, method, bytes both ways, of these no records, and how often the server had to ask."""
    manifest = folder / "records.yaml"
    manifest.write_text(
        f"ferry: 1\nname: records\nmode: copy\nsource: {{ node: local, name: a, home: {folder}/a }}\n"
        f"destination: {{ node: local, name: b, home: {folder}/b }}\n"
        f"state:\n  - {{ name: points, provider: record-clone, from: {{ store: '{source}' }}, to: {{ store: 'sqlite:{client}' }}, "
        f"filter: {filter}, allow-removals: true }}\n")
    events = [json.loads(line) for line in run(ferry, "run", manifest, "--json", FERRY_STATE=str(folder / "state")).splitlines()]
    passes = [event for event in events if event.get("kind") == "pass"]
    found = next(found for event in events if (found := FOUND.search(event.get("text") or "")))
    sent, received, content, questions = (int(found.group(group)) for group in (4, 5, 6, 7))
    return passes[0]["seconds"], passes[0]["text"], sent + received, sent + received - content, questions


def forget(client):
    """The client no longer knows how far it had followed the server's log."""
    with sqlite3.connect(client) as database:
        database.execute("UPDATE clone_sets SET epoch = 0")


def manifest_size(server):
    """What a manifest of every id and time of change would weigh, one line each."""
    with sqlite3.connect(f"file:{server}?mode=ro", uri=True) as database:
        return database.execute("SELECT sum(length(id) + 2 + 30) FROM records WHERE clone_set IS NULL").fetchone()[0]


def change(ferry, folder, server, numbers, name):
    path = folder / "changed.trio"
    path.write_text("---\n".join(
        f'id:@p{number}\ndis:"{name}"\nequipRef:@e{number % 50000}\nhis\nkind:"Number"\nnavName:"T{number % 100}"\npoint\nsensor\n'
        f'siteRef:@s{number % 1000}\ntemp\ntz:"New_York"\nunit:"°C"\n' for number in numbers))
    run(ferry, "records", "import", server, path)


def follow(ferry, folder, server, client):
    """Seconds from a commit at the server until the client has it, and from `ferry cutover` to the end of the last staying pass."""
    manifest = folder / "follow.yaml"
    manifest.write_text(
        f"ferry: 1\nname: follow\nmode: follow\nsource: {{ node: local, name: a, home: {folder}/a }}\n"
        f"destination: {{ node: local, name: b, home: {folder}/b }}\n"
        f"state:\n  - {{ name: points, provider: record-clone, follow: forever, from: {{ store: 'sqlite:{server}' }}, "
        f"to: {{ store: 'sqlite:{client}' }}, filter: {FILTER}, update-freq: 3s, allow-removals: true }}\n")
    environment = os.environ | {"FERRY_STATE": str(folder / "state")}
    process = subprocess.Popen(
        [ferry, "run", str(manifest), "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    delays = []
    with sqlite3.connect(f"file:{client}?mode=ro", uri=True) as database:
        def arrived(name):
            return database.execute("SELECT count(*) FROM records WHERE id = 'p:client:r:p11' AND instr(tags, ?)", (name.encode(),)).fetchone()[0]
        for number in range(4):
            change(ferry, folder, server, [11], f"change {number}")
            began = time.monotonic()
            while not arrived(f"change {number}"):
                if process.poll() is not None or time.monotonic() - began > 120:
                    raise SystemExit("the change does not come")
                time.sleep(0.01)
            delays.append(time.monotonic() - began)
    run_id = next(json.loads(line)["run"] for line in process.stdout)
    began = time.monotonic()
    run(ferry, "cutover", run_id, FERRY_STATE=str(folder / "state"))
    for line in process.stdout:
        event = json.loads(line)
        if event.get("kind") == "pass":
            break
    seen = time.monotonic() - began
    process.stdout.read()
    process.wait()
    # The first one waits for the run to begin.
    return max(delays[1:]), seen


SERVER = """
import sys
import rusty_haystack as rh
from rusty_haystack import server
graph = rh.SharedGraph(rh.EntityGraph())
for number in range(int(sys.argv[2])):
    graph.add(rh.HDict({"id": rh.Ref(f"p{number}"), "point": rh.Marker(), "dis": f"Point number {number} of the building",
        "equipRef": rh.Ref(f"e{number % 50000}"), "his": rh.Marker(), "kind": "Number", "navName": f"T{number % 100}",
        "sensor": rh.Marker(), "siteRef": rh.Ref(f"s{number % 1000}"), "temp": rh.Marker(), "tz": "New_York", "unit": "°C"}))
host = server.HaystackServer(graph)
for name, value in (("host", "127.0.0.1"), ("port", int(sys.argv[1]))):
    host = getattr(host, name)(value) or host
host.run_background()
print("ready", flush=True)
sys.stdin.read()
"""


def over_http(ferry, folder, count):
    """Records a second that a server of others delivers as Zinc, to curl and through a clone into SQLite."""
    python = subprocess.run(
        [Path(__file__).parent.parent / "Scripts" / "haystack-venv"], capture_output=True, text=True, check=True).stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([python, "-c", SERVER, str(port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        server.stdout.readline()
        alone, cloned = [], []
        for turn in range(3):
            began = time.monotonic()
            subprocess.run(
                ["curl", "-sSf", "-o", "/dev/null", "-H", "Accept: text/zinc", "-H", "Content-Type: text/zinc", "--retry", "20",
                 "--retry-connrefused", "--data-binary", f'ver:"3.0"\nfilter\n"{FILTER}"\n', f"http://127.0.0.1:{port}/api/read"], check=True)
            alone.append(count / (time.monotonic() - began))
            client = folder / f"http{turn}.db"
            run(ferry, "records", "create", client, "--project", "client")
            seconds, *_ = clone(ferry, folder, f"haystack+http://127.0.0.1:{port}/api", client)
            cloned.append(count / seconds)
        return statistics.median(alone), statistics.median(cloned)
    finally:
        server.kill()
        server.wait()


def measure(ferry, folder, count=1_000_000):
    """Rows of (what, value, unit)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server, seconds = make(ferry, folder, count)
    client = folder / "client.db"
    run(ferry, "records", "create", client, "--project", "client")
    rows = [("import from Zinc", count / seconds, "records/s")]
    with trees.Peak(ferry) as peak:
        seconds, method, *_ = clone(ferry, folder, f"sqlite:{server}", client)
    rows.append((f"initial clone ({method})", count / seconds, "records/s (aim 150,000)"))
    rows.append(("the most memory that one end had", peak.megabytes, "MB (aim 300)"))
    rows.append(("a manifest of all ids and times, as the page has it", manifest_size(server), "B"))
    _, method, every, _, _ = clone(ferry, folder, f"sqlite:{server}", client)
    rows.append((f"unchanged ({method}), all bytes both ways", every, "B (aim 200)"))
    change(ferry, folder, server, [7], "changed")
    with trees.Peak(ferry) as peak:
        _, method, every, _, _ = clone(ferry, folder, f"sqlite:{server}", client)
    rows.append((f"one change ({method}), all bytes both ways", every, "B (aim 1,000)"))
    rows.append(("the most memory that one end had", peak.megabytes, "MB (aim 300)"))
    change(ferry, folder, server, [number * (count // 1000) + 3 for number in range(1000)], "scattered")
    forget(client)
    with trees.Peak(ferry) as peak:
        _, method, every, found, questions = clone(ferry, folder, f"sqlite:{server}", client)
    rows.append((f"1,000 scattered changes ({method}), without the records", found, "B (aim 80,000)"))
    rows.append(("the same with the records", every, "B"))
    rows.append(("round trips for that", questions, "(aim 2)"))
    rows.append(("the most memory that one end had", peak.megabytes, "MB (aim 300)"))
    equal = run(ferry, "records", "verify", client, "--against", server)
    if "differs" in equal:
        raise SystemExit(f"the clones are not equal: {equal}")
    delay, seen = follow(ferry, folder, server, client)
    rows.append(("a change while followed, until the client has it", delay * 1000, "ms (aim 4,000)"))
    rows.append(("ferry cutover, until the pass ends", seen * 1000, "ms (aim 4,000)"))
    size = min(count, 200_000)
    alone, cloned = over_http(ferry, folder, size)
    rows.append((f"a server of others alone, {size:,} records as Zinc", alone, "records/s"))
    rows.append(("the same cloned into SQLite", cloned, f"records/s, {100 * cloned / alone:.0f} % (aim 60)"))
    return rows


if __name__ == "__main__":
    for what, value, unit in measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000):
        print(f"{what:60} {value:14,.0f} {unit}")
