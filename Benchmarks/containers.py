"""What a whole container costs to move: a Docker container with a volume, by Ferry and by hand, in two ways:

- `docker save | docker load` while it runs, then stop, the volume by tar through ssh, create, start;
- as the scripts of the Docker migration page do it: the volume and the layer as archives in a folder, scp, unpacked by helper containers. The
  image is brought before. The page does not stop the container: what it writes after the archive was made is lost, and counts as outage.

It goes to the other engine by Ferry and comes back by hand, so all move the same. The outage is what the container itself saw: it writes the time since boot
into its volume twenty times a second, and the longest gap is taken. Beside it stands the time for all of it."""
import json
import os
import random
import shutil
import statistics
import subprocess
import time

import layers
import sshd

SCRIPT = "trap 'exit 0' TERM; while :; do read up rest < /proc/uptime; echo $up >> /data/log; sleep 0.05; done"


class Containers(layers.Layers):
    def __init__(self, bench, root, size):
        self.bench, self.root, self.size, self.changes = bench, root / "containers", size, 0
        self.root.mkdir()
        self.engines = {}
        self.server = sshd.SSHD(self.root / "sshd", path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")

    def image(self):
        """A shell and the programs that the page needs, and a layer of a tenth of the volume's size."""
        tree = self.root / "image"
        (tree / "content").mkdir(parents=True)
        (tree / "content" / "random").write_bytes(random.randbytes(self.size // 10))
        super().image()

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
                "one", "run", "--detach", "--network", "none", "--name", "web", "--volume", "web-data:/data", "box", "bash", "-c", SCRIPT)
            folder = self.ask("one", "volume", "inspect", "--format", "{{.Mountpoint}}", "web-data")
            for number in range(64):
                with open(f"{folder}/{number}", "wb") as file:
                    for _ in range(max(1, (self.size // 64) >> 20)):
                        file.write(random.randbytes(1 << 20))
            ways = {"save|load, tar": self.by_hand, "the page's scripts": self.by_the_page}
            with self.server:
                rows = [(name, self.ferried(), way()) for _ in range(rounds + 1) for name, way in ways.items()][len(ways):]
        finally:
            self.end()
        for name in ways:
            for index, what in enumerate(("all", "outage")):
                ours = statistics.median(ferry[index] for _, ferry, _ in rows)
                theirs = statistics.median(hand[index] for way, _, hand in rows if way == name)
                aim = theirs / 3 if what == "outage" else None
                self.bench.row(f"container, {self.size >> 20} MiB volume, {what}", ours, aim, (name, theirs))
            reported = statistics.median(ferry[2] for _, ferry, _ in rows)
        print(f"container, {self.size >> 20} MiB volume: Ferry itself reports an outage of {reported:.2f} s")

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
        reported = json.loads(done.stdout.splitlines()[-1])["receipt"]["outage"]["total"]
        outage = self.check("two")
        self.docker("one", "rmi", "box")
        shutil.rmtree(folder)
        return seconds, outage, reported

    def by_hand(self):
        """From two back to one."""
        one, two = (f"docker -H {self.address(engine)}" for engine in ("one", "two"))
        there = f"ssh -F {self.server.config} 127.0.0.1"
        begin = time.perf_counter()
        self.shell(f"{two} save box | {there} {one} load")
        self.shell(f"{two} stop --time 5 web")
        self.shell(f"{there} {one} volume create web-data")
        source, target = (f"$({docker} volume inspect --format '{{{{.Mountpoint}}}}' web-data)" for docker in (two, one))
        self.shell(f"tar --xattrs --acls --numeric-owner -C {source} -cf - . | {there} tar --xattrs --acls --numeric-owner -C {target} -xpf -")
        self.start_again("--volume", "web-data:/data")
        seconds = time.perf_counter() - begin
        return seconds, self.came_back()

    def by_the_page(self):
        """From two back to one."""
        one, two = (f"docker -H {self.address(engine)}" for engine in ("one", "two"))
        there = f"ssh -F {self.server.config} 127.0.0.1"
        backup, target = (self.root / name for name in ("backup", "target"))
        for folder in (backup, target):
            folder.mkdir()
        begin = time.perf_counter()
        self.shell(f"{two} save box | {there} {one} load")
        self.shell(f"{two} run --rm --network none --volumes-from web:ro -v {backup}:/backup box tar -cPf /backup/web-data.tar /data")
        self.shell(f"{two} diff web | while read type path; do [ $type = D ] || echo $path; done | sed '/^\\/data$/d' | "
                   f"{two} exec -i web bash -c 'tar cP --no-recursion -T -' > {backup}/layer.tar")
        self.shell(f"scp -O -q -F {self.server.config} {backup}/*.tar 127.0.0.1:{target}/")
        self.shell(f"{there} {one} run --name helper --network none --mount type=volume,src=web-data,dst=/data -v {target}:/backup box "
                   "tar -xPf /backup/web-data.tar")
        self.start_again("--volumes-from", "helper")
        self.shell(f"{one} exec -i web bash -c 'tar xPf - -C /' < {target}/layer.tar")
        seconds = time.perf_counter() - begin
        outage = self.came_back()
        # As it was before, without what the helper had mounted.
        self.docker("one", "rm", "--force", "web", "helper")
        self.start_again("--volume", "web-data:/data")
        for folder in (backup, target):
            shutil.rmtree(folder)
        return seconds, outage

    def start_again(self, *volumes):
        self.docker("one", "run", "--detach", "--network", "none", "--name", "web", *volumes, "box", "bash", "-c", SCRIPT)

    def came_back(self):
        outage = self.check("one")
        self.docker("two", "rm", "--force", "--volumes", "web")
        self.docker("two", "volume", "rm", "--force", "web-data")
        self.docker("two", "rmi", "box")
        return outage

    def shell(self, line):
        subprocess.run(["bash", "-o", "pipefail", "-c", line], check=True, stdout=subprocess.DEVNULL)

    def check(self, engine):
        """It runs there, with all of its volume. Answers the longest time without a line in its log, which begins anew for the next move."""
        folder = self.ask(engine, "volume", "inspect", "--format", "{{.Mountpoint}}", "web-data")
        size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name != "log")
        if self.ask(engine, "inspect", "--format", "{{.State.Running}}", "web") != "true" or size != max(1, (self.size // 64) >> 20) * 64 << 20:
            raise SystemExit(f"bench: web does not run at {engine}, or its volume has {size} bytes")
        now = float(open("/proc/uptime").read().split()[0])
        while True:
            with open(f"{folder}/log") as log:
                times = [float(line) for line in log]
            if times[-1] > now:
                break
            time.sleep(0.05)
        open(f"{folder}/log", "w").close()
        return max(later - earlier for earlier, later in zip(times, times[1:]))
