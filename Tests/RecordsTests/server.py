"""A Haystack server with a login: server.py PORT COUNT. Each line on stdin says what to do: `set ID TAG VALUE` (a text, or a number of ft²),
`add ID DIS`, `remove ID`."""
import base64
import sys
import rusty_haystack as rh
from rusty_haystack import auth, server

port, count = int(sys.argv[1]), int(sys.argv[2])
graph = rh.SharedGraph(rh.EntityGraph())


def site(name, dis, area):
    graph.add(rh.HDict({"id": rh.Ref(name), "site": rh.Marker(), "dis": dis, "area": rh.Number(area, "ft²")}))


for number in range(count):
    site(f"s{number}", f"Site {number}", number)
for number, zone in enumerate(("Rome", "Oslo")):
    graph.add(rh.HDict({"id": rh.Ref(f"h{number}"), "point": rh.Marker(), "his": rh.Marker(), "tz": zone}))
salt = b"0123456789abcdef"
parts = [base64.b64encode(part).decode() for part in (salt, *map(bytes, auth.derive_credentials("a word", salt, 1000)))]
manager = server.AuthManager.from_toml_str(
    f'[users.admin]\npassword_hash = "{parts[0]}:1000:{parts[1]}:{parts[2]}"\npermissions = ["read", "write"]\n')
host = server.HaystackServer(graph)
for name, value in (("with_auth", manager), ("host", "127.0.0.1"), ("port", port)):
    host = getattr(host, name)(value) or host
host.run_background()
print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    if words[0] == "set":
        value = rh.Number(float(words[3]), "ft²") if words[2] == "area" else words[3]
        graph.update(words[1], rh.HDict({words[2]: value}))
    elif words[0] == "add":
        site(words[1], words[2], 1)
    else:
        graph.remove(words[1])
    print("done", flush=True)
