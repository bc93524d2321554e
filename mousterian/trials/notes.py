"""What is left out of a trial's dataset and pool, or converted: sentences. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mousterian.data.cache import SPLITS
from mousterian.data.loading import load_images
from mousterian.synthesis import shards

if TYPE_CHECKING:
    from mousterian.plugins.choice import Choice
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings


def notes_of_trial(trial: Trial, settings: Settings) -> tuple[str, ...]:
    """Return the notes of a trial's training and test images and of its pool, each once."""
    of_dataset = notes_of_dataset(trial.dataset, settings.data_dir)
    return tuple(dict.fromkeys([*of_dataset, *notes_of_pool(trial, settings)]))


def notes_of_dataset(dataset: Choice, data_dir: Path | None) -> tuple[str, ...]:
    """Return the notes of a dataset's training and test images."""
    return tuple(note for split in SPLITS for note in load_images(dataset, split, data_dir).notes)


def notes_of_pool(trial: Trial, settings: Settings) -> tuple[str, ...]:
    """Return the notes of a trial's pool; none if there is no pool, or none yet."""
    pool = trial.pool() if trial.n_syn_plus else None
    return shards.notes(settings.store / "pools" / pool.key) if pool else ()


def notes_of_trials(to_run: Iterable[Trial], trials: Iterable[Trial], settings: Settings) -> tuple[str, ...]:
    """Return the notes of the datasets of trials to run and of the existing pools of all trials, each once.

    Datasets of trials that are done need not be there any more.
    """
    notes: list[str] = []
    for dataset in {trial.dataset.text: trial.dataset for trial in to_run}.values():
        notes += notes_of_dataset(dataset, settings.data_dir)
    for trial in {_pool_key(trial): trial for trial in trials if trial.n_syn_plus}.values():
        notes += notes_of_pool(trial, settings)
    return tuple(dict.fromkeys(notes))


def _pool_key(trial: Trial) -> tuple[object, ...]:
    """Return all that a trial's pool depends on, without computing its hash."""
    generator = trial.generator and trial.generator.text
    return trial.dataset.text, generator, trial.subset_seed, trial.imbalance, trial.n_base
