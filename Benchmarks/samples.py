"""Trees to measure with."""
import random


def small_files(to, count):
    """Of 100 to 8,000 bytes, spread over two hundred folders."""
    for number in range(count):
        folder = to / f"{number % 200:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:06}").write_bytes(random.randbytes(random.randint(100, 8000)))


def large_files(to, size):
    """Four, of that size together."""
    to.mkdir()
    for number in range(4):
        with open(to / str(number), "wb") as file:
            for _ in range(max(1, size // 4 >> 20)):
                file.write(random.randbytes(1 << 20))
