"""What a running container costs to move with its memory: by Ferry (`podman-container` with `live: true`, `podman-volume`), and by hand: `podman container
checkpoint --export`, scp, `podman container restore --import`, which has the volumes in the checkpoint. It goes to the other host by the one way and comes
back by the other. Two hosts of this machine: a mount namespace each, with a /var/lib, a /run and an sshd of its own. Measured are all of it, and the
outage: from the stop until it goes on. The checkpoint by hand is not compressed: that is the faster way between two hosts that are near."""
import json
import os
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import sshd

HERE = Path(__file__).resolve().parent
COUNTER = "busybox dd if=/dev/urandom bs={memory} count=1 iflag=fullblock | busybox sleep 1000000 & i=0; while :; do i=$((i + 1)); echo $i >> /data/log; busybox sleep 0.05; done"


def available():
    missing = [name for name in ("podman", "runc", "busybox", "nsenter") if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing or os.geteuid():
        print(f"bench: memory is not measured: {missing or 'it needs root'}")
    return not missing and not os.geteuid()


class Host:
    """A mount namespace with what is a host's own."""

    def __init__(self, root, name, ferry, criu):
        self.name, self.folder = name, root / name
        for part in ("lib", "bin"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "containers.conf").write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n')
        self.program("podman", f"CONTAINERS_CONF={self.folder}/containers.conf exec /usr/bin/podman")
        self.program("criu", f"exec {criu}/criu")
        self.program("ferry", f"exec {ferry}")
        boot = (
            f"mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount --bind {self.folder}/lib /var/lib && "
            f"mount --bind {self.folder}/bin /usr/local/bin && echo up && exec sleep 1000000")
        self.holder = subprocess.Popen(["unshare", "--mount", "sh", "-c", boot], stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "up\n":
            raise SystemExit(f"bench: the host {name} does not boot")
        self.prefix = ["nsenter", "--target", str(self.holder.pid), "--mount", "--"]
        self.server = sshd.SSHD(self.folder / "sshd", path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", prefix=self.prefix)

    def program(self, name, line):
        (self.folder / "bin" / name).write_text(f'#!/bin/sh\n{line} "$@"\n')
        (self.folder / "bin" / name).chmod(0o755)

    def run(self, line, **options):
        done = subprocess.run([*self.prefix, "bash", "-o", "pipefail", "-c", line], capture_output=True, text=True, **options)
        if done.returncode:
            raise SystemExit(f"bench: {self.name}: {line}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout.strip()

    def end(self):
        subprocess.run([*self.prefix, "sh", "-c", "podman kill --all; podman rm --all --force --time 0; umount --lazy /var/lib/containers/storage/overlay"], capture_output=True)
        self.holder.kill()
        self.holder.wait()


class Memory:
    def __init__(self, bench, root, volume, memory):
        self.bench, self.volume, self.memory = bench, volume, memory
        self.root = root / "memory"
        self.root.mkdir()
        criu = subprocess.run([HERE.parent / "Scripts" / "criu"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split()[-1]
        self.one, self.two = (Host(self.root, name, bench.ferry, criu) for name in ("one", "two"))

    def measure(self, rounds):
        try:
            self.start()
            with self.one.server, self.two.server:
                pairs = [(self.ferried(), self.by_hand()) for _ in range(rounds + 1)][1:]
        finally:
            self.one.end()
            self.two.end()
        size = f"{self.volume >> 20}+{self.memory >> 20} MiB"
        for index, what in enumerate(("all", "outage")):
            ours, theirs = (statistics.median(way[index] for way in column) for column in zip(*pairs))
            self.bench.row(f"live, {size}, {what}", ours, 0.8 * theirs if what == "outage" else None, ("podman, scp", theirs))

    def start(self):
        tree = self.root / "image"
        (tree / "bin").mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), tree / "bin" / "busybox")
        (tree / "bin" / "sh").symlink_to("busybox")
        subprocess.run(["tar", "-C", tree, "-cf", self.root / "image.tar", "."], check=True)
        self.one.run(f"podman import {self.root}/image.tar box")
        script = COUNTER.format(memory=self.memory)
        self.one.run(f"podman run --detach --network none --name web --volume web-data:/data box sh -c '{script}'")
        folder = self.folder(self.one)
        for number in range(64):
            with open(folder / str(number), "wb") as file:
                for _ in range(max(1, (self.volume // 64) >> 20)):
                    file.write(random.randbytes(1 << 20))
        for _ in range(6000):
            if self.resident(self.one) >= self.memory:
                return
            time.sleep(0.01)
        raise SystemExit("bench: the container does not fill its memory")

    def folder(self, host):
        """Where the volume's content is, as this process sees it."""
        return host.folder / "lib/containers/storage/volumes/web-data/_data"

    def resident(self, host):
        """What the container's processes have in memory."""
        group = host.run("cat /proc/$(podman inspect --format '{{.State.Pid}}' web)/cgroup").splitlines()[0]
        total = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "cgroup").read_text().splitlines()[0] == group:
                    total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError):
                pass
        return total

    def ferried(self):
        """From one to two."""
        folder = self.bench.fresh()
        manifest = folder / "web.yaml"
        manifest.write_text(f"""ferry: 1
name: web
mode: move
source:      {{ node: local, name: a, home: {folder}/a }}
destination: {{ node: 'ssh://127.0.0.1:{self.two.server.port}', name: b, home: {folder}/b }}
state:
  - name: volumes
    provider: podman-volume
    from: {{ volumes-from: web }}
  - name: web
    provider: podman-container
    live: true
    from: {{ container: web }}
    to: {{ container: web }}
    after: [volumes]
""")
        begin = time.perf_counter()
        said = self.one.run(f"FERRY_STATE={folder}/controller FERRY_SSH_CONFIG={self.two.server.config} ferry run {manifest} --json")
        seconds = time.perf_counter() - begin
        self.check(self.two)
        shutil.rmtree(folder)
        return seconds, json.loads(said.splitlines()[-1])["receipt"]["outage"]["total"]

    def by_hand(self):
        """From two back to one. The checkpoint has the volume; restoring makes it."""
        there = f"ssh -F {self.one.server.config} 127.0.0.1"
        file = "/var/lib/web.tar"
        begin = time.perf_counter()
        self.two.run(
            f"podman container checkpoint --export {file} --compress none web && scp -q -F {self.one.server.config} {file} 127.0.0.1:{file} && "
            f"{there} podman container restore --import {file}")
        seconds = time.perf_counter() - begin
        self.check(self.one)
        self.two.run(f"podman rm web; podman volume rm web-data; rm {file}")
        self.one.run(f"rm {file}")
        return seconds, seconds

    def check(self, host):
        """It goes on there, with all of its memory and its volume."""
        folder = self.folder(host)
        before = (folder / "log").stat().st_size
        for _ in range(6000):
            if (folder / "log").stat().st_size > before:
                break
            time.sleep(0.01)
        numbers = [int(line) for line in (folder / "log").read_text().splitlines()]
        size = sum(entry.stat().st_size for entry in os.scandir(folder) if entry.name != "log")
        if (folder / "log").stat().st_size == before or numbers != list(range(1, len(numbers) + 1)):
            raise SystemExit(f"bench: the counter does not go on at {host.name}")
        if size != max(1, (self.volume // 64) >> 20) * 64 << 20 or self.resident(host) < self.memory:
            raise SystemExit(f"bench: at {host.name} the volume has {size} bytes, the memory {self.resident(host)}")
