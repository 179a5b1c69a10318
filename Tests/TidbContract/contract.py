"""tidb-contract: `contract.py FOLDER` starts two clusters and an S3 server, prints one line of JSON with their addresses, and ends with its
standard input. It is a stand-in with real rows, never TiDB."""
import asyncio, json, logging, os, ssl, subprocess, sys, threading, time

logging.disable(logging.CRITICAL)

import s3
from cluster import Cluster
from front import server
from ticdc import Api, Pd, serve


class Home:
    """What backup and restore ask of their cluster."""
    def __init__(self, cluster, client):
        self.cluster, self.client, self.name, self.version = cluster, client, cluster.name, cluster.version

    def tso(self):
        return self.cluster.tso()

    def check_snapshot(self, ts):
        self.cluster.check_snapshot(ts)

    def defect(self, name):
        return self.cluster.defects.get(name)

    def hold(self, ts):
        self.cluster.safepoints[self.client] = ts

    def drop_hold(self):
        self.cluster.safepoints.pop(self.client, None)


class Contract:
    def __init__(self, folder):
        self.folder, self.quiet = folder, False
        self.events, self.pause = [], None
        self.paused, self.resumed = threading.Event(), threading.Event()
        template = f"{folder}/template"
        os.makedirs(template)
        tables = "".join(open(f"/usr/share/mysql/{n}.sql").read() for n in ("mysql_system_tables", "mysql_system_tables_data"))
        subprocess.run(["mariadbd", "--no-defaults", "--bootstrap", f"--datadir={template}", "--innodb-log-file-size=8M"] + (["--user=root"] if os.geteuid() == 0 else []),
                       input=f"CREATE DATABASE mysql;\nUSE mysql;\n{tables}", text=True, check=True, capture_output=True, timeout=120)
        for name in ("source", "target"):
            os.makedirs(f"{folder}/{name}")
        self.clusters = {n: Cluster(n, f"{folder}/{n}", template) for n in ("source", "target")}
        for cluster in self.clusters.values():
            cluster.start()

    def home(self, cluster, client):
        return Home(cluster, client)

    # Each event is a place where a process can be killed: just before, or just after it had its effect.
    def event(self, where, what, when):
        if when == "before":
            self.events.append(f"{where}: {what}")
        number = len(self.events)
        if self.pause == [number, when]:
            self.paused.set()
            self.resumed.wait(60)
            self.pause = None
            if when == "before":
                raise ConnectionAbortedError("its sender was killed before it was sent")

    def control(self, command):
        cluster = self.clusters.get(command.get("cluster", ""))
        match command["do"]:
            case "reset":
                self.pause, self.events = None, []
                self.resumed.set()
                self.paused.clear()
                for name, one in self.clusters.items():
                    one.reset(**command.get(name, {}))
            case "set":
                if "defects" in command:
                    cluster.defects.update(command["defects"])
                for key, value in command.get("values", {}).items():
                    setattr(cluster, key, value)
            case "variable":
                cluster.variables[command["name"]] = command["value"]
            case "system":
                cluster.system[command["name"]] = command["value"]
            case "look":
                return {"variables": cluster.variables, "safepoint": cluster.safepoint, "safepoints": cluster.safepoints, "system": cluster.system,
                        "changefeeds": {k: {x: y for x, y in v.items() if x not in ("sink", "lock", "queue")} for k, v in cluster.changefeeds.items()},
                        "tasks": [t[:4] for t in cluster.tasks], "running": [s.statement for s in list(cluster.sessions.values()) if s.statement]}
            case "dump":
                return cluster.dump()
            case "databases":
                return cluster.databases()
            case "advance":
                cluster.advance(command["seconds"])
            case "collect":
                cluster.collect()
            case "run":
                with cluster.gate:
                    return [[str(v) for v in row] for row in cluster.run(*command["sql"])]
            case "tso":
                return cluster.tso()
            case "events":
                return self.events
            case "pause":
                self.events, self.pause = [], [command["event"], command["when"]]
                self.paused.clear()
                self.resumed.clear()
            case "paused":
                return self.paused.is_set()
            case "resume":
                self.pause = None
                self.resumed.set()
        return True

    def pd(self, cluster, body):
        home = Home(cluster, "br")
        match body["do"]:
            case "hello":
                return {"socket": cluster.socket, "name": cluster.name, "version": cluster.version, "defects": cluster.defects}
            case "tso":
                return cluster.tso()
            case "hold":
                return home.hold(body["ts"])
            case "drop":
                return home.drop_hold()
            case "check":
                return cluster.check_snapshot(body["ts"])
            case "event":
                return self.event(cluster.name, body["what"], body["when"])
            case "control":
                # The tests' own door, for who speaks HTTP and no SQL.
                return self.control({"cluster": cluster.name} | body["command"])


async def main(folder):
    contract = Contract(folder)
    addresses = {"s3": await asyncio.to_thread(s3.start, folder)}
    br = f"{folder}/br"
    with open(br, "w") as file:
        file.write(f"#!/bin/sh\n[ \"$1\" = --version ] && {{ echo 'Release Version: v7.5.1'; exit 0; }}\nexec {sys.executable} -B {os.path.dirname(os.path.abspath(__file__))}/br.py \"$@\"\n")
    os.chmod(br, 0o755)
    addresses["br"] = br
    addresses["diff"] = f"{folder}/sync_diff_inspector"
    with open(addresses["diff"], "w") as file:
        file.write(f"#!/bin/sh\nexec {sys.executable} -B {os.path.dirname(os.path.abspath(__file__))}/sync_diff.py \"$@\"\n")
    os.chmod(addresses["diff"], 0o755)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = f"{folder}/tls"
    os.makedirs(authority)
    make_certificates(authority)
    context.load_cert_chain(f"{authority}/server.pem", f"{authority}/server.key")
    context.load_verify_locations(f"{authority}/ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    servers = []
    for name, cluster in contract.clusters.items():
        plain = server(cluster, contract)
        await plain.start_server(host="127.0.0.1", port=0)
        secure = server(cluster, contract, context)
        await secure.start_server(host="127.0.0.1", port=0)
        servers += [plain, secure]
        addresses[name] = {"port": plain.sockets()[0].getsockname()[1], "tls": secure.sockets()[0].getsockname()[1],
                           "pd": f"127.0.0.1:{serve(Pd, cluster, contract)}", "cdc": f"http://127.0.0.1:{serve(Api, cluster, contract)}"}
    print(json.dumps(addresses), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for cluster in contract.clusters.values():
        cluster.server.kill()
    os._exit(0)


def make_certificates(folder):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name in ("server", "client"):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=127.0.0.1")
        with open(f"{folder}/{name}.ext", "w") as file:
            file.write("subjectAltName = IP:127.0.0.1, DNS:localhost\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
