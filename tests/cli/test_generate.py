"""`mousterian generate`: pools made, extended, filtered, listed and verified; killed, and two at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import POOL_GRID
from PIL import Image

from mousterian.__main__ import main
from mousterian.synthesis import pools
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool

CLASSES = tuple(map(str, range(10)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grid.toml"
    path.write_text(POOL_GRID)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: Any, code: int = 0) -> Any:
    with pytest.raises(SystemExit) as left:
        main(["generate", *map(str, arguments), "--json"])
    printed = capsys.readouterr()
    assert left.value.code == code, printed.err
    return json.loads(printed.out)


def only_pool(store: Path) -> Pool:
    (folder,) = (store / "pools").iterdir()
    return Pool(store / "pools", PoolIdentity.at(folder), CLASSES)


def test_pools_are_made_extended_listed_and_drawn(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    (made,) = run(capsys, file, "--store", store)["pools"]
    assert (made["images"], made["new"]) == (260, 260)
    first = only_pool(store).read(260)
    (again,) = run(capsys, file, "--store", store, "--count", 300)["pools"]
    assert (again["images"], again["new"]) == (520, 260)
    assert np.array_equal(only_pool(store).read(260).images, first.images)
    (row,) = run(capsys, "--store", store, "--list")["pools"]
    assert row["images"] == 520
    assert row["training"].startswith("2 steps, loss ")
    with Image.open(only_pool(store).folder / "sheet.png") as page:
        assert page.size == (160 + 12 * 66, 10 * 66)


def test_a_pool_is_extended_by_its_hash_without_a_grid_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 1), dtype=np.uint8)
    source, store = tmp_path / "pool.npz", tmp_path / "store"
    np.savez(source, images=images, labels=np.arange(600) % 10)
    file = tmp_path / "grid.toml"
    file.write_text(
        POOL_GRID.partition("[[")[0] + f"[[generator]]\nname = 'precomputed'\npath = '{source}'\n"
    )
    (made,) = run(capsys, file, "--store", store)["pools"]
    (more,) = run(capsys, "--store", store, "--pool", made["pool"][:6], "--count", 300)["pools"]
    assert (more["pool"], more["images"], more["new"]) == (made["pool"], 520, 260)
    assert np.array_equal(only_pool(store).read(520).images, images[:520])
    np.savez(source, images=255 - images, labels=np.arange(600) % 10)
    (failed,) = run(capsys, "--store", store, "--pool", made["pool"], "--count", 600, code=3)["failed"]
    assert "files that the generator 'precomputed' reads have changed" in failed["error"]
    assert only_pool(store).count() == 520
    (failed,) = run(capsys, "--store", store, "--pool", "nothing", "--count", 600, code=3)["failed"]
    assert "unknown pool 'nothing'" in failed["error"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--pool", "9f"], "give --count"), (["grid.toml", "--pool", "9f"], "no grid file")],
)
def test_requests_that_extend_no_pool_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["generate", *arguments])
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_a_damaged_shard_is_listed_and_remade(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "store"
    run(capsys, file, "--store", store)
    pool = only_pool(store)
    good = pool.read(260)
    shard = pool.folder / "shard-00000.npz"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    (fault,) = run(capsys, "--store", store, "--verify", code=2)["faults"]
    assert fault["file"] == str(shard)
    (made,) = run(capsys, file, "--store", store)["pools"]
    assert made["remade"] == [str(shard) + ".damaged"]
    assert np.array_equal(pool.read(260).images, good.images)
    assert run(capsys, "--store", store, "--verify")["faults"] == []


def test_what_each_class_loses_to_a_filter_is_shown(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(POOL_GRID + 'filter = {name = "real_features", drop = 0.3}\n')
    (made,) = run(capsys, file, "--store", tmp_path / "store")["pools"]
    assert made["filters"] == ["real_features"]
    assert sum(each["kept"] for each in made["classes"]) == made["images"] - round(0.3 * 260) * (
        made["images"] // 260
    )
    assert all(each["kept"] >= 6 for each in made["classes"])
    (row,) = run(capsys, "--store", tmp_path / "store", "--list")["pools"]
    assert row["filters keep"] == [
        f"real_features {sum(each['kept'] for each in made['classes'])}/{made['images']}"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a grid file"),
        (["{file}", "--list"], "take no grid file"),
        (["{file}", "--only", "n_base=31"], "no trial uses synthetic images"),
        (["{file}", "--count", "-1"], "--count must be 0 or more"),
    ],
)
def test_wrong_requests_are_refused(
    arguments: list[str], message: str, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [each.format(file=file) for each in arguments]
    with pytest.raises(SystemExit) as left:
        main(["generate", *given, "--store", str(tmp_path / "store")])
    assert left.value.code == 2
    assert message in capsys.readouterr().err


def test_a_pool_that_cannot_be_made_does_not_prevent_others(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(POOL_GRID + '\n[[generator]]\nname = "precomputed"\npath = "nowhere"\n')
    answer = run(capsys, file, "--store", tmp_path / "store", code=3)
    assert [each["label"] for each in answer["pools"]] == ["edm trained on base of 30"]
    assert "no such pool" in answer["failed"][0]["error"]


# A slow generator without computation, sampled through real pools, so that kills interrupt it.
SLOW = """
import sys, time
from pathlib import Path
import numpy as np
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool

class Slow:
    batch = 32
    def sample(self, labels, indices, seeds):
        time.sleep(0.005)
        with open(sys.argv[2], "a") as log:
            log.write(f"{len(labels)}\\n")
        pixels = (seeds[:, None] >> np.arange(16)) % 256
        return pixels.astype(np.uint8).reshape(-1, 4, 4, 1)

Pool._sampler = lambda *a: Slow()
identity = PoolIdentity("slow", {}, "", 0, "elsewhere", {"name": "made", "options": {}}, 0, 1.0, 0, 0)
Pool(Path(sys.argv[1]), identity, ("a", "b")).ensure(2048, (4, 4, 1), lambda: None, "cpu")
"""
SLOW_POOL = PoolIdentity("slow", {}, "", 0, "elsewhere", {"name": "made", "options": {}}, 0, 1.0, 0, 0)


def slow(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLOW, str(folder), str(log)])


def sampled(log: Path) -> int:
    return sum(map(int, log.read_text().split())) if log.exists() else 0


def test_killed_at_any_moment_a_pool_loses_at_most_a_batch_each_time(tmp_path: Path) -> None:
    assert slow(tmp_path / "whole", tmp_path / "whole.log").wait(60) == 0
    whole = Pool(tmp_path / "whole", SLOW_POOL, ("a", "b"))
    choose, kills, log = random.Random(0), 0, tmp_path / "log"
    pool = Pool(tmp_path / "killed", SLOW_POOL, ("a", "b"))
    for _ in range(6):
        process, before = slow(tmp_path / "killed", log), sampled(log)
        deadline = time.monotonic() + 60
        while sampled(log) < before + 32 * choose.randint(1, 10) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait(10)
        assert not list(pools.verify(tmp_path / "killed"))
        there = pool.count()
        assert there % 256 == 0
        if there:
            assert np.array_equal(pool.read(there).images, whole.read(there).images)
    assert slow(tmp_path / "killed", log).wait(60) == 0
    assert kills >= 3
    assert sampled(log) <= 2048 + 32 * kills
    assert np.array_equal(pool.read(2048).images, whole.read(2048).images)
    assert not list(pool.folder.glob(".*.tmp"))


def test_two_processes_that_extend_one_pool_share_the_work(tmp_path: Path) -> None:
    log = tmp_path / "log"
    both = [slow(tmp_path / "pools", log) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert sampled(log) == 2048
    assert Pool(tmp_path / "pools", SLOW_POOL, ("a", "b")).count() == 2048
