"""A trial's rows in the store: its identity and its outcome. Importing this needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mousterian.store import provenance, versions
from mousterian.store.schema import DIVERGED, DONE, FAILED, SCHEMA_VERSION
from mousterian.synthesis.filter_scores import FILTER_VERSION
from mousterian.synthesis.pool_identity import POOL_VERSION
from mousterian.training.device import device_title
from mousterian.trials.identity import TRIAL_VERSION

if TYPE_CHECKING:
    import torch

    from mousterian.plugins.choice import Choice
    from mousterian.trials.identity import Trial
    from mousterian.trials.train_and_evaluate import Outcome


def identity_columns(trial: Trial, evaluation: Choice | None = None) -> dict[str, Any]:
    """Return the store's identity columns; without an evaluation, those that all rows of the trial share."""
    generator, pool = trial.generator, trial.pool()
    evaluated = {"evaluation": evaluation.name, "evaluation_options": evaluation.json} if evaluation else {}
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
        **evaluated,
        **_versions(trial, evaluation),
    }


def _versions(trial: Trial, evaluation: Choice | None) -> dict[str, str]:
    """Return the columns of the code and the files that make the trial."""
    parts = {
        "dataset": trial.dataset,
        "model": trial.model,
        "strategy": trial.strategy,
        "evaluation": evaluation,
        "generator": trial.generator,
    }
    revisions = {part: each.revision for part, each in parts.items() if each} | {"loop": TRIAL_VERSION}
    stamps = {part: each.stamp for part, each in parts.items() if each}
    if trial.generator:  # what makes pools of a generator's images is its code, too
        revisions["generator"] += POOL_VERSION - 1
    # A chain of filters is one part: its revision rises with that of any of them.
    if filters := trial.generator.filters if trial.generator else ():
        revisions["filter"] = FILTER_VERSION + sum(each.revision - 1 for each in filters)
        stamps["filter"] = "+".join(each.stamp for each in filters).strip("+")
    return {
        "code_revisions": versions.code_revisions(revisions),
        "content_stamps": versions.content_stamps(stamps),
    }


def rows_of(
    trial: Trial,
    grid: str,
    outcome: Outcome,
    device: torch.device,
    seconds: float,
    *,
    devices: int = 1,
) -> list[dict[str, Any]]:
    """Return the rows of a trial, one for each evaluation.

    Args:
        trial: the trial.
        grid: name of the grid that asked for it.
        outcome: its scores and cost.
        device: where it was trained; with several devices, the first.
        seconds: time that it took.
        devices: number of devices that trained it.
    """
    common = {
        "evaluation_set": test_set_of(trial),
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
        {**identity_columns(trial, each), **common, **score}
        for each, score in zip(trial.evaluations, outcome.scores, strict=True)
    ]


def test_set_of(trial: Trial) -> str:
    """Return the name of the trial's own test set."""
    return f"{trial.dataset.name}/test"


def failed_row(trial: Trial, grid: str, error: str) -> dict[str, Any]:
    """Return the row of a trial that failed, with its error."""
    first = trial.evaluations[0]
    return {
        **identity_columns(trial, first),
        **provenance.columns(grid),
        "status": FAILED,
        "error": error,
    }
