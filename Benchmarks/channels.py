"""How fast a channel is: `direct` beside ssh's pipes and plain TCP, in turns, with the CPU time of everything that takes part.

What is moved comes from memory and goes nowhere, and cannot be compressed. Ferry is measured as it is used: a whole run with a provider of
bytes (stream.c), of which the seconds are the first pass's; the CPU time is the run's less that of a run with one byte.
"""
import ctypes
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import time
from pathlib import Path

import sshd

HERE = Path(__file__).resolve().parent
CHUNK = os.urandom(1 << 20)
SUBREAPER = 36


class Channels:
    def __init__(self, ferry, include, root, size, rounds):
        self.ferry, self.root, self.size, self.rounds = ferry, root / "channels", size, rounds
        (self.root / "plugins").mkdir(parents=True)
        plugin = self.root / "plugins" / "stream.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", f"-I{include}", "-o", plugin, HERE / "stream.c"], check=True)
        adopt()

    def measure(self):
        """Rows of (way, GB/s, CPU seconds a GB): medians."""
        ways = {
            "direct, 1 stream": lambda: self.run("direct", 1),
            "direct, 2 streams": lambda: self.run("direct", 2),
            "ssh relay, controller local": lambda: self.run("ssh", 1),
            "plain TCP": self.tcp,
            "ssh pipes, default cipher": lambda: self.ssh(None),
            "ssh pipes, aes128-gcm": lambda: self.ssh("aes128-gcm@openssh.com"),
        }
        if sshd.available():
            self.server = sshd.SSHD(self.root / "sshd")
        else:
            ways = {name: way for name, way in ways.items() if "pipes" not in name}
        self.run("direct", 1)
        results = {name: [] for name in ways}
        for _ in range(self.rounds):
            for name, way in ways.items():
                results[name].append(way())
        gigabytes = self.size / 1e9
        return [
            (name, gigabytes / statistics.median(s for s, _ in got), statistics.median(cpu for _, cpu in got) / gigabytes)
            for name, got in results.items()
        ]

    def run(self, channel, streams):
        overhead, _ = cpu(lambda: self.pass_seconds(channel, streams, 1))
        spent, seconds = cpu(lambda: self.pass_seconds(channel, streams, self.size))
        return seconds, max(spent - overhead, 0)

    def pass_seconds(self, channel, streams, size):
        folder = self.root / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "m.yaml").write_text(
            f"ferry: 1\nname: bench\nmode: copy\nchannel: {channel}\nlimits: {{ streams: {streams} }}\n"
            f"source:      {{ node: local, name: a, home: {folder}/a }}\n"
            f"destination: {{ node: local, name: b, home: {folder}/b }}\n"
            f"state:\n  - {{ name: s, provider: bench-stream, from: {{ bytes: {size} }}, to: {{}} }}\n")
        done = subprocess.run(
            [self.ferry, "run", folder / "m.yaml", "--json"], stdout=subprocess.PIPE, text=True, check=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "FERRY_STATE": str(folder / "controller"), "FERRY_PLUGINS": str(self.root / "plugins")})
        events = (json.loads(line) for line in done.stdout.splitlines())
        return next(event["seconds"] for event in events if event["kind"] == "pass" and event["bytes"] == size)

    def tcp(self):
        def once():
            listener = socket.create_server(("127.0.0.1", 0))
            if os.fork() == 0:
                peer, _ = listener.accept()
                buffer = bytearray(1 << 20)
                while peer.recv_into(buffer):
                    pass
                os._exit(0)
            begin = time.perf_counter()
            with socket.create_connection(listener.getsockname()) as mine:
                self.feed(mine.sendall)
            os.wait()
            return time.perf_counter() - begin

        spent, seconds = cpu(once)
        return seconds, spent

    def ssh(self, cipher):
        def once():
            options = ["-F", self.server.config] + (["-c", cipher] if cipher else [])
            # In here, so that its CPU time counts.
            with self.server:
                client = subprocess.Popen(
                    ["ssh", *options, "127.0.0.1", "echo ready; exec cat >/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                if client.stdout.readline() != b"ready\n":
                    raise SystemExit("bench: ssh to the loopback does not work")
                begin = time.perf_counter()
                self.feed(client.stdin.raw.write if hasattr(client.stdin, "raw") else client.stdin.write)
                client.stdin.close()
                client.wait()
                return time.perf_counter() - begin

        spent, seconds = cpu(once)
        return seconds, spent

    def feed(self, write):
        view, left = memoryview(CHUNK), self.size
        while left > 0:
            left -= write(view[:left]) or min(left, len(view))


def adopt():
    """Agents and sessions of sshd outlive who started them for a moment: from now on they become ours, and their CPU time with them."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


def cpu(work):
    """CPU seconds of this process and of all that it started, and what the work answered."""
    def spent():
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(each.ru_utime + each.ru_stime for each in used)

    before = spent()
    answer = work()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return spent() - before, answer


def table(rows):
    speed = {name: rate for name, rate, _ in rows}
    ssh, tcp = speed.get("ssh pipes, default cipher"), speed["plain TCP"]
    print(f"\n{'channel, loopback':34}{'GB/s':>8}{'× ssh':>8}{'aim':>7}{'× TCP':>10}{'aim':>7}{'CPU s/GB':>12}{'aim':>7}")
    for name, rate, seconds in rows:
        aims = name.startswith("direct")

        def figure(value, width, aim, met):
            text = f"{value:>{width}.2f}" if value is not None else " " * width
            return text + (f" {aim} {'ok' if met else '--'}" if aims and value is not None else " " * (len(aim) + 4))

        times = rate / ssh if ssh else None
        print((f"{name:34}{rate:>8.2f}" + figure(times, 7, "≥3", times and times >= 3) + figure(rate / tcp, 8, "≥.6", rate / tcp >= 0.6)
               + figure(seconds, 9, "≤1.3", seconds <= 1.3)).rstrip())
