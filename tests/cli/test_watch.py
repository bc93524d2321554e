"""`mousterian watch` beside a running grid: its output grows with the trials, and it disturbs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY_GRID
from running import command

from mousterian.api import fit
from mousterian.cli.commands import _store_progress, watch
from mousterian.cli.commands._store_progress import Snapshot
from mousterian.errors import InputError
from mousterian.store.rows import Store


def rows(count: int = 0) -> pd.DataFrame:
    """Return trials in which a synthetic image is worth half a real one, in the order they finished."""
    found = [
        (base, real * base, syn * base, seed, 0.7 + 0.02 * (base / 200 + real + 0.5 * syn) + 0.001 * seed)
        for seed in (0, 1, 2)
        for base in (50, 200)
        for real, syn in ((0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (0, 4))
    ]
    table = pd.DataFrame(found, columns=["n_base", "n_real_plus", "n_syn_plus", "training_seed", "top1"])
    table["trial"] = [f"{index:016x}" for index in range(len(table))]
    table["finished_at"] = [f"2026-01-01T00:00:{index:02d}Z" for index in range(len(table))]
    synthetic = table["n_syn_plus"] > 0
    table["generator"] = synthetic.map({True: "edm", False: ""})
    table["trained_on"] = synthetic.map({True: "base", False: ""})
    return table.assign(status="done", dataset="digits", total=1000).head(count or None)


def snapshot(count: int = 0, **planned: int) -> Snapshot:
    table = rows(count)
    return Snapshot(
        table, {("edm base", 50): 9, **planned}, dict(zip(table["trial"], table["status"], strict=True))
    )


def test_progress_counts_what_is_there_of_what_is_planned() -> None:
    seen = snapshot(12)
    [edm] = [
        each for each in _store_progress.progress(seen) if (each["added"], each["n_base"]) == ("edm base", 50)
    ]
    assert edm == {"added": "edm base", "n_base": 50, "done": 3, "diverged": 0, "failed": 0, "planned": 9}
    assert sum(each["done"] for each in _store_progress.progress(seen)) == 12


def test_counts_are_shown_by_source_and_base() -> None:
    seen = snapshot(12)
    shown = watch._by_base(_store_progress.progress(seen))
    assert shown == [
        {"added": "edm base", "n_base 50": "3 of 9", "n_base 200": "3"},
        {"added": "real images only", "n_base 50": "3", "n_base 200": "3"},
    ]


def test_trials_that_diverged_or_failed_are_counted_beside_those_done() -> None:
    seen = snapshot(12)
    seen.rows.loc[[0, 1], "status"] = ["diverged", "failed"]
    shown = watch._by_base(_store_progress.progress(seen))
    assert shown[1]["n_base 50"] == "1, 1 diverged, 1 failed"


def test_the_answers_so_far_include_earlier_ones_and_equal_the_fits() -> None:
    [arm] = watch._described(snapshot())["arms"]
    assert [then["trials"] for then in arm["so_far"]] == [9, 18, 27, 36]
    last = arm["so_far"][-1]
    found = fit(rows(), bootstrap=100).equivalence(n_base=last["n_base"], n_real_plus=last["n_real_plus"])
    assert last["n_syn_plus"]["estimate"] == pytest.approx(found.n_syn_plus.estimate, rel=1e-6)


def test_later_snapshots_keep_the_answers_of_earlier_ones() -> None:
    first = snapshot(24)
    watch._described(first)
    later = Snapshot(rows(), {}, {}, first.fits)
    [arm] = watch._described(later)["arms"]
    assert [then["trials"] for then in arm["so_far"]] == [6, 12, 18, 24, 36]


def test_the_plot_shows_each_mean() -> None:
    text = watch._plot(fit(rows(), bootstrap=20, surface="additive"), 200)
    lines = text.splitlines()
    # The highest mean is that of 400 more real images, the lowest that of the base alone.
    assert [lines[row].partition("│")[0].strip() for row in (0, 6)] == ["76.1\u00a0%", "72.1\u00a0%"]
    assert lines[0].count("o") + lines[0].count("*") == 1  # the most accurate: two real ones for each
    assert "0 to 800 images added to 200" in lines[-1]
    marks = [mark for line in lines[:7] for mark in line.partition("│")[2] if mark in "os*"]
    assert len(marks) >= 5


def test_too_few_trials_are_reported() -> None:
    [(_, current, history)] = _store_progress.answers_so_far(snapshot(2))
    assert isinstance(current, str) and current.startswith("too few rows") and history == []


def test_beside_a_running_grid_it_prints_each_change_and_ends_with_the_grid(tmp_path: Path) -> None:
    grid = tmp_path / "tiny.toml"
    grid.write_text(TINY_GRID)
    store = tmp_path / "store"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    watch = subprocess.Popen(
        command("watch", grid, "--store", store, "--seconds", 2, "--json"),
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    run = command("grid", grid, "--store", store, "--workers", 1, "--device", "cpu")
    subprocess.run(run, check=True, capture_output=True, env=environment)
    out, _ = watch.communicate(timeout=300)
    printed = [json.loads(line) for line in out.splitlines()]
    assert watch.returncode == 0
    trials = [each["trials"] for each in printed]
    assert trials == sorted(trials) and trials[-1] == printed[-1]["planned"] == len(Store(store).status())
    assert [arm["name"] for arm in printed[-1]["arms"]] == ["digits-edm-base"]
    assert sum(each["done"] for each in printed[-1]["progress"]) == trials[-1]


def accept_ctrl_c() -> None:
    """Restore the default handler of SIGINT, which a shell disables in background processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_it_without_an_error(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("watch", "--store", tmp_path / "nothing", "--json"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=accept_ctrl_c,  # noqa: PLW1509 (no other thread runs here)
    ) as watch:  # fmt: skip
        assert watch.stdout is not None and watch.stderr is not None
        assert json.loads(watch.stdout.readline())["trials"] == 0
        watch.send_signal(signal.SIGINT)
        assert watch.stderr.read() == ""
        assert watch.wait(60) == 0


def test_once_a_missing_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no trials here"):
        watch.watch(store=tmp_path / "nothing", seconds=1, once=True)
    with pytest.raises(InputError, match="more than 0"):
        watch.watch(store=tmp_path / "nothing", seconds=0, once=True)
