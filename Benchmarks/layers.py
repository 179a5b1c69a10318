"""What a container's layer costs to move: docker-layer beside the route of the Docker migration page, as it is written there: `docker diff`, tar in the
container, tar and rm in the other one. Two engines of the benchmark's own on this machine, the second one made anew for each turn; the page's
route is spared the making of the target."""
import os
import shutil
import statistics
import subprocess
import time

import trees


def available():
    missing = [name for name in ("dockerd", "docker", "runc") if not shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing or os.geteuid():
        print(f"bench: layers are not measured: {missing or 'it needs root'}")
    return not missing and not os.geteuid()


class Layers:
    def __init__(self, bench, root, changes):
        self.bench, self.root, self.changes = bench, root / f"layers-{changes}", changes
        self.root.mkdir()
        self.engines = {}
        (self.root / "disk").mkdir()
        self.disk = trees.Disk(self.root / "disk")

    def address(self, engine):
        return f"unix://{self.root}/{engine}/s"

    def docker(self, engine, *arguments, **options):
        return subprocess.run(["docker", "-H", self.address(engine), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, **options)

    def start(self, engine, data=None):
        folder = self.root / engine
        folder.mkdir(exist_ok=True)
        with open(folder / "log", "w") as log:
            self.engines[engine] = subprocess.Popen(
                ["dockerd", "--data-root", data or folder / "data", "--exec-root", folder / "exec", "-H", self.address(engine), "--pidfile",
                 folder / "pid", "--iptables=false", "--bridge=none", "--storage-driver=overlay2"], stdout=log, stderr=log,
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        for _ in range(600):
            if subprocess.run(["docker", "-H", self.address(engine), "version"], capture_output=True).returncode == 0:
                return self.docker(engine, "import", self.root / "image.tar", "box")
            time.sleep(0.1)
        raise SystemExit(f"bench: dockerd does not start: {(folder / 'log').read_text()[-500:]}")

    def end(self):
        """Ends the engines and what runs in them."""
        for engine in list(self.engines):
            self.stop(engine)

    def stop(self, engine):
        if process := self.engines.pop(engine, None):
            ids = subprocess.run(["docker", "-H", self.address(engine), "ps", "-aq"], capture_output=True, text=True).stdout.split()
            subprocess.run(["docker", "-H", self.address(engine), "rm", "-f", *ids], capture_output=True)
            process.terminate()
            process.wait()

    def turn(self, way, number):
        """One measurement, at a destination where nothing was ever written."""
        self.stop("two")
        self.disk.renew()
        self.start("two", self.disk.place / "data")
        return way(number)

    def image(self):
        """The page's route needs bash, tar and rm in the container, and what they need."""
        tree = self.root / "image"
        for program in ("bash", "tar", "rm", "mkdir", "sleep"):
            path = shutil.which(program, path="/usr/bin:/bin")
            words = subprocess.run(["ldd", path], capture_output=True, text=True).stdout.split()
            for file in [path] + [word for word in words if word.startswith("/")]:
                there = tree / file.lstrip("/")
                there.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, there)
        for number in range(self.changes // 10):
            file = tree / "image" / f"{number % 50:02}" / f"{number:06}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("of the image\n")
        subprocess.run(["tar", "-C", tree, "-cf", self.root / "image.tar", "."], check=True)

    def measure(self, rounds):
        self.image()
        try:
            self.start("one")
            # A tenth of what changed is deleted; the rest is new, a hundred to a folder.
            script = (
                "for folder in /image/*; do rm $folder/*; done; n=0; while [ $n -lt %d ]; do [ $((n %% 100)) = 0 ] && mkdir -p /new/$((n / 100)); "
                "echo $n > /new/$((n / 100))/$n; n=$((n + 1)); done; echo > /done; exec sleep 1000000") % (self.changes * 9 // 10)
            self.docker("one", "run", "--detach", "--network", "none", "--name", "web", "box", "bash", "-c", script)
            while subprocess.run(["docker", "-H", self.address("one"), "exec", "web", "bash", "-c", "[ -e /done ]"]).returncode:
                time.sleep(0.2)
            self.turn(self.page, 0)
            pairs = [(self.turn(self.ferried, number), self.turn(self.page, number)) for number in range(1, rounds + 1)]
        finally:
            self.end()
            self.disk.end()
        ours, theirs = (statistics.median(column) for column in zip(*pairs))
        self.bench.row(f"docker-layer, {self.changes:,} changes", ours, 0.25 * theirs, ("diff | tar", theirs))

    def ferried(self, number):
        folder = self.bench.fresh()
        seconds = self.bench.run(
            folder,
            f"  - name: layer\n    provider: docker-layer\n    from: {{ container: web, engine: '{self.address('one')}' }}\n"
            f"    to: {{ container: ferried-{number}, image: box, engine: '{self.address('two')}' }}\n")
        self.check(f"ferried-{number}")
        shutil.rmtree(folder)
        return seconds

    def page(self, number):
        name = f"page-{number}"
        self.docker("two", "run", "--detach", "--network", "none", "--name", name, "box", "sleep", "1000000")
        one, two, tar = (f"docker -H {self.address('one')}", f"docker -H {self.address('two')}", self.root / "layer.tar")
        begin = time.perf_counter()
        for line in (
            f"{one} diff web | while read type path; do if [ $type = A ] || [ $type = C ]; then echo $path; fi; done "
            f"| {one} exec -i web bash -c 'tar cPv -T -' > {tar}",
            f"{two} exec -i {name} bash -c 'tar xPvf - -C /' < {tar}",
            f"{one} diff web | while read type path; do if [ $type = D ]; then echo $path; fi; done "
            f"| {two} exec -i {name} bash -c 'while read line; do rm -rv \"$line\"; done'",
        ):
            subprocess.run(["bash", "-c", line], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - begin
        self.docker("two", "stop", "--time", "0", name)
        self.check(name)
        return seconds

    def check(self, name):
        """The page's is what it is; what is counted are files, not owners or times."""
        listing = subprocess.run(
            ["docker", "-H", self.address("two"), "diff", name], check=True, capture_output=True, text=True).stdout.splitlines()
        counts = [sum(line.startswith(kind) for line in listing) for kind in ("A /new/", "D /image/")]
        wanted = [self.changes * 9 // 10 + -(-(self.changes * 9 // 10) // 100), self.changes // 10]
        if counts != wanted:
            raise SystemExit(f"bench: {name} has {counts} additions and deletions, not {wanted}")
        self.docker("two", "rm", "-f", name)
