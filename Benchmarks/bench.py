#!/usr/bin/python3
"""Measures a staged release build: bench.py STAGE [--rounds N] [--files N] [--json FILE]

Medians of five, all in one run on one machine. What is compared is measured in turns, so that a machine that gets
slower in between does not favour one side. The aims are printed beside the numbers; a missed aim does not fail the
run, since a shared machine's clock proves nothing; a wrong result does.
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import backups
import channels
import containers
import hosts
import layers
import memory
import records
import samples
import sshd
import trees

ROOT = Path(__file__).resolve().parent.parent / ".build" / "bench"


class Bench:
    def __init__(self, ferry, rounds):
        self.ferry, self.rounds = ferry, rounds
        self.rows = []
        self.turn = 0

    def fresh(self):
        """An empty folder of its own for each run: nothing is found from the run before."""
        self.turn += 1
        folder = ROOT / f"run-{self.turn}"
        folder.mkdir()
        return folder

    def row(self, what, seconds, aim=None, beside=None):
        """`beside` is (name, seconds) of what it is compared with; `aim` is in seconds."""
        self.rows.append({
            "what": what, "seconds": round(seconds, 4), "aim": aim and round(aim, 4), "met": seconds <= aim if aim else None,
            "beside": beside[0] if beside else None, "beside_seconds": round(beside[1], 4) if beside else None,
            "ratio": round(seconds / beside[1], 2) if beside else None,
        })

    def run(self, folder, state, destination="local", channel="auto", **environment):
        """Writes a manifest, runs it, answers the seconds."""
        manifest = folder / "bench.yaml"
        manifest.write_text(
            f"ferry: 1\nname: bench\nmode: copy\nchannel: {channel}\n"
            f"source:      {{ node: local, name: a, home: {folder}/a }}\n"
            f"destination: {{ node: '{destination}', name: b, home: {folder}/b }}\n"
            f"state:\n{state}")
        return timed([self.ferry, "run", manifest], FERRY_STATE=str(folder / "controller"), **environment)

    def help(self):
        seconds = median(lambda: timed([self.ferry, "--help"]), self.rounds, warm=True)
        self.row("ferry --help", seconds, 0.030)

    def example(self, items, aim=None, one=None):
        """Runs the teaching plugin; `one` is what a run with one item took, to compare with."""

        def once():
            folder = self.fresh()
            state = ""
            for number in range(items):
                source, target = folder / f"{number}.from", folder / f"{number}.to"
                source.write_bytes(random.randbytes(1000))
                state += f"  - name: file-{number}\n    provider: example-file\n"
                state += f"    from: {{ file: {source} }}\n    to: {{ file: {target} }}\n"
            seconds = self.run(folder, state)
            for number in range(items):
                if not filecmp.cmp(folder / f"{number}.from", folder / f"{number}.to", shallow=False):
                    sys.exit(f"bench: {folder}/{number}.to differs")
            shutil.rmtree(folder)
            return seconds

        seconds = median(once, self.rounds, warm=True)
        beside = (f"{items} × 1 item", items * one) if one else None
        self.row(f"run, example-file, {items} item{'s' if items > 1 else ''}", seconds, aim, beside)
        return seconds

    def rsync(self, files):
        source = ROOT / "tree"
        samples.small_files(source, files)

        def plain():
            folder = self.fresh()
            seconds = timed(["rsync", "-aHAXS", f"{source}/", f"{folder}/to/"])
            shutil.rmtree(folder)
            return seconds

        def ferried():
            folder = self.fresh()
            seconds = self.run(
                folder, f"  - name: tree\n    provider: rsync\n    from: {{ path: {source} }}\n    to: {{ path: {folder}/to }}\n")
            there = sum(len(names) for _, _, names in os.walk(folder / "to"))
            if there != files:
                sys.exit(f"bench: {there} of {files} files at {folder}/to")
            shutil.rmtree(folder)
            return seconds

        plain()  # the page cache is warm for both from here on
        pairs = [(ferried(), plain()) for _ in range(self.rounds)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs))
        self.row(f"run, rsync, {files:,} files", ours, 1.15 * theirs + 0.5, ("rsync -aHAXS", theirs))

    def table(self):
        print(f"{'':34}{'median':>10}{'aim':>10}{'':4}{'beside':<16}{'median':>10}{'ratio':>8}")
        for row in self.rows:
            beside = ""
            if row["beside"]:
                beside = f"{row['beside']:<16}{row['beside_seconds']:>8.3f} s{row['ratio']:>8.2f}"
            aim = f"{row['aim']:>8.3f} s {'ok' if row['met'] else '--':<3}" if row["aim"] else " " * 14
            print(f"{row['what']:<34}{row['seconds']:>8.3f} s{aim}{beside}".rstrip())


def timed(command, **environment):
    begin = time.perf_counter()
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        sys.exit(f"{done.stdout}\nbench: exit code {done.returncode}: {' '.join(map(str, command))}")
    return seconds


def median(measure, rounds, warm=False):
    if warm:
        measure()
    return statistics.median(measure() for _ in range(rounds))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=20000)
    parser.add_argument("--channel-bytes", type=int, default=2_000_000_000)
    parser.add_argument("--large-bytes", type=int, default=2_000_000_000)
    parser.add_argument("--changes", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--volume-bytes", type=int, default=1 << 30)
    parser.add_argument("--memory-bytes", type=int, default=256 << 20)
    parser.add_argument("--only", choices=["runs", "hosts", "layers", "containers", "memory", "channels", "trees", "records", "backups"])
    parser.add_argument("--backup-bytes", type=int, default=1_000_000_000)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--tree-files", type=int, default=100_000)
    parser.add_argument("--many-files", type=int, default=1_000_000, help="of the tree whose last pass alone is measured; 0: none")
    parser.add_argument("--json")
    options = parser.parse_args()

    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir(parents=True)
    streams, forest, cloned = [], [], []
    bench = Bench(options.stage.absolute() / "bin" / "ferry", options.rounds)
    try:
        if options.only in (None, "runs"):
            bench.help()
            one = bench.example(1, aim=0.3)
            bench.example(50, one=one)
            bench.rsync(options.files)
        if options.only in (None, "hosts") and sshd.available():
            hosts.Hosts(bench, options.stage / "include", ROOT, options.files, options.large_bytes).measure(options.rounds)
        if options.only in (None, "layers") and layers.available():
            for changes in options.changes:
                layers.Layers(bench, ROOT, changes).measure(options.rounds)
        if options.only in (None, "backups") and backups.available():
            backups.Backups(bench, ROOT, options.files, options.backup_bytes).measure(options.rounds)
        if options.only in (None, "containers") and layers.available() and sshd.available():
            containers.Containers(bench, ROOT, options.volume_bytes).measure(min(options.rounds, 3))
        if options.only in (None, "memory") and memory.available() and sshd.available():
            memory.Memory(bench, ROOT, options.volume_bytes, options.memory_bytes).measure(min(options.rounds, 3))
        if options.only in (None, "channels"):
            streams = channels.Channels(bench.ferry, options.stage / "include", ROOT, options.channel_bytes, min(options.rounds, 3)).measure()
        if options.only in (None, "trees") and sshd.available():
            forest = trees.Trees(bench.ferry, ROOT, options.tree_files, options.large_bytes, options.rounds, options.many_files).measure()
        if options.only in (None, "records"):
            cloned = records.measure(bench.ferry, ROOT / "records", options.records)
    finally:
        shutil.rmtree(ROOT, ignore_errors=True)
    if bench.rows:
        bench.table()
    if streams:
        channels.table(streams)
    if forest:
        trees.table(forest)
    for what, value, unit in cloned:
        print(f"{what:<40}{value:>14,.0f} {unit}")
    if options.json:
        rows = bench.rows + [{"channel": name, "gigabytes_per_second": round(rate, 3), "cpu_seconds_per_gigabyte": round(spent, 3)} for name, rate, spent in streams]
        rows += [{"tree": name, "way": way, "seconds": round(seconds, 3), "cpu_seconds": round(spent, 3), "peak_megabytes": round(peak)} for name, way, seconds, spent, peak in forest]
        rows += [{"records": what, "value": round(value), "unit": unit} for what, value, unit in cloned]
        Path(options.json).write_text(json.dumps(rows, indent=2) + "\n")


main()
