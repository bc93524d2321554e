"""How long it takes to stamp a folder of small files by their content.

    python benchmarks/content.py
    python benchmarks/content.py --files 100000 --repeats 3

Writes files of 1 to 9 KB (CIFAR's images as PNG are 2 to 3 KB) into folders of 200, and stamps them anew,
alone. "Not in memory" drops the files' pages first, so the disk's speed counts.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from mousterian.data.content import FOLDER, content_stamp


def write(root: Path, files: int) -> list[Path]:
    """Write small files and return their paths."""
    noise, choice = random.Random(0).randbytes(1 << 20), random.Random(1)
    paths = [root / f"class{number // 200:04d}" / f"{number:06d}.png" for number in range(files)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        start = choice.randrange(len(noise) - 9000)
        path.write_bytes(noise[start : start + choice.randrange(1000, 9000)])
    return paths


def drop_from_memory(paths: list[Path]) -> None:
    """Drop the files' pages from the page cache."""
    os.sync()
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def report(
    what: str, repeats: int, call: Callable[[], object], before: Callable[[], object] = lambda: None
) -> None:
    """Time a call, with something done before each, and print a row for RESULTS.md."""
    wall, busy = [], []
    for _ in range(repeats):
        before()
        started, used = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - started)
        busy.append(time.process_time() - used)
    seconds = f"{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})"
    print(f"| {what} | {seconds} | {statistics.median(busy):.2f} |", flush=True)


def main() -> None:
    """Make the folder, time the stamps, print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=60_000)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root, fresh, kept = Path(temporary) / "images", count(), Path(temporary) / "kept"
        paths = write(root, given.files)
        time.sleep(2.5)  # a file that has just been written is not trusted
        load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(
            f"{given.files:,} files, {sum(path.stat().st_size for path in paths) / 1e6:.0f} MB; load {load}"
        )
        print("| what | seconds, median (fastest to slowest) | processor seconds |\n|---|---|---|")

        def without_index() -> None:
            content_stamp(root, Path(temporary) / str(next(fresh)))

        def with_index() -> None:
            content_stamp(root, kept)

        def replace_one() -> None:
            paths[0].write_bytes(random.randbytes(2000))

        report("first time, files in memory", given.repeats, without_index)
        report(
            "first time, files not in memory", given.repeats, without_index, lambda: drop_from_memory(paths)
        )
        with_index()
        report("unchanged", given.repeats, with_index)
        report("one file replaced", given.repeats, with_index, replace_one)
        print(f"index: {sum(each.stat().st_size for each in (kept / FOLDER).iterdir()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
