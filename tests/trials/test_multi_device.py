"""One trial on two devices: here two processes on the CPU, which communicate through gloo."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch
from running import Recorder, alive, holds_within, install, settings_of, trials_of
from torch import Tensor, nn

from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.executors.backends import local
from mousterian.executors.backends._ray_cluster import Reservation
from mousterian.executors.backends._slots import Slot, adjacent_slots, device_of
from mousterian.executors.backends._slurm_jobs import check_devices
from mousterian.executors.jobs import TrialJob
from mousterian.plugins.choice import Choice
from mousterian.store.rows import Store
from mousterian.store.schema import DONE
from mousterian.training import distributed, loop
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.distributed import DistributedUpdate
from mousterian.training.mixture import Mixture
from mousterian.training.models.small_cnn import build
from mousterian.training.recipes import recipe
from mousterian.training.strategies import auxiliary_bn, joint
from mousterian.trials import identity
from mousterian.trials.multi_device import devices_of
from mousterian.trials.run import run_trial

CPU = torch.device("cpu")
# Batch norm, momentum, crops and flips; 15 images a step are no two equal shares.
GRID = """
dataset = "digits"
n_base = [30]
training_seeds = [0]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 12, batch_size = 15, crop = 1, flip = true, devices = 2}
"""


def on_two(folder: Path, work: Callable[[distributed.Group], Any], count: int = 2) -> list[Any]:
    """Return the result of `work` in each process of a group, or what it raised there."""
    ends = []
    for rank in range(count):
        here, there = Pipe()
        ends.append((os.fork(), here))
        if ends[-1][0] == 0:
            try:
                with distributed.process_group(rank, count, CPU, folder / "meeting") as group:
                    there.send(work(group))
            except Exception as error:
                there.send(f"{type(error).__name__}: {error}")
            os._exit(0)
        there.close()
    results = [here.recv() if here.poll(120) else None for _, here in ends]
    for process, _ in ends:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    return results


def normed(images: Tensor, group: distributed.Group | None) -> dict[str, list[float]]:
    """Put images through a batch norm in training, with a loss that weights each image differently."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.normal_(norm.weight)
    shown = images.clone().requires_grad_()
    weights = torch.arange(images.numel(), dtype=torch.float32).view_as(images)
    if group is None:
        (norm(shown).square() * weights).sum().backward()
    else:
        own = slice(0, 4) if group.rank == 0 else slice(4, 10)
        with distributed.SynchronisedNorms(group):
            found = norm(shown[own])
        (found.square() * weights[own]).sum().backward()
        group.all_reduce([shown.grad, norm.weight.grad, norm.bias.grad])  # type: ignore[list-item]
    parts = {"images": shown.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    parts |= {"mean": norm.running_mean, "variance": norm.running_var}
    return {name: value.flatten().tolist() for name, value in parts.items() if value is not None}


def test_batch_norm_over_two_processes_is_that_of_the_whole_batch(tmp_path: Path) -> None:
    images = torch.randn(10, 3, 4, 4, generator=torch.Generator().manual_seed(1)) * 3 + 2
    whole = normed(images, None)
    for found in on_two(tmp_path, lambda group: normed(images, group)):
        assert isinstance(found, dict), found
        for name, values in whole.items():
            torch.testing.assert_close(torch.tensor(found[name]), torch.tensor(values), rtol=1e-3, atol=2e-3)


def trained(
    strategy: Any, parts: int, group: distributed.Group | None, kept: Checkpoint | None = None
) -> tuple[list[float], int]:
    """Train a small network on 24 real and 16 synthetic digits; return its weights and statistics."""
    images = load_images(Choice("digits", {}), "train", None)
    mixture = Mixture.of(images, CPU).take(torch.arange(40))
    mixture = replace(mixture, synthetic=torch.arange(40) >= 24)
    chosen = recipe("small", {"iterations": 8, "batch_size": 15, "flip": True, "learning_rate": 1e-3})
    task = loop.Task(mixture, 24, chosen, CPU, 5, checkpoint=kept, micro_batches=parts, group=group)
    torch.manual_seed(3)
    model = loop.prepare(build(10, (8, 8, 1), width=4), task)
    cost = strategy.train(model, task)
    return torch.cat([value.flatten().double() for value in model.state_dict().values()]).tolist(), cost.steps


@pytest.mark.parametrize(("strategy", "parts"), [(joint, 1), (auxiliary_bn, 1), (joint, 3)])
def test_two_processes_train_the_model_that_one_trains(strategy: Any, parts: int, tmp_path: Path) -> None:
    # Batch norm sees all processes' micro-batches at a time: with parts, other images than alone.
    one = trained(strategy, parts, None)
    first, second = on_two(tmp_path, lambda group: trained(strategy, parts, group))
    assert first == second and first[1] == one[1] == 8
    if parts == 1:
        torch.testing.assert_close(torch.tensor(first[0]), torch.tensor(one[0]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3])  # from 3 on, the order in which gradients are added matters
def test_processes_resume_from_the_checkpoint_of_the_first(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(group: distributed.Group) -> tuple[list[float], int]:
        every = 0.0 if group.rank == 0 else float("inf")
        return trained(joint, 1, group, Checkpoint(tmp_path / "one.checkpoint", "a trial", every))

    (tmp_path / "whole").mkdir()
    whole = on_two(tmp_path / "whole", lambda group: trained(joint, 1, group), count)
    step, taken = DistributedUpdate.step, iter(range(5))

    def cut(self: Any, batches: Any) -> None:
        if next(taken, None) is None:
            raise RuntimeError("the power went off")
        step(self, batches)

    monkeypatch.setattr(DistributedUpdate, "step", cut)
    assert on_two(tmp_path, work, count) == ["RuntimeError: the power went off"] * count
    (tmp_path / "meeting").unlink(missing_ok=True)
    taken = iter(range(3))  # of the 8 steps five have been taken
    assert on_two(tmp_path, work, count) == whole


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    for error in on_two(tmp_path, lambda group: trained(joint, 8, group)):
        assert error.startswith("InputError: a batch of 15 images cannot be shared by 2 devices in 8 micro-")


def test_devices_are_not_part_of_a_trials_identity(tmp_path: Path) -> None:
    (several,) = trials_of(tmp_path, GRID)
    (alone,) = trials_of(tmp_path, GRID.replace(", devices = 2", ""))
    assert "devices" not in alone.recipe and several.recipe["devices"] == 2
    assert (several.key, several.cell_key, several.recipe_text) == (
        alone.key, alone.cell_key, alone.recipe_text
    )  # fmt: skip
    here = settings_of(tmp_path / "store")
    assert (devices_of(several, here), devices_of(alone, here)) == (["cpu", "cpu"], ["cpu"])
    assert devices_of(alone, replace(here, devices=3)) == ["cpu"] * 3  # the executor takes precedence
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="needs 2 devices starting from cuda:1, and there are 0"):
            devices_of(several, replace(here, device="cuda:1"))


def slots(numbers: range, busy: tuple[int, ...] = ()) -> list[Slot]:
    found = [Slot(number, None, None, ready=True) for number in numbers]  # type: ignore[arg-type]
    for slot in found:
        slot.job = object() if slot.number in busy else None  # type: ignore[assignment]
    return found


@pytest.mark.parametrize(
    ("numbers", "busy", "devices", "accelerators", "taken"),
    [
        (range(4), (), 1, 0, [0]),
        (range(4), (0,), 2, 0, [1, 2]),
        (range(4), (1,), 2, 4, [2, 3]),
        (range(4), (0, 3), 2, 2, []),  # 1 and 2 are devices 1 and 0
        (range(4), (2,), 3, 0, []),
        (range(2), (), 3, 0, [0, 1]),  # more than there are: all slots
        (range(2), (1,), 3, 0, []),
        (range(0, 6, 2), (), 2, 0, [0, 2, 4]),  # neighbours were set aside
    ],
)
def test_a_trial_on_several_devices_takes_adjacent_slots(
    numbers: range, busy: tuple[int, ...], devices: int, accelerators: int, taken: list[int]
) -> None:
    every = slots(numbers, busy)
    first = next(slot for slot in every if slot.idle)
    found = adjacent_slots(first, every, devices, accelerators)
    assert [slot.number for slot in found] == taken
    if len(found) > 1:
        found[1].borrower, found[0].job = found[0], object()  # type: ignore[assignment]
        assert not found[1].idle


def test_slots_take_the_accelerators_in_turn() -> None:
    assert [device_of(n, "auto", 2) for n in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert {device_of(1, "auto", 1), device_of(1, "auto", 0)} == {"auto"}
    assert device_of(1, "cuda:3", 4) == "cuda:3" and device_of(1, "cpu", 4) == "cpu"


def test_clusters_reserve_as_many_devices_as_a_trial_uses(tmp_path: Path) -> None:
    assert Reservation(2, 0.25).times(1) == Reservation(2, 0.25)
    assert Reservation(2, 0.25).times(4) == Reservation(8, 4)
    assert Reservation(1, 0).times(2) == Reservation(2, 0)
    (several,) = trials_of(tmp_path, GRID)
    jobs = [TrialJob(several, several.key, several.label)]
    check_devices(jobs, settings_of(tmp_path / "store"), 2, 0)
    with pytest.raises(InputError, match="asks for 2 devices, and a job has gpus_per_task=1"):
        check_devices(jobs, settings_of(tmp_path / "store"), 8, 1)


def test_a_trial_on_two_devices_has_the_row_that_it_has_on_one(tmp_path: Path) -> None:
    (several,) = trials_of(tmp_path, GRID)
    here = settings_of(tmp_path / "store")
    (alone,) = run_trial(replace(several, recipe={**several.recipe, "devices": 1}), here)
    listener = Recorder()
    local.run([TrialJob(several, several.key, several.label)], here, listener, workers=2)
    assert listener.done == [several.key], listener.errors
    row = Store(here.store).read().iloc[0]
    assert (row["status"], row["device"]) == (DONE, "2 × cpu")
    assert row[["steps", "images_seen", "recipe_options"]].tolist() == [
        alone[name] for name in ("steps", "images_seen", "recipe_options")
    ]
    assert row["loss"] == pytest.approx(alone["loss"], rel=1e-3)
    assert row["top1"] == pytest.approx(alone["top1"], abs=2 / row["total"])


def test_negative_numbers_of_devices_are_refused(tmp_path: Path) -> None:
    (several,) = trials_of(tmp_path, GRID)
    jobs = [TrialJob(several, several.key, several.label)]
    with pytest.raises(InputError, match="devices_per_trial must be 0 or more, not -1"):
        local.run(jobs, settings_of(tmp_path / "store"), Recorder(), devices_per_trial=-1)
    with pytest.raises(InputError, match="recipe 'small': devices"):
        recipe("small", {"devices": 0})
    with pytest.raises(InputError, match="9 devices cannot share batches of 8"):
        recipe("small", {"devices": 9, "batch_size": 8})


ODD = """
import os, signal, time
from pathlib import Path
def train(model, task, *, mark: str = ""):
    Path(mark, str(os.getpid())).touch()
    if task.group.rank == 1 and Path(mark).name == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], identity.Trial]:
    """Return a trial of two devices whose strategy marks its processes in a folder of the given name."""
    site = install(tmp_path / "site", "odd", ODD, "odd = odd:train")
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")

    def made(name: str) -> identity.Trial:
        (tmp_path / name).mkdir()
        return replace(trials_of(tmp_path, GRID)[0], strategy=Choice("odd", {"mark": str(tmp_path / name)}))

    return made


def gone(marks: Path, seconds: float) -> bool:
    """Return whether all processes that have left a mark end in time."""
    return holds_within(seconds, lambda: not any(alive(int(mark.name)) for mark in marks.iterdir()))


def test_a_process_that_dies_fails_the_trial_and_leaves_no_other_running(
    odd: Callable[[str], identity.Trial], tmp_path: Path
) -> None:
    with pytest.raises(RuntimeError, match=r"process 2 of 2 died \(exit code -9\)"):
        run_trial(odd("dies"), settings_of(tmp_path / "store"))
    assert gone(tmp_path / "dies", 0)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processes_die_with_their_parent(odd: Callable[[str], identity.Trial], tmp_path: Path) -> None:
    trial = odd("sleeps")
    parent = os.fork()
    if parent == 0:
        try:
            run_trial(trial, settings_of(tmp_path / "store"))
        finally:
            os._exit(1)
    assert holds_within(300, lambda: len(list((tmp_path / "sleeps").iterdir())) == 2)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert gone(tmp_path / "sleeps", 5)
