"""record-clone at size, both ends on this machine: called by bench.py, or alone: records.py FERRY FOLDER [COUNT]"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

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


def clone(ferry, folder, server, client):
    """One copy; answers the seconds of its first pass, the methods and the records written."""
    manifest = folder / "records.yaml"
    manifest.write_text(
        f"ferry: 1\nname: records\nmode: copy\nsource: {{ node: local, name: a, home: {folder}/a }}\n"
        f"destination: {{ node: local, name: b, home: {folder}/b }}\n"
        f"state:\n  - {{ name: points, provider: record-clone, from: {{ store: 'sqlite:{server}' }}, to: {{ store: 'sqlite:{client}' }}, "
        f"filter: {FILTER} }}\n")
    events = [json.loads(line) for line in run(ferry, "run", manifest, "--json", FERRY_STATE=str(folder / "state")).splitlines()]
    passes = [event for event in events if event.get("kind") == "pass"]
    logs = [found for event in events if (found := re.search(r"found by ([a-z, ]+): (\d+) written, (\d+) removed", event.get("text", "")))]
    return passes[0]["seconds"], passes[0].get("bytes", 0), [found.group(1) for found in logs]


def measure(ferry, folder, count=1_000_000):
    """Rows of (what, value, unit)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server, seconds = make(ferry, folder, count)
    client = folder / "client.db"
    run(ferry, "records", "create", client, "--project", "client")
    rows = [("import from Zinc", count / seconds, "records/s")]
    seconds, _, _ = clone(ferry, folder, server, client)
    rows.append(("initial clone", count / seconds, "records/s (aim 150,000)"))
    seconds, sent, _ = clone(ferry, folder, server, client)
    rows.append(("unchanged, bytes from the server", sent, "B"))
    changed = folder / "changed.trio"
    changed.write_text("id:@p7\npoint\ndis:changed\n---\n")
    run(ferry, "records", "import", server, changed)
    seconds, sent, _ = clone(ferry, folder, server, client)
    rows.append(("one change, bytes from the server", sent, "B"))
    equal = run(ferry, "records", "verify", client, "--against", server)
    if "differs" in equal:
        raise SystemExit(f"the clones are not equal: {equal}")
    return rows


if __name__ == "__main__":
    for what, value, unit in measure(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1_000_000):
        print(f"{what:40} {value:14,.0f} {unit}")
