"""Several trials of one shape trained at once in one process, each with the rows that it has alone.

Importing this needs no torch. Sums are taken in another order than alone, so rows agree up to rounding; a
model that draws random numbers while it trains (dropout) draws others.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mousterian import plugins
from mousterian.images import TrialImages
from mousterian.memory import free, is_out_of_memory
from mousterian.rows import rows_of
from mousterian.seeds import canonical, digest
from mousterian.store import Store
from mousterian.supply import device_named, images_of, make_pool
from mousterian.trial import Settings, Trial, checkpoint_file

if TYPE_CHECKING:
    import torch

    from mousterian.attempt import Outcome

_log = logging.getLogger(__name__)


def shape_of(trial: Trial) -> str:
    """Return what trials have in common that can train at once: all but seeds, and what is in the mixture."""
    size = trial.n_base + trial.n_real_plus + trial.n_syn_plus
    return canonical([trial.dataset.text, trial.model.text, trial.strategy.text, trial.recipe_text, size])


def run_and_keep_together(trials: Sequence[Trial], settings: Settings) -> list[Exception | None]:
    """Run trials of one shape at once and write the rows of each to the store.

    Args:
        trials: of one shape, their claims held.
        settings: `together` says how: fused (their weights stacked, one step for all) or streams (a thread
            and a CUDA stream each).

    Returns:
        What went wrong with each trial, or None.
    """
    store = Store(settings.store)
    found: list[Exception | None] = []
    for trial, rows in zip(trials, run_together(trials, settings), strict=True):
        if isinstance(rows, Exception):
            found.append(rows)
            continue
        store.write(rows)
        checkpoint_file(trial, settings).unlink(missing_ok=True)
        found.append(None)
    return found


def run_together(trials: Sequence[Trial], settings: Settings) -> list[list[dict[str, Any]] | Exception]:
    """Train and evaluate trials of one shape at once; return the rows of each, or what went wrong with it."""
    import torch

    started = time.perf_counter()
    device = torch.device(device_named(settings.device))
    ready: list[_Member] = []
    ended: dict[str, Outcome | Exception] = {}
    for trial in trials:
        try:
            make_pool(trial, trial.n_syn_plus, settings)
            ready.append(_Member(trial, images_of(trial, settings)))
        except Exception as error:  # whatever a plug-in raises is this trial's failure
            ended[trial.key] = error
    outcomes = _Group(settings, device).run(ready)
    ended |= {member.trial.key: outcome for member, outcome in zip(ready, outcomes, strict=True)}
    seconds = (time.perf_counter() - started) / len(trials)
    found: list[list[dict[str, Any]] | Exception] = []
    for trial in trials:
        end = ended[trial.key]
        if isinstance(end, Exception):
            found.append(end)
        else:
            found.append(rows_of(trial, settings.grid, end, device, seconds))
    return found


@dataclass(frozen=True)
class _Member:
    """A trial with its images."""

    trial: Trial
    images: TrialImages


class _Group:
    """Trains members at once; in halves where memory runs out, each alone where that cannot be done."""

    def __init__(self, settings: Settings, device: torch.device) -> None:
        self._settings, self._device = settings, device

    def run(self, members: Sequence[_Member]) -> list[Outcome | Exception]:
        """Return what became of each member."""
        from mousterian.training import acceleration

        if len(members) < 2:
            return [self._alone(member) for member in members]
        try:
            way: Callable[[Sequence[_Member]], list[Outcome | Exception]] = getattr(
                self, f"_{self._settings.together}"
            )
            return way(members)
        except Exception as error:
            short = is_out_of_memory(error)
            reason = str(error).partition("\n")[0]
        # Out here, so that what the error's traceback held is free.
        acceleration.forget()
        free()
        if not short:
            _log.warning("%d trials cannot train at once (%s); each trains alone", len(members), reason)
            return [self._alone(member) for member in members]
        half = (len(members) + 1) // 2
        _log.warning("memory ran out for %d trials at once; going on with %d", len(members), half)
        return [*self.run(members[:half]), *self.run(members[half:])]

    def _alone(self, member: _Member) -> Outcome | Exception:
        from mousterian.attempt import attempt

        kept = checkpoint_file(member.trial, self._settings)
        try:
            return attempt(member.trial, member.images, self._device, kept, self._settings.acceleration)
        except Exception as error:  # whatever a plug-in raises is this trial's failure
            return error

    def _fused(self, members: Sequence[_Member]) -> list[Outcome | Exception]:
        from mousterian.attempt import model_of, task_of
        from mousterian.training.checkpoint import Checkpoint

        train = _trainer(members[0].trial)
        if train is None:
            return [self._alone(member) for member in members]
        mode = self._settings.acceleration
        tasks = [task_of(each.trial, each.images, self._device, mode) for each in members]
        # One checkpoint for all, in the place of the first: a group of other trials ignores it.
        keys = digest([each.trial.key for each in members])
        kept = Checkpoint(checkpoint_file(members[0].trial, self._settings), keys)
        tasks[0] = replace(tasks[0], checkpoint=kept)
        models = [model_of(each.trial, each.images, task) for each, task in zip(members, tasks, strict=True)]
        costs = train(models, tasks)
        return [
            self._scored(member, model, cost)
            for member, model, cost in zip(members, models, costs, strict=True)
        ]

    @staticmethod
    def _scored(member: _Member, model: Any, cost: Any) -> Outcome | Exception:
        from mousterian.attempt import outcome_of

        try:
            return outcome_of(member.trial, model, member.images, cost)
        except Exception as error:  # an evaluation's failure is its trial's
            if is_out_of_memory(error):
                raise
            return error

    def _streams(self, members: Sequence[_Member]) -> list[Outcome | Exception]:
        """Train each in a thread; a graph cannot be captured while others run, so steps are eager."""
        from mousterian.attempt import once, task_of
        from mousterian.training.mixture import resident

        tasks = [task_of(each.trial, each.images, self._device, "eager") for each in members]
        resident(members[0].images.test, self._device)
        ended: dict[int, Outcome | Exception] = {}

        def one(number: int) -> None:
            member = members[number]
            try:
                with _stream(self._device):
                    ended[number] = once(member.trial, member.images, replace(tasks[number], key=""))
            except Exception as error:
                ended[number] = error

        # Threads that import one module at the same time may find it half made.
        first = members[0].trial
        for kind, choice in (
            ("models", first.model),
            ("strategies", first.strategy),
            *(("evaluations", each) for each in first.evaluations),
        ):
            plugins.find(kind, choice.name).load()
        importlib.import_module("torch._dynamo")
        _synchronise(self._device)
        threads = [threading.Thread(target=one, args=(number,)) for number in range(len(members))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        _synchronise(self._device)
        short = [each for each in ended.values() if isinstance(each, Exception) and is_out_of_memory(each)]
        if short:
            raise short[0]
        return [ended[number] for number in range(len(members))]


def _stream(device: torch.device) -> AbstractContextManager[object]:
    """Return a CUDA stream of its own to work in; elsewhere nothing."""
    import torch

    if device.type != "cuda":
        return nullcontext()
    own: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return torch.cuda.stream(own)


def _synchronise(device: torch.device) -> None:
    """Wait until what other streams read, or have made, is there."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _trainer(trial: Trial) -> Callable[..., Any] | None:
    """Return how the trial's strategy trains several models at once, or None if it cannot.

    A strategy that can has, beside `train(model, task)`, a function `train_together(models, tasks)`. A trial
    that an evaluation looks at while it trains is trained alone.
    """
    if any(plugins.find("evaluations", each.name).function == "observe" for each in trial.evaluations):
        return None
    plugin = plugins.find("strategies", trial.strategy.name)
    found = getattr(importlib.import_module(plugin.module), "train_together", None)
    if found is None:
        return None
    options = {**trial.strategy.options, **plugin.preset}
    return lambda models, tasks: found(models, tasks, **options)
