"""One trial's run: train, evaluate, save its rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from mousterian.store.rows import Store
from mousterian.trials import leaks
from mousterian.trials.identity import Trial
from mousterian.trials.images import images_of, make_pool, pool_of
from mousterian.trials.notes import notes_of_trial
from mousterian.trials.rows import rows_of
from mousterian.trials.settings import Settings


def run_trial(trial: Trial, settings: Settings) -> list[dict[str, Any]]:
    """Train and evaluate one trial and return its rows, one for each evaluation.

    A training that diverges is a result: rows of status `diverged`, with what could be measured.
    """
    import torch

    from mousterian.trials.multi_device import devices_of, train_on
    from mousterian.trials.train_and_evaluate import train_and_evaluate

    started = time.perf_counter()
    make_pool(trial, trial.n_syn_plus, settings)
    devices = devices_of(trial, settings)
    checkpoint = checkpoint_file(trial, settings)
    if len(devices) == 1:
        images = images_of(trial, settings)
        outcome = train_and_evaluate(
            trial, images, torch.device(devices[0]), checkpoint, settings.acceleration
        )
    else:
        outcome = train_on(devices, trial, settings, checkpoint)
    seconds = time.perf_counter() - started
    rows = rows_of(trial, settings.grid, outcome, torch.device(devices[0]), seconds, devices=len(devices))
    data = {
        "leaks": leaks.column(trial, pool_of(trial, settings), settings),
        "data_notes": "\n".join(notes_of_trial(trial, settings)),
    }
    return [row | data for row in rows]


def checkpoint_file(trial: Trial, settings: Settings) -> Path:
    """Return the file for the checkpoints of a long trial."""
    return settings.store / "checkpoints" / f"{trial.key}.checkpoint"


def run_and_save(trial: Trial, settings: Settings) -> None:
    """Run a trial and write its rows to the store, unless another grid has done so in the meantime."""
    store = Store(settings.store)
    if not store.holds(trial.key):
        store.write(run_trial(trial, settings))
    checkpoint_file(trial, settings).unlink(missing_ok=True)
