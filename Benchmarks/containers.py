"""What a whole container costs to move: a Docker container with a volume, by Ferry and by hand (`docker save | docker load` while it runs, then stop, the
volume by tar through ssh, create, start). It goes to the other engine by the one way and comes back by the other, so both move the same. Measured are all
of it, and the outage: from the stop until it is up again."""
import json
import os
import random
import shutil
import statistics
import subprocess
import time

import layers
import sshd


class Containers(layers.Layers):
    def __init__(self, bench, root, size):
        self.bench, self.root, self.size = bench, root / "containers", size
        self.root.mkdir()
        self.engines = {}
        self.server = sshd.SSHD(self.root / "sshd", path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")

    def image(self):
        """A static shell, and a layer of a tenth of the volume's size."""
        tree = self.root / "image"
        (tree / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), tree / "bin" / "busybox")
        for name in ("sh", "sleep"):
            (tree / "bin" / name).symlink_to("busybox")
        (tree / "content").write_bytes(random.randbytes(self.size // 10))
        subprocess.run(["tar", "-C", tree, "-cf", self.root / "image.tar", "."], check=True)

    def ask(self, engine, *arguments):
        return subprocess.run(
            ["docker", "-H", self.address(engine), *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def measure(self, rounds):
        self.image()
        try:
            for engine in ("one", "two"):
                self.start(engine)
            self.docker("two", "rmi", "box")
            self.docker(
                "one", "run", "--detach", "--network", "none", "--name", "web", "--volume", "web-data:/data", "box", "sh", "-c",
                "trap 'exit 0' TERM; while :; do echo x >> /data/log; sleep 0.05; done")
            folder = self.ask("one", "volume", "inspect", "--format", "{{.Mountpoint}}", "web-data")
            for number in range(64):
                with open(f"{folder}/{number}", "wb") as file:
                    for _ in range(max(1, (self.size // 64) >> 20)):
                        file.write(random.randbytes(1 << 20))
            with self.server:
                pairs = [(self.ferried(), self.by_hand()) for _ in range(rounds + 1)][1:]
        finally:
            self.end()
        for index, what in enumerate(("all", "outage")):
            ours, theirs = (statistics.median(way[index] for way in column) for column in zip(*pairs))
            aim = theirs / 3 if what == "outage" else None
            self.bench.row(f"container, {self.size >> 20} MiB volume, {what}", ours, aim, ("save|load, tar", theirs))

    def ferried(self):
        """From one to two."""
        folder = self.bench.fresh()
        one, two = (self.address(engine) for engine in ("one", "two"))
        manifest = folder / "web.yaml"
        manifest.write_text(f"""ferry: 1
name: web
mode: move
source:      {{ node: local, name: a, home: {folder}/a }}
destination: {{ node: 'ssh://127.0.0.1:{self.server.port}', name: b, home: {folder}/b, deploy: true }}
services:
  - name: web
    docker: web
    source: {{ environment: {{ DOCKER_HOST: '{one}' }} }}
    destination: {{ environment: {{ DOCKER_HOST: '{two}' }} }}
state:
  - name: volumes
    provider: docker-volume
    from: {{ volumes-from: web, engine: '{one}' }}
    to: {{ engine: '{two}' }}
  - name: web
    provider: docker-container
    from: {{ container: web, engine: '{one}' }}
    to: {{ container: web, engine: '{two}' }}
    after: [volumes]
  - name: layer
    provider: docker-layer
    from: {{ container: web, engine: '{one}' }}
    to: {{ container: web, made-by: web, engine: '{two}' }}
    after: [web]
    allow-empty: true
""")
        environment = {**os.environ, "FERRY_STATE": str(folder / "controller"), "FERRY_SSH_CONFIG": str(self.server.config)}
        begin = time.perf_counter()
        done = subprocess.run([self.bench.ferry, "run", manifest, "--json"], env=environment, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
        if done.returncode:
            raise SystemExit(f"{done.stdout[-2000:]}\nbench: exit code {done.returncode}")
        outage = json.loads(done.stdout.splitlines()[-1])["receipt"]["outage"]["total"]
        self.check("two")
        self.docker("one", "rmi", "box")
        shutil.rmtree(folder)
        return seconds, outage

    def by_hand(self):
        """From two back to one."""
        one, two = (f"docker -H {self.address(engine)}" for engine in ("one", "two"))
        there = f"ssh -F {self.server.config} 127.0.0.1"
        begin = time.perf_counter()
        self.shell(f"{two} save box | {there} {one} load")
        stopped = time.perf_counter()
        self.shell(f"{two} stop --time 5 web")
        self.shell(f"{there} {one} volume create web-data")
        source, target = (f"$({docker} volume inspect --format '{{{{.Mountpoint}}}}' web-data)" for docker in (two, one))
        self.shell(f"tar --xattrs --acls --numeric-owner -C {source} -cf - . | {there} tar --xattrs --acls --numeric-owner -C {target} -xpf -")
        script = self.ask("two", "inspect", "--format", "{{index .Config.Cmd 2}}", "web")
        self.docker("one", "run", "--detach", "--network", "none", "--name", "web", "--volume", "web-data:/data", "box", "sh", "-c", script)
        seconds = time.perf_counter()
        self.check("one")
        self.docker("two", "rm", "--volumes", "web")
        self.docker("two", "volume", "rm", "--force", "web-data")
        self.docker("two", "rmi", "box")
        return seconds - begin, seconds - stopped

    def shell(self, line):
        subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, stdout=subprocess.DEVNULL)

    def check(self, engine):
        """It runs there, with all of its volume."""
        folder = self.ask(engine, "volume", "inspect", "--format", "{{.Mountpoint}}", "web-data")
        size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name != "log")
        if self.ask(engine, "inspect", "--format", "{{.State.Running}}", "web") != "true" or size != max(1, (self.size // 64) >> 20) * 64 << 20:
            raise SystemExit(f"bench: web does not run at {engine}, or its volume has {size} bytes")
