"""One trial's run: train, evaluate, save its rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mousterian.data.loading import load_images
from mousterian.seeds import digest
from mousterian.store.predictions import PredictionFiles
from mousterian.store.rows import Store
from mousterian.store.versions import parts_of
from mousterian.trials import leaks
from mousterian.trials.identity import Trial
from mousterian.trials.images import images_of, make_pool, pool_of
from mousterian.trials.notes import notes_of_trial
from mousterian.trials.rows import rows_of, test_set_of
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
    return [row | data | _test_set(trial, row, settings) for row in rows]


def _test_set(trial: Trial, row: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what identifies the images that a row's predictions are of, their order and groups."""
    found = row.get("predictions")
    if found is None:
        return {}
    labels = hashlib.sha256(found.labels.astype("<i8").tobytes()).hexdigest()
    images = [trial.dataset.describe(), row["evaluation_set"], labels]
    if row["evaluation_set"] != test_set_of(trial):  # of other images, which the evaluation's options name
        images += [row["evaluation_options"], parts_of(row["content_stamps"]).get("evaluation", "")]
        return {"test_set": digest(images)}
    test = load_images(trial.dataset, "test", settings.data_dir)
    groups = test.groups if len(test) == len(found.labels) else None
    return {"test_set": digest(images), "predictions": found._replace(groups=groups)}


def checkpoint_file(trial: Trial, settings: Settings) -> Path:
    """Return the file for the checkpoints of a long trial."""
    return settings.store / "checkpoints" / f"{trial.key}.checkpoint"


def run_and_save(trial: Trial, settings: Settings) -> None:
    """Run a trial and write its rows to the store, unless another grid has done so in the meantime."""
    store = Store(settings.store)
    if not store.holds(trial.key):
        rows = run_trial(trial, settings)
        predicting = [row for row in rows if "predictions" in row]
        PredictionFiles(settings.store).write(trial.key, predicting)  # first: a row has its side file
        store.write(rows)
    checkpoint_file(trial, settings).unlink(missing_ok=True)
