"""A trial's rows in the store: its identity and its outcome. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mousterian.store import provenance
from mousterian.store.schema import DIVERGED, DONE, FAILED, SCHEMA_VERSION
from mousterian.training.device import device_title

if TYPE_CHECKING:
    import torch

    from mousterian.trials.identity import Trial
    from mousterian.trials.train_and_evaluate import Outcome


def identity_columns(trial: Trial) -> dict[str, Any]:
    """Return the store's identity columns, except those of the evaluation."""
    generator, pool = trial.generator, trial.pool()
    return {
        "trial": trial.key,
        "cell": trial.cell_key,
        "schema_version": SCHEMA_VERSION,
        "dataset": trial.dataset.name,
        "dataset_options": trial.dataset.json,
        "imbalance": trial.imbalance,
        "n_base": trial.n_base,
        "n_real_plus": trial.n_real_plus,
        "n_syn_plus": trial.n_syn_plus,
        "r_real": trial.n_real_plus / trial.n_base,
        "r_syn": trial.n_syn_plus / trial.n_base,
        "generator": generator.name if generator else "",
        "trained_on": generator.trained_on if generator else "",
        "n_upstream": generator.n_upstream if generator else 0,
        "generator_options": generator.json if generator else "",
        "generator_seed": generator.seed if generator else 0,
        "pool": pool.key if pool else "",
        "model": trial.model.name,
        "model_options": trial.model.json,
        "strategy": trial.strategy.name,
        "strategy_options": trial.strategy.json,
        "recipe": trial.recipe["name"],
        "recipe_options": trial.recipe_text,
        "subset_seed": trial.subset_seed,
        "training_seed": trial.training_seed,
    }


def rows_of(
    trial: Trial,
    grid: str,
    outcome: Outcome,
    device: torch.device,
    seconds: float,
    *,
    devices: int = 1,
    notes: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Return the rows of a trial, one for each evaluation.

    Args:
        trial: the trial.
        grid: name of the grid that asked for it.
        outcome: its scores and cost.
        device: where it was trained; with several devices, the first.
        seconds: time that it took.
        devices: number of devices that trained it.
        notes: of its dataset and pool.
    """
    common = {
        **identity_columns(trial),
        "evaluation_set": f"{trial.dataset.name}/test",
        "data_notes": "\n".join(notes),
        "seconds": seconds,
        "train_seconds": outcome.cost.seconds,
        "steps": outcome.cost.steps,
        "images_seen": outcome.cost.images_seen,
        "device": device_title(device) if devices == 1 else f"{devices} × {device_title(device)}",
        **provenance.columns(grid),
        "status": DIVERGED if outcome.diverged else DONE,
        "error": outcome.note,
    }
    return [
        {**common, "evaluation": each.name, "evaluation_options": each.json, **score}
        for each, score in zip(trial.evaluations, outcome.scores, strict=True)
    ]


def failed_row(trial: Trial, grid: str, error: str) -> dict[str, Any]:
    """Return the row of a trial that failed, with its error."""
    first = trial.evaluations[0]
    return {
        **identity_columns(trial),
        **provenance.columns(grid),
        "evaluation": first.name,
        "evaluation_options": first.json,
        "status": FAILED,
        "error": error,
    }
