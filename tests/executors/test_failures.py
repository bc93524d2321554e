"""Identical failures: a grid stops at its start, a slot of this machine is set aside and reinstated."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from running import ALONE, Recorder, odd_site, run_odd

from mousterian.executors.failures import IdenticalFailuresError, StopOnIdenticalFailures, Streak, kind_of
from mousterian.executors.jobs import TrialJob
from mousterian.store.rows import Store
from mousterian.store.schema import DONE, FAILED


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return odd_site(tmp_path)


def test_a_grid_whose_first_trials_fail_with_one_error_stops_and_quotes_it(site: Path) -> None:
    done = run_odd(site, "raise RuntimeError(f'no kernel for {id(task)}')", "--workers", "1")
    outcome = json.loads(done.stdout)
    assert done.returncode == 3
    assert (outcome["failed"], outcome["left"]) == (5, 3)
    assert (
        "the first 5 trials all failed with the same error: RuntimeError: no kernel for" in outcome["stopped"]
    )
    on = run_odd(site, "raise RuntimeError('no')", "--workers", "1", "--keep-going", "--retry-failed")
    assert (json.loads(on.stdout)["failed"], json.loads(on.stdout)["stopped"]) == (8, "")


def job(key: str) -> TrialJob:
    return TrialJob(None, key, key)  # type: ignore[arg-type]


def test_failures_that_differ_or_follow_a_success_or_a_pool_stop_nothing() -> None:
    for events in (
        [f"Error{'ab'[n % 2]}" for n in range(9)],
        ["", *["Error"] * 9],
        ["its pool could not be made: x"] * 9,
    ):
        watch = StopOnIdenticalFailures(Recorder())
        for number, error in enumerate(events):
            watch.failed(job(str(number)), error) if error else watch.finished(job(str(number)), 0.0)
    watch = StopOnIdenticalFailures(Recorder())
    with pytest.raises(IdenticalFailuresError):
        for number in range(5):
            watch.failed(job(str(number)), f"RuntimeError: {number} bytes at 0x{number}f")


def test_the_kind_of_an_error_leaves_out_its_numbers() -> None:
    trace = 'Traceback (most recent call last):\n  File "a.py", line {0}\nOSError: disk {0} at 0x{0}'
    assert kind_of(trace.format(1)) == kind_of(trace.format(22)) == "OSError: disk # at #"
    assert kind_of("cannot read\n  fix it") == "cannot read"


def test_a_slot_is_at_fault_only_if_others_succeed_meanwhile() -> None:
    streak = Streak()
    for number in range(3):
        assert not streak.is_at_fault(successes=9)
        streak.failed(job(str(number)), "E", successes=4)
    assert not streak.is_at_fault(successes=4)
    assert streak.is_at_fault(successes=5)
    streak.failed(job("other"), "another error", successes=5)
    assert not streak.is_at_fault(successes=9)


def test_a_slot_that_always_fails_is_set_aside_and_its_trials_run_elsewhere(site: Path) -> None:
    # The first process is the faulty one.
    body = (
        "\n    bad = pathlib.Path(__file__).with_name('bad')"
        "\n    if not bad.exists(): bad.write_text(str(os.getpid()))"
        "\n    if bad.read_text() == str(os.getpid()): raise RuntimeError('this slot is broken')"
        "\n    import time; time.sleep(0.3)"
        "\n    return joint(model, task)"
    )
    text = ALONE.replace("training_seeds = [0, 1]", "training_seeds = [0, 1, 2, 3, 4, 5, 6, 7]")
    done = run_odd(site, body, "--workers", "2", text=text)
    assert done.returncode == 0, done.stderr
    assert "is set aside" in done.stderr
    assert set(Store(site.parent / "store").status().values()) == {DONE}


def test_a_slot_that_was_not_the_cause_is_reinstated(site: Path) -> None:
    # The longest trials are the first. One of them goes on until three have failed beside it, so that the
    # other slot is suspected; these three fail in its slot, too.
    body = (
        "\n    if len(task.mixture) == 80:"
        "\n        import time"
        "\n        here = pathlib.Path(__file__).parent"
        "\n        if task.training_seed:"
        "\n            (here / f'{task.training_seed}.failed').touch()"
        "\n            raise RuntimeError('too large')"
        "\n        while len(list(here.glob('*.failed'))) < 3: time.sleep(0.05)"
        "\n    return joint(model, task)"
    )
    text = ALONE.replace("training_seeds = [0, 1]", "training_seeds = [0, 1, 2, 3]")
    done = run_odd(site, body, "--workers", "2", "--keep-going", text=text)
    assert "is set aside" in done.stderr and "is reinstated" in done.stderr
    assert Counter(Store(site.parent / "store").status().values()) == {DONE: 13, FAILED: 3}
    assert (done.returncode, json.loads(done.stdout)["left"]) == (3, 0)
