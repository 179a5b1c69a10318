# Swift is the one prerequisite; `make demo` and `make test` install the rest from Debian.
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: all demo test test-tidb test-guest bench lint install dist clean

all:
	Scripts/deps build
	Scripts/build debug

demo:
	Scripts/deps build stage run
	Scripts/build debug
	Scripts/stage .build/stage debug
	Demo/run .build/stage

test:
	Scripts/deps build stage run test
	Scripts/test

# On real clusters, if FERRY_TIDB_SOURCE and the others name some: Plugins/TidbBr/README.md.
test-tidb:
	Scripts/deps build stage run test
	Scripts/test TidbTests

# On a kernel that tracks memory, in a virtual machine: a container's memory goes ahead of it.
test-guest:
	Scripts/deps build stage run test guest
	Scripts/build debug --build-tests
	Scripts/criu
	Scripts/guest sh -c '"$$(Scripts/criu)/criu" check --feature mem_dirty_track && exec .build/debug/*PackageTests.xctest \
	  --testing-library swift-testing --filter "^ContainerTests\.(AheadTests|MemoryTests)/"'

bench:
	Scripts/deps build stage run
	Scripts/build release
	Scripts/stage .build/stage-release release
	/usr/bin/python3 Benchmarks/bench.py .build/stage-release

lint:
	Scripts/lint

install:
	Scripts/deps build stage
	Scripts/build release
	Scripts/stage "$(DESTDIR)$(PREFIX)" release

dist:
	Scripts/deps build stage dist
	Scripts/build release
	Scripts/dist
	Scripts/dist-test

clean:
	rm -rf .build dist
