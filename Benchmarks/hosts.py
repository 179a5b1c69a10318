"""What another host costs: the time to the first byte there, and rsync through Ferry beside rsync through ssh. The other host is this one, by ssh."""
import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

import samples
import sshd

HERE = Path(__file__).resolve().parent


class Hosts:
    def __init__(self, bench, include, root, files, large):
        self.bench, self.root = bench, root / "hosts"
        plugins = self.root / "plugins"
        plugins.mkdir(parents=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", f"-I{include}", "-o", plugins / "stream.so", HERE / "stream.c"], check=True)
        self.small, self.large = self.root / "small", self.root / "large"
        samples.small_files(self.small, files)
        samples.large_files(self.large, large)
        folders = f"{plugins}:{bench.ferry.parent.parent}/lib/ferry/plugins"
        # The other end finds the plugins by a ferry of its own.
        bin = self.root / "bin"
        bin.mkdir()
        (bin / "ferry").write_text(f"#!/bin/sh\nFERRY_PLUGINS='{folders}' exec '{bench.ferry}' \"$@\"\n")
        (bin / "ferry").chmod(0o755)
        self.server = sshd.SSHD(self.root / "sshd", path=f"{bin}:/usr/local/bin:/usr/bin:/bin")
        self.environment = {"FERRY_SSH_CONFIG": str(self.server.config), "FERRY_PLUGINS": folders}

    def measure(self, rounds):
        with self.server:
            first = [self.first_byte() for _ in range(rounds + 1)][1:]
            self.bench.row("first byte on an ssh node", statistics.median(first), 0.6)
            for name, tree in (("small files", self.small), ("large files", self.large)):
                self.rsync(tree)
                pairs = [(self.ferried(tree), self.rsync(tree)) for _ in range(rounds)]
                ours, theirs = (statistics.median(column) for column in zip(*pairs))
                self.bench.row(f"rsync over direct, {name}", ours, 0.9 * theirs, ("rsync -e ssh", theirs))

    def run(self, folder, state):
        return self.bench.run(folder, state, destination=f"ssh://127.0.0.1:{self.server.port}", channel="direct", **self.environment)

    def first_byte(self):
        folder = self.bench.fresh()
        begin = time.time()
        self.run(folder, f"  - {{ name: s, provider: bench-stream, from: {{ bytes: 1 }}, to: {{ first: {folder}/first }} }}\n")
        seconds = float((folder / "first").read_text()) - begin
        shutil.rmtree(folder)
        return seconds

    def ferried(self, tree):
        folder = self.bench.fresh()
        seconds = self.run(folder, f"  - {{ name: tree, provider: rsync, from: {{ path: {tree} }}, to: {{ path: {folder}/to }} }}\n")
        compare(tree, folder / "to")
        shutil.rmtree(folder)
        return seconds

    def rsync(self, tree):
        folder = self.bench.fresh()
        begin = time.perf_counter()
        subprocess.run(["rsync", "-aHAXS", "-e", f"ssh -F {self.server.config}", f"{tree}/", f"127.0.0.1:{folder}/to/"], check=True)
        seconds = time.perf_counter() - begin
        shutil.rmtree(folder)
        return seconds


def compare(left, right):
    count = [sum(len(names) for _, _, names in os.walk(tree)) for tree in (left, right)]
    if count[0] != count[1]:
        raise SystemExit(f"bench: {count[1]} of {count[0]} files at {right}")
