"""File trees: Ferry's `tree` over its direct channel beside rsync and tar over ssh, an rsync daemon in two passes, podman's export into
its import, and cp -a, in turns.

Ferry is measured as it is used: a whole run, with its channel's encryption and its proof, until `ferry` has returned. Peers have no proof, and
cp and the daemon no encryption. All write to a file system of their own, through memory that was touched before.
"""
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import channels
import samples
import sshd


class Trees:
    def __init__(self, ferry, root, files, large, rounds, many=0):
        self.ferry, self.root, self.rounds, self.many = ferry, root / "trees", rounds, many
        self.root.mkdir(parents=True)
        self.disk = Disk(self.root)
        self.place = self.disk.place
        self.turn = 0
        self.small, self.large, self.mix = (self.root / name for name in ("small", "large", "mix"))
        small_files(self.small, files, (0, 100, 500, 1000, 2000, 4000, 8000, 16000))
        samples.large_files(self.large, large)
        root_file_system(self.mix, 437_000_000 * files // 100_000)
        self.server = sshd.SSHD(self.root / "sshd")
        self.daemon = Daemon(self.root, self.place)

    def measure(self):
        """Rows of (tree, way, seconds, CPU seconds, peak MB of a Ferry process): medians."""
        rows = []
        channels.adopt()
        touch_memory()
        try:
            for name, tree in (("small files", self.small), ("root file system", self.mix), ("large files", self.large)):
                rows += self.whole(name, tree, self.daemon)
            rows += self.last(self.small, self.daemon)
            if self.many:
                rows += self.last_of_many()
        finally:
            self.disk.end()
        return rows

    def whole(self, name, tree, daemon):
        ways = {
            "tree over direct": lambda to: self.run(tree, to)[0],
            "rsync -aHAX over ssh": lambda to: self.shell(f"rsync -aHAX -e 'ssh -F {self.server.config}' {tree}/ 127.0.0.1:{to}/"),
            "tar over ssh": lambda to: self.shell(
                f"mkdir {to}; tar -C {tree} --xattrs --acls -cf - . | ssh -F {self.server.config} 127.0.0.1 "
                f"\"tar -C {to} --xattrs '--xattrs-include=*' --acls -xpf -\""),
            "rsync daemon, first pass": lambda to: self.shell(f"rsync -aHAX {tree}/ {daemon.url(to)}/"),
            **({"podman export over ssh": lambda to: self.podman(tree, to)} if shutil.which("podman") else {}),
            "cp -a": lambda to: self.shell(f"cp -a {tree} {to}"),
        }
        return self.turns(name, tree, ways)

    def podman(self, tree, to):
        """A volume at each end. Both are where the tree and its copy are, so that nothing else is measured."""
        to.mkdir()
        # Podman takes no long paths for what it keeps while it runs.
        with tempfile.TemporaryDirectory() as stores:
            ends = [f"podman --storage-driver vfs --root {stores}/{end} --runroot {stores}/{end}/run" for end in ("from", "to")]
            for podman, place in zip(ends, (tree, to)):
                self.shell(f"{podman} volume create --opt type=none --opt o=bind --opt device={place} v >/dev/null; {podman} volume mount v >/dev/null")
            try:
                return self.shell(f"{ends[0]} volume export v | ssh -F {self.server.config} 127.0.0.1 '{ends[1]} volume import v -'")
            finally:
                for podman in ends:
                    self.shell(f"{podman} volume unmount v >/dev/null; {podman} volume rm v >/dev/null")

    def last(self, tree, daemon):
        """The last pass, after a hundredth of all files has changed."""
        changes = max(1, files_in(tree) // 100)

        def ferried(verify, to):
            return self.run(tree, to, verify, changes)[1]

        def second(to):
            self.shell(f"rsync -aHAX {tree}/ {daemon.url(to)}/")
            change(tree, changes)
            return self.shell(f"rsync -aHAX --delete {tree}/ {daemon.url(to)}/")

        ways = {
            "tree, tracked": lambda to: ferried("tracked", to), "tree, everything looked at": lambda to: ferried("sweep", to),
            "rsync daemon, second pass": second,
        }
        return self.turns("last pass, 1 % changed", tree, ways)

    def last_of_many(self):
        """The last pass of a tree ten times as large or so, after as many changes."""
        tree = self.root / "many"
        small_files(tree, self.many, (0, 100, 500))
        changes = max(1, files_in(self.small) // 100)
        way = {"tree, tracked, as many changes": lambda to: self.run(tree, to, "tracked", changes)[1]}
        return self.turns(f"last pass, {self.many:,} files", tree, way, min(self.rounds, 2))

    def turns(self, name, tree, ways, rounds=None):
        found = {way: [] for way in ways}
        for number in range((rounds or self.rounds) + 1):
            for way, work in ways.items():
                self.turn += 1
                self.disk.renew()
                to = self.place / f"to-{self.turn}"
                with Peak(self.ferry) as peak:
                    spent, seconds = channels.cpu(lambda: self.served(work, to))
                if entries(to) != entries(tree):
                    raise SystemExit(f"bench: {way} left {entries(to)} entries at {to}, not {entries(tree)}")
                # The first round warms the page cache for all.
                if number:
                    found[way].append((seconds, spent, peak.megabytes))
        return [(name, way, *(statistics.median(column) for column in zip(*got))) for way, got in found.items()]

    def served(self, work, to):
        # They come and go with each turn, so that their CPU time counts.
        with self.server, self.daemon:
            return work(to)

    def shell(self, command):
        begin = time.perf_counter()
        subprocess.run(["sh", "-ec", command], check=True, stdin=subprocess.DEVNULL)
        return time.perf_counter() - begin

    def run(self, tree, to, verify="tracked", changes=0):
        """A whole run's seconds, and its last pass's."""
        folder = self.root / f"run-{self.turn}"
        folder.mkdir()
        hooks = ""
        if changes:
            hook = folder / "hooks" / "quiesce" / "source" / "10-change"
            hook.parent.mkdir(parents=True)
            hook.write_text(f"#!/bin/sh\nexec /usr/bin/python3 {Path(__file__).resolve()} {tree} {changes} >&2\n")
            hook.chmod(0o755)
            hooks = f"hooks: {folder}/hooks\n"
        (folder / "m.yaml").write_text(
            f"ferry: 1\nname: bench\nmode: copy\nchannel: direct\nverify: {verify}\n{hooks}"
            f"source:      {{ node: local, name: a, home: {folder}/a }}\ndestination: {{ node: local, name: b, home: {folder}/b }}\n"
            f"state:\n  - {{ name: t, provider: tree, from: {{ path: {tree} }}, to: {{ path: {to} }}, "
            f"track: {'true' if verify == 'tracked' else 'false'} }}\n")
        begin = time.perf_counter()
        done = subprocess.run(
            [self.ferry, "run", folder / "m.yaml", "--json"], stdout=subprocess.PIPE, text=True, check=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "FERRY_STATE": str(folder / "controller")})
        seconds = time.perf_counter() - begin
        passes = [event["seconds"] for event in map(json.loads, done.stdout.splitlines()) if event["kind"] == "pass"]
        shutil.rmtree(folder)
        return seconds, passes[-1]


class Peak:
    """The most memory that one `ferry host` of a command had, looked at often."""

    def __init__(self, ferry):
        self.program = os.path.realpath(ferry)

    def __enter__(self):
        self.megabytes, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def look(self):
        while not self.over.wait(0.2):
            for process in Path("/proc").iterdir():
                try:
                    if process.name.isdigit() and b"\0host\0" in (process / "cmdline").read_bytes() and os.readlink(process / "exe") == self.program:
                        peak = next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM"))
                        self.megabytes = max(self.megabytes, int(peak.split()[1]) / 1000)
                except (OSError, StopIteration):
                    pass


class Daemon:
    """NethServer's way: rsync on a port of its own, without encryption."""

    def __init__(self, root, place):
        self.place = place
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.settings = root / "rsyncd.conf"
        self.settings.write_text(
            f"port = {self.port}\naddress = 127.0.0.1\nuse chroot = no\nuid = {os.geteuid()}\ngid = {os.getegid()}\n"
            f"[place]\npath = {place}\nread only = no\n")

    def url(self, to):
        return f"rsync://127.0.0.1:{self.port}/place/{to.name}"

    def __enter__(self):
        self.process = subprocess.Popen(
            ["rsync", "--daemon", "--no-detach", f"--config={self.settings}"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                time.sleep(0.01)
        raise SystemExit("bench: the rsync daemon does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def entries(tree):
    """Links to folders among them, wherever they lead: rsync's daemon cuts links that leave its module."""
    return sum(len(folders) + len(names) for _, folders, names in os.walk(tree))


def small_files(to, count, sizes):
    """A hundred to a folder or so, as far as forty times twenty-five folders go."""
    for number in range(count):
        folder = to / f"{number % 40:02}" / f"{number // 40 % 25:02}"
        if number < 1000:
            folder.mkdir(parents=True)
        with open(f"{folder}/{number:06}", "wb") as file:
            file.write(random.randbytes(random.choice(sizes)))


def files_in(tree):
    return sum(len(names) for _, _, names in os.walk(tree))


def change(tree, count):
    """So many of the files get new content."""
    files = sorted(f"{folder}/{name}" for folder, _, names in os.walk(tree) for name in names)
    for path in random.sample(files, count):
        Path(path).write_bytes(random.randbytes(2000))


def root_file_system(to, size):
    """What a root file system holds, up to a size: small files and large ones, links, long paths."""
    to.mkdir()
    for place in ("/etc", "/usr/share", "/usr/lib", "/usr/bin"):
        (to / place[1:]).mkdir(parents=True)
        for entry in sorted(Path(place).iterdir()):
            if size <= 0:
                return
            own = int(subprocess.run(["du", "-sb", entry], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.split()[0])
            if own < 100_000_000:
                subprocess.run(["cp", "-a", entry, to / place[1:]], stderr=subprocess.DEVNULL)
                size -= own


class Disk:
    """ext4 in a file, where that may be mounted, made anew for each turn: ext4 is slow to give out inodes that were in use a minute ago. What
    is written there goes to the disk at once, as it does to a disk: not into the page cache once more."""

    def __init__(self, root):
        self.image, self.place = root / "image", root / "place"
        self.place.mkdir()
        self.device = None

    def renew(self):
        self.end()
        for left in self.place.iterdir():
            shutil.rmtree(left)
        # Somebody's mount namespace may still hold the old one: a new file gets a loop device of its own.
        self.image.unlink(missing_ok=True)
        with open(self.image, "wb") as file:
            file.truncate(24 << 30)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        if subprocess.run(["mkfs.ext4", "-q", "-F", self.image], **quiet).returncode:
            return
        losetup = ["losetup", "--find", "--show", "--direct-io=on", self.image]
        self.device = subprocess.run(losetup, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
        if self.device and subprocess.run(["mount", "-o", "noinit_itable", self.device, self.place], **quiet).returncode:
            self.release()

    def end(self):
        if self.device:
            subprocess.run(["umount", self.place], check=True)
            self.release()

    def release(self):
        subprocess.run(["losetup", "--detach", self.device], check=True)
        self.device = None


def touch_memory():
    """A virtual machine gets its memory when it is first used: that is not to be measured."""
    with open("/proc/meminfo") as info:
        free = next(int(line.split()[1]) * 1024 for line in info if line.startswith("MemAvailable"))
    subprocess.run(["/usr/bin/python3", "-c", f"b = bytearray({min(free // 2, 6 << 30)})\nfor i in range(0, len(b), 4096): b[i] = 1"])


def table(rows):
    print(f"\n{'tree':26}{'way':30}{'median':>10}{'ratio':>8}{'CPU s':>8}{'peak MB':>9}")
    base = {}
    for name, way, seconds, spent, megabytes in rows:
        if "rsync" in way and name not in base or way.startswith("rsync -aHAX"):
            base[name] = seconds
    # A larger tree's last pass is compared with the smaller one's: the aim is that it takes no longer.
    tracked = next((seconds for _, way, seconds, *_ in rows if way == "tree, tracked"), None)
    for name, way, seconds, spent, megabytes in rows:
        peak = f"{megabytes:>9.0f}" if megabytes else ""
        print(f"{name:26}{way:30}{seconds:>8.2f} s{seconds / base.get(name, tracked):>8.2f}{spent:>8.2f}{peak}".rstrip())


if __name__ == "__main__":
    import sys

    change(Path(sys.argv[1]), int(sys.argv[2]))
