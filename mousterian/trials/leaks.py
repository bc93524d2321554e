"""What is known of test images in a trial's training set and pool, to refuse them and for its row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.data.leakage import stored
from mousterian.data.leakage.stored import LeakRecord, set_file, set_leaks
from mousterian.data.loading import dataset_text
from mousterian.seeds import canonical, digest
from mousterian.synthesis.filtering import Filtered
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pool_leaks import file_of, pool_leaks
from mousterian.synthesis.pools import Pool

if TYPE_CHECKING:
    from mousterian.trials.identity import Trial
    from mousterian.trials.settings import Settings


def check_set(trial: Trial, data_dir: Path | None) -> LeakRecord:
    """Return what is known of test images in the trial's training set.

    Raises:
        InputError: there are too many, and its grid does not allow it.
    """
    found = set_leaks(trial.dataset, data_dir)
    found.refuse(dataset_text(trial.dataset.name, trial.dataset.options), allowed=trial.allow_test_copies)
    return found


def check_pool(
    trial: Trial, pool: Pool, count: int, filtered: Filtered | None, data_dir: Path | None
) -> LeakRecord:
    """Return what is known of test images among the first `count` images of the trial's pool.

    Raises:
        InputError: it holds test images, and its grid does not allow it; or it cannot be read.
    """
    read = filtered.read if filtered else None
    found = pool_leaks(pool, count, data_dir, filters=_filters(trial), read=read)
    found.refuse(f"pool {pool.identity.label}, {pool.folder}", allowed=trial.allow_test_copies)
    return found


def column(trial: Trial, pool: Pool | None, settings: Settings) -> str:
    """Return what leak checks found, for a row: JSON with `set`, `pool` (null without one) and `allowed`."""
    of_pool = stored.read(file_of_pool(trial, pool.folder)) if pool else None
    of_set = stored.read(set_file(trial.dataset, settings.data_dir))
    return canonical(
        {
            "set": dict((of_set or set_leaks(trial.dataset, settings.data_dir)).summary),
            "pool": dict(of_pool.summary) if of_pool else None,
            "allowed": trial.allow_test_copies,
        }
    )


def refuse_known(trials: Iterable[Trial], store: Path) -> None:
    """Refuse trials whose pool is known to hold test images, before anything runs.

    Raises:
        InputError: of the first such pool whose grid does not allow it.
    """
    for trial, identity in _sources(trials):
        if identity and (found := stored.read(file_of_pool(trial, store / "pools" / identity.key))):
            found.refuse(f"pool {identity.label} ({identity.key[:8]})", allowed=trial.allow_test_copies)


def known(trials: Iterable[Trial], store: Path, data_dir: Path | None) -> list[dict[str, Any]]:
    """Return what is known of the sets and pools of some trials, for the plan of a grid.

    Returns:
        For each set and each pool: `of` (in words), `sentences` (none where no check was made yet), and
        `reason` (why it is refused, or empty).
    """
    found: dict[str, Mapping[str, Any]] = {}
    for trial, identity in _sources(trials):
        text = dataset_text(trial.dataset.name, trial.dataset.options)
        found[text] = _shown(text, stored.read(set_file(trial.dataset, data_dir)))
        if identity:
            record = stored.read(file_of_pool(trial, store / "pools" / identity.key))
            found[trial.source_key] = _shown(f"pool {identity.label} ({identity.key[:8]})", record)
    return [dict(each) for each in found.values()]


def _sources(trials: Iterable[Trial]) -> list[tuple[Trial, PoolIdentity | None]]:
    """Return a trial of each dataset and source of synthetic images, and its pool's identity."""
    return [(trial, trial.pool()) for trial in {(t.dataset.text, t.source_key): t for t in trials}.values()]


def file_of_pool(trial: Trial, folder: Path) -> Path:
    """Return the file of the leak check of the images that the trial takes from its pool's folder."""
    return file_of(folder, _filters(trial))


def _shown(what: str, record: LeakRecord | None) -> Mapping[str, Any]:
    sentences = list(record.sentences) if record else []
    return {"of": what, "sentences": sentences, "reason": record.reason if record else ""}


def _filters(trial: Trial) -> str:
    return digest([spec.key for spec in trial.filter_specs]) if trial.filter_specs else ""
