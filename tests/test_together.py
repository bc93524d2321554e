"""Trials that train at once: rows as alone up to rounding; what goes wrong stays with its trial."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from mousterian import grid, together, trial
from mousterian.errors import InputError
from mousterian.executors import _together
from mousterian.executors._jobs import Job, TrialJob
from mousterian.executors._together import Asked, Way, choose_way, measured_way
from mousterian.executors.local import run
from mousterian.store import DIVERGED, DONE, Store
from mousterian.training import fused
from mousterian.training.update import Update

GRID = """
dataset = "digits"
n_base = [30]
r_real = [1]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 12, batch_size = 16, crop = 1, flip = true}
training_seeds = [0, 1, 2]
"""
EXACT = ["trial", "status", "steps", "images_seen", "total", "n_base", "n_real_plus", "training_seed"]
CLOSE = ["top1", "loss"]


class Told:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.started_keys: list[str] = []
        self.done: list[str] = []
        self.errors: dict[str, str] = {}
        self.notices: list[str] = []

    def started(self, job: Job) -> None:
        self.started_keys.append(job.key)

    def finished(self, job: Job, seconds: float) -> None:
        self.done.append(job.key)

    def failed(self, job: Job, error: str) -> None:
        self.errors[job.key] = error

    def postponed(self, job: Job) -> None:
        self.started_keys.remove(job.key)

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def stopping(self) -> None:
        pass


def trials_of(folder: Path, text: str = GRID) -> list[trial.Trial]:
    (folder / "grid.toml").write_text(text)
    return grid.read(folder / "grid.toml")[0]


def settings_of(folder: Path, way: str = "") -> trial.Settings:
    return trial.Settings(folder / (way or "store"), None, "cpu", "test", together=way)


def by_trial(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).sort_values("trial").reset_index(drop=True)


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """Hold that rows are equal up to rounding: an image on the border between two classes may change."""
    assert not found["error"].any(), found["error"].tolist()
    pd.testing.assert_frame_equal(found[EXACT], expected[EXACT])
    assert (found["top1"] - expected["top1"]).abs().max() <= 2 / expected["total"].min()
    pd.testing.assert_series_equal(found["loss"], expected["loss"], rtol=1e-3)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of the grid's trials, each trained by itself."""
    folder = tmp_path_factory.mktemp("alone")
    return by_trial([row for each in trials_of(folder) for row in trial.run(each, settings_of(folder))])


@pytest.mark.parametrize("way", ["fused", "streams"])
def test_a_grid_trained_together_has_the_rows_of_trials_alone(
    tmp_path: Path, way: Any, alone: pd.DataFrame
) -> None:
    settings, told = settings_of(tmp_path), Told()
    jobs = grid.jobs(trials_of(tmp_path), settings)
    run(jobs, settings, told, workers=1, together=way, trials_at_once=3)
    found = Store(settings.store).read().sort_values("trial").reset_index(drop=True)
    same(found, alone)
    assert sorted(told.done) == sorted(told.started_keys) == sorted(job.key for job in jobs)
    assert not list((settings.store / "checkpoints").glob("*"))


def test_only_trials_of_one_shape_are_grouped(tmp_path: Path) -> None:
    shapes = [together.shape_of(each) for each in trials_of(tmp_path)]
    assert sorted(shapes.count(shape) for shape in set(shapes)) == [3, 3]  # base alone, base and real


def test_out_of_memory_halves_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: pd.DataFrame
) -> None:
    train, sizes = fused.train_together, []

    def starved(models: Any, tasks: Any) -> Any:
        sizes.append(len(models))
        if len(models) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(models, tasks)

    monkeypatch.setattr(fused, "train_together", starved)
    three = [each for each in trials_of(tmp_path) if not each.n_real_plus]
    found = together.run_together(three, settings_of(tmp_path, "fused"))
    assert sizes == [3, 2]  # the third trains alone
    keys = [each.key for each in three]
    expected = alone[alone["trial"].isin(keys)].reset_index(drop=True)
    same(by_trial([row for rows in found for row in rows]), expected)


def test_a_group_that_is_cut_off_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(BaseException):
        """The power went off."""

    two = [each for each in trials_of(tmp_path) if not each.n_real_plus][:2]
    settings, whole = settings_of(tmp_path, "fused"), settings_of(tmp_path / "whole", "fused")
    assert together.run_and_keep_together(two, whole) == [None, None]
    monkeypatch.setattr("mousterian.training.checkpoint.EVERY", 0.0)
    step, taken = Update.step, iter(range(5))

    def cut(self: Any, batches: Any) -> None:
        if next(taken, None) is None:
            raise CutError
        step(self, batches)

    monkeypatch.setattr(Update, "step", cut)
    with pytest.raises(CutError):
        together.run_and_keep_together(two, settings)
    kept = trial.checkpoint_file(two[0], settings)
    assert kept.exists()
    taken = iter(range(7))  # of the 12 steps five have been taken
    assert together.run_and_keep_together(two, settings) == [None, None]
    assert not kept.exists()
    columns = ["trial", "status", "top1", "loss", "steps", "images_seen"]
    found, expected = (by_trial(Store(each.store).read().to_dict("records")) for each in (settings, whole))
    assert found[columns].equals(expected[columns])


def test_what_cannot_train_together_trains_alone_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: pd.DataFrame
) -> None:
    def cannot(models: Any, tasks: Any) -> Any:
        raise RuntimeError("vmap: no batching rule for this operator")

    monkeypatch.setattr(fused, "train_together", cannot)
    two = trials_of(tmp_path)[:2]
    found = by_trial([r for rows in together.run_together(two, settings_of(tmp_path, "fused")) for r in rows])
    expected = alone[alone["trial"].isin([each.key for each in two])].reset_index(drop=True)
    assert found[CLOSE].equals(expected[CLOSE])


def test_a_trial_that_fails_or_diverges_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: pd.DataFrame
) -> None:
    from mousterian import attempt

    three = [each for each in trials_of(tmp_path) if not each.n_real_plus]
    images_of, model_of = together.images_of, attempt.model_of

    def failing(each: trial.Trial, settings: trial.Settings) -> Any:
        if each.key == three[0].key:
            raise InputError("its images are gone")
        return images_of(each, settings)

    def poisoned(each: trial.Trial, images: Any, task: Any) -> Any:
        model = model_of(each, images, task)
        if each.key == three[1].key:
            next(model.parameters()).data.fill_(torch.nan)
        return model

    monkeypatch.setattr(together, "images_of", failing)
    monkeypatch.setattr(attempt, "model_of", poisoned)
    failed, diverged, sound = together.run_together(three, settings_of(tmp_path, "fused"))
    assert isinstance(failed, InputError)
    assert not isinstance(diverged, Exception) and not isinstance(sound, Exception)
    assert diverged[0]["status"] == DIVERGED
    assert diverged[0]["error"] == "the loss was not finite at step 1 of 12"
    assert sound[0]["status"] == DONE
    same(by_trial(sound), alone[alone["trial"] == three[2].key].reset_index(drop=True))


def test_on_cpu_nothing_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_together, "measured_way", lambda *_: pytest.fail("measured"))
    settings = settings_of(tmp_path)
    jobs = grid.jobs(trials_of(tmp_path) * 5, settings)
    assert choose_way(jobs, settings, Told(), Asked(workers=3)) == Way("processes", 3)
    assert choose_way(jobs, settings, Told(), Asked()).name == "processes"
    assert choose_way(jobs, settings, Told(), Asked("fused", 1, 6)) == Way("fused", 1, 6)
    on_device = replace(settings, device="cuda")
    assert choose_way(jobs[:5], on_device, Told(), Asked()) == Way("processes", 1)


@pytest.mark.parametrize("asked", [Asked("one", workers=2), Asked("one", at_once=2), Asked("fused", 1, -1)])
def test_options_that_contradict_each_other_are_refused(tmp_path: Path, asked: Asked) -> None:
    with pytest.raises(InputError, match="not"):
        choose_way([], settings_of(tmp_path), Told(), asked)


def test_the_fastest_way_is_kept_beside_the_device_and_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = {"one": 100.0, "processes": 180.0, "streams": 0.0, "fused": 150.0}
    asked: list[str] = []

    def measured(one: trial.Trial, settings: Any, way: str, processes: int, at_once: int) -> float:
        asked.append(way)
        return rates[way]

    monkeypatch.setattr(_together, "device_name", lambda settings: "an H200")
    monkeypatch.setattr(_together, "trainings_an_hour", measured)
    settings, told = settings_of(tmp_path), Told()
    jobs = [job for job in grid.jobs(trials_of(tmp_path), settings) if isinstance(job, TrialJob)]
    first = measured_way(jobs, settings, told)
    again = measured_way(jobs, settings, told)
    assert first == again == Way("processes", 4)
    assert len(asked) == len(_together.CONTENDERS)
    assert "trainings an hour: one after another 100, processes, 4 at once 180" in told.notices[-1]
    assert list(json.loads((settings.store / "together.json").read_text())) == ["an H200, auto"]


def test_a_way_that_is_hardly_faster_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_together, "device_name", lambda settings: "an H200")
    monkeypatch.setattr(
        _together, "trainings_an_hour", lambda one, settings, way, *_: 105.0 if way == "fused" else 100.0
    )
    settings = settings_of(tmp_path)
    jobs = [job for job in grid.jobs(trials_of(tmp_path), settings) if isinstance(job, TrialJob)]
    assert measured_way(jobs, settings, Told()) == Way("one", 1)


def test_ways_are_measured_by_training_in_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_together, "CONTENDERS", (Way("one", 1), Way("fused", 1, 2)))
    settings = settings_of(tmp_path)
    jobs = [job for job in grid.jobs(trials_of(tmp_path), settings) if isinstance(job, TrialJob)]
    measured_way(jobs, settings, Told())
    (rates,) = json.loads((settings.store / "together.json").read_text())["cpu, auto"].values()
    assert set(rates) == {"one after another", "fused, 2 at once"}
    assert all(rate > 0 for rate in rates.values())
