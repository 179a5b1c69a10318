"""A Haystack server with a login: server.py PORT COUNT. Each line on stdin is a record's id and its new name, or an id to remove."""
import base64
import sys
import rusty_haystack as rh
from rusty_haystack import auth, server

port, count = int(sys.argv[1]), int(sys.argv[2])
graph = rh.SharedGraph(rh.EntityGraph())
for number in range(count):
    graph.add(rh.HDict({"id": rh.Ref(f"s{number}"), "site": rh.Marker(), "dis": f"Site {number}", "area": rh.Number(number, "ft²")}))
salt = b"0123456789abcdef"
parts = [base64.b64encode(part).decode() for part in (salt, *map(bytes, auth.derive_credentials("a word", salt, 1000)))]
manager = server.AuthManager.from_toml_str(
    f'[users.admin]\npassword_hash = "{parts[0]}:1000:{parts[1]}:{parts[2]}"\npermissions = ["read"]\n')
host = server.HaystackServer(graph)
for name, value in (("with_auth", manager), ("host", "127.0.0.1"), ("port", port)):
    host = getattr(host, name)(value) or host
host.run_background()
print("ready", flush=True)
for line in sys.stdin:
    words = line.split()
    if len(words) == 2:
        graph.update(words[0], rh.HDict({"dis": words[1]}))
    else:
        graph.remove(words[0])
    print("done", flush=True)
