"""Backups: `ferry transfer` and `ferry receive` beside plain `restic backup` and `restic restore`, and beside NethServer's way of starting a
container for each step. All make a repository, store a tree in it and restore it beside; only Ferry proves that both are equal.

NethServer's steps are those of its module-backup and module-restore: snapshots, init, backup, forget with prune, stats; restore. Its image is
made here, of the restic that the other ways run.
"""
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import samples
import trees

PASSWORD = "bench"


def available():
    missing = [name for name in ("restic",) if not shutil.which(name)]
    if missing:
        print(f"bench: backups are not measured: there is no {missing[0]}")
    return not missing


class Backups:
    def __init__(self, bench, root, files, large):
        self.bench, self.root, self.files = bench, root / "backups", files
        self.root.mkdir()
        self.disk = trees.Disk(self.root)
        self.small, self.large = self.root / "small", self.root / "large"
        samples.small_files(self.small, files)
        samples.large_files(self.large, large)
        (self.root / "password").write_text(PASSWORD)
        (self.root / "password").chmod(0o600)
        self.podman = self.image() if not os.geteuid() and shutil.which("podman") and shutil.which("runc") else None

    def measure(self, rounds):
        trees.touch_memory()
        try:
            for name, tree in ((f"{self.files:,} files", self.small), ("large files", self.large)):
                ways = {"ferry": self.ferry, "restic": self.restic}
                if self.podman:
                    ways["a container per step"] = self.containers
                found = {way: [] for way in ways}
                # The first round warms the page cache for all.
                for number in range(rounds + 1):
                    for way, work in ways.items():
                        self.disk.renew()
                        seconds = work(tree, self.disk.place)
                        self.compare(way, tree)
                        if number:
                            found[way].append(seconds)
                middle = {way: statistics.median(seconds) for way, seconds in found.items()}
                what = f"transfer, receive, {name}"
                self.bench.row(what, middle["ferry"], 1.1 * middle["restic"], ("restic", middle["restic"]))
                if self.podman:
                    self.bench.row(what, middle["ferry"], None, ("containers", middle["a container per step"]))
        finally:
            self.disk.end()
            if self.podman:
                subprocess.run([*self.podman, "rmi", "--force", "box"], capture_output=True)
                for name in ("engine/data/overlay", "engine/data"):
                    subprocess.run(["umount", "--lazy", self.root / name], capture_output=True)

    def compare(self, way, tree):
        """Sizes and names: what is restored is what was stored."""

        def sizes(root):
            return {os.path.relpath(os.path.join(folder, name), root): os.path.getsize(os.path.join(folder, name))
                    for folder, _, names in os.walk(root) for name in names}

        if sizes(self.disk.place / "to") != sizes(tree):
            raise SystemExit(f"bench: {way} restored something else")

    def ferry(self, tree, place):
        folder = place / "run"
        folder.mkdir()
        (folder / "m.yaml").write_text(
            f"ferry: 1\nname: bench\nsource:      {{ node: local, name: a, home: {folder}/a }}\n"
            f"destination: {{ node: local, name: b, home: {folder}/b }}\n"
            f"state:\n  - {{ name: t, provider: restic, from: {{ path: {tree} }}, to: {{ path: {place}/to }}, "
            f"repository: {place}/vault, secrets: {{ password: {{ file: {self.root}/password }} }} }}\n")
        environment = {**os.environ, "FERRY_STATE": str(folder / "controller")}
        return (timed([self.bench.ferry, "transfer", folder / "m.yaml"], environment)
                + timed([self.bench.ferry, "receive", folder / "m.yaml", "--snapshot", "latest"], environment))

    def restic(self, tree, place):
        environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": str(place / "vault")}
        return sum(timed(["restic", "--no-cache", *arguments], environment, tree) for arguments in (
            ["init"], ["backup", "."], ["restore", "latest", "--target", place / "to"]))

    def containers(self, tree, place):
        def step(*arguments, allowed=(0,)):
            return timed(
                [*self.podman, "run", "--rm", "--privileged", "--network=host", "--env=RESTIC_PASSWORD=" + PASSWORD, "--env=RESTIC_REPOSITORY=/vault",
                 f"--volume={place / 'vault'}:/vault", f"--volume={place / 'to'}:/to", f"--volume={tree}:/srv/state", "--workdir=/srv/state",
                 "box", "/bin/restic", "--no-cache", *arguments], allowed=allowed)

        for name in ("vault", "to"):
            (place / name).mkdir()
        return sum((step("snapshots", allowed=(1, 10)), step("init"), step("backup", "."), step("forget", "--prune", "--keep-last=3"), step("stats"),
                    step("restore", "latest", "--target", "/to")))

    def image(self):
        """restic and what it needs, in a Podman of the benchmark's own. Answers that Podman's command."""
        folder, tree = self.root / "engine", self.root / "box"
        folder.mkdir()
        path = shutil.which("restic")
        words = subprocess.run(["ldd", path], capture_output=True, text=True).stdout.split()
        for file in [word for word in words if word.startswith("/")]:
            there = tree / file.lstrip("/")
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, there)
        for name in ("bin", "tmp", "etc"):
            (tree / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tree / "bin" / "restic")
        subprocess.run(["tar", "-C", tree, "-cf", self.root / "box.tar", "."], check=True)
        (folder / "containers.conf").write_text(
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
        (folder / "storage.conf").write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/data"\nrunroot = "{folder}/run"\n')
        podman = ["env", f"CONTAINERS_CONF={folder}/containers.conf", f"CONTAINERS_STORAGE_CONF={folder}/storage.conf", "podman"]
        made = subprocess.run([*podman, "import", self.root / "box.tar", "box"], capture_output=True, text=True)
        if made.returncode:
            print(f"bench: no containers are measured: {made.stderr.strip()}")
            return None
        return podman


def timed(command, environment=None, folder=None, allowed=(0,)):
    begin = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)), env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode not in allowed:
        raise SystemExit(f"{done.stdout}\nbench: exit code {done.returncode}: {' '.join(map(str, command))}")
    return seconds
