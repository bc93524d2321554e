"""Checkpoints, divergence and memory: what a long or unlucky trial survives, and how it says so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interrupted import CutError
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.plugins.choice import Choice
from mousterian.store.rows import Store
from mousterian.store.schema import DIVERGED, DONE
from mousterian.training import loop, update
from mousterian.training.checkpoint import Checkpoint
from mousterian.training.feed import Stream
from mousterian.training.memory import is_out_of_memory
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import recipe
from mousterian.trials import grid, identity
from mousterian.trials.run import checkpoint_file, run_and_save, run_trial
from mousterian.trials.settings import Settings

CPU = torch.device("cpu")
GRID = """
dataset = "digits"
n_base = [30]
r_real = [1]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 12, batch_size = 16, crop = 1, flip = true}
"""


def one_trial(folder: Path, text: str = GRID, number: int = 0) -> tuple[identity.Trial, Settings]:
    path = folder / "grid.toml"
    path.write_text(text)
    return grid.read(path)[0][number], Settings(folder / "store", None, "cpu", "test")


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.3), nn.Flatten(), nn.Linear(144, 10)
    )


def cut_after(calls: int) -> Callable[[Tensor, Tensor], Tensor]:
    left = iter(range(calls))

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        if next(left, None) is None:
            raise CutError
        return functional.cross_entropy(logits, targets)

    return loss


def two_stages(path: Path | None, calls: int, acceleration: str, **changes: Any) -> dict[str, Tensor]:
    """Train in two stages, the second with other images and another recipe; cut off after some steps."""
    images = load_images(Choice("digits", {}), "train", None)
    chosen = recipe("small", {"iterations": 7, "batch_size": 16, "flip": True, **changes})
    kept = path and Checkpoint(path, "a trial", every=0)
    mixture = Mixture.of(images, CPU).take(torch.arange(40))
    task = loop.Task(mixture, 30, chosen, CPU, 0, checkpoint=kept, acceleration=acceleration)
    model = loop.prepare(network(), task)
    loss = cut_after(calls)
    loop.train(model, [Stream(mixture, 16, loss=loss)], task, stage="first")
    second = chosen.model_copy(update={"iterations": 6})
    half = mixture.take(torch.arange(20))
    loop.train(model, [Stream(half, 8, loss=loss)], task, recipe=second, stage="second")
    return model.state_dict()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "muon"])
@pytest.mark.parametrize("acceleration", ["eager", "graph"])
def test_a_run_cut_off_at_any_step_ends_with_the_same_weights(
    tmp_path: Path, optimizer: str, acceleration: str
) -> None:
    whole = two_stages(None, 99, acceleration, optimizer=optimizer)
    path = tmp_path / "one.checkpoint"
    for calls in (1, 4, 2, 3):  # again and again, in the first stage and in the second
        with pytest.raises(CutError):
            two_stages(path, calls + (acceleration == "graph"), acceleration, optimizer=optimizer)
    resumed = two_stages(path, 99, acceleration, optimizer=optimizer)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_trial_that_is_resumed_gives_the_same_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, settings = one_trial(tmp_path)
    whole = run_trial(given, settings)[0]
    monkeypatch.setattr("mousterian.training.checkpoint.EVERY", 0.0)
    step, taken = update.Update.step, iter(range(5))

    def cut(self: Any, batches: Any) -> None:
        if next(taken, None) is None:
            raise CutError
        step(self, batches)

    monkeypatch.setattr(update.Update, "step", cut)
    with pytest.raises(CutError):
        run_and_save(given, settings)
    kept = checkpoint_file(given, settings)
    assert kept.exists()
    taken = iter(range(7))  # of the 12 steps five have been taken
    run_and_save(given, settings)
    assert not kept.exists()
    row = Store(settings.store).read().iloc[0]
    for column in ("top1", "top5", "correct", "loss", "steps", "images_seen", "status"):
        assert row[column] == whole[column]
    assert list(row["per_class"]) == whole["per_class"]


@pytest.mark.parametrize("damage", ["flipped", "cut", "foreign", "other"])
def test_a_damaged_or_foreign_checkpoint_is_ignored_with_a_warning(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "one.checkpoint"
    with pytest.raises(CutError):
        two_stages(path, 4, "eager")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(b"not ours" * 20 if damage == "foreign" else content[: 500 if damage == "cut" else None])
    with caplog.at_level(logging.WARNING):
        kept = Checkpoint(path, "another trial" if damage == "other" else "a trial")
    kept.begin_stage()
    assert kept.state() is None
    assert "ignored" in caplog.text


def test_a_checkpoint_runs_no_code(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    kept = Checkpoint(tmp_path / "one.checkpoint", "a trial")
    kept.begin_stage()
    kept.write({"step": 1, "evil": Evil()})
    again = Checkpoint(tmp_path / "one.checkpoint", "a trial")
    again.begin_stage()
    assert again.state() is None
    assert not (tmp_path / "touched").exists()
    assert "not a mousterian checkpoint" in caplog.text


def test_a_training_that_diverges_is_a_row_that_says_where(tmp_path: Path) -> None:
    text = GRID.replace("iterations = 12", 'iterations = 12, optimizer = "sgd", learning_rate = 1e30')
    given, settings = one_trial(tmp_path, text)
    run_and_save(given, settings)
    row = Store(settings.store).read().iloc[0]
    assert row["status"] == DIVERGED
    assert "not finite at step" in row["error"]
    assert row[["top1", "loss"]].isna().all() and row["steps"] == 12


def starved(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Let a forward pass in training take at most so many images; return the sizes it was asked for."""
    asked = []
    forward = loop.Normalised.forward

    def limited(self: Any, images: Tensor) -> Tensor:
        if self.training:
            asked.append(len(images))
            if len(images) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")
        return forward(self, images)

    monkeypatch.setattr(loop.Normalised, "forward", limited)
    return asked


def test_out_of_memory_cuts_the_batch_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, settings = one_trial(tmp_path)
    asked = starved(monkeypatch, 5)
    (row,) = run_trial(given, settings)
    assert asked[:3] == [16, 8, 4]
    assert row["status"] == DONE
    assert row["error"].startswith("memory ran out; trained in 4 micro-batches a step")
    assert (row["steps"], row["images_seen"]) == (12, 12 * 16)


def test_memory_for_not_even_one_image_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, settings = one_trial(tmp_path)
    starved(monkeypatch, 0)
    with pytest.raises(InputError, match="not suffice for one image"):
        run_trial(given, settings)


def test_other_errors_of_torch_are_not_out_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    cpu = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to"
    assert is_out_of_memory(RuntimeError(cpu))


def test_micro_batches_give_the_gradient_of_the_whole_batch() -> None:
    images = load_images(Choice("digits", {}), "train", None)
    mixture = Mixture.of(images, CPU).take(torch.arange(30))
    chosen = recipe("small", {"iterations": 3, "batch_size": 15, "optimizer": "sgd", "learning_rate": 0.1})
    found = []
    for parts in (1, 4):
        task = loop.Task(mixture, 30, chosen, CPU, 0, micro_batches=parts)
        torch.manual_seed(0)
        model = loop.prepare(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), task)
        loop.train(model, [Stream(mixture, 15), Stream(mixture, 3, weight=0.5)], task)
        found.append(next(model.parameters()))
    torch.testing.assert_close(found[0], found[1])
