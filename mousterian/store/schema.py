"""The columns of the store and what they mean; the statuses of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


# Raised when columns change; columns missing from older files are read as null.
SCHEMA_VERSION = 4
# Diverged is a result: training ran and its loss became non-finite. Fits exclude it, like failures.
DONE, DIVERGED, FAILED = "done", "diverged", "failed"
STATUSES = (DONE, DIVERGED, FAILED)  # of two files of one trial, the first of these counts


@dataclass(frozen=True)
class Column:
    """One column of the store: its arrow type (as text), its group and what it means."""

    name: str
    type: str
    group: str
    meaning: str


COLUMNS = tuple(
    Column(*row)
    for row in (
        ("trial", "string", "identity", "hash of all identity columns; the trial's name everywhere"),
        ("cell", "string", "identity", "hash of the identity columns except the seeds"),
        ("schema_version", "int32", "identity", "version of this table of columns"),
        ("dataset", "string", "identity", "dataset plug-in: source of training and test images"),
        ("dataset_options", "string", "identity", "its options, JSON"),
        (
            "imbalance",
            "float64",
            "identity",
            "size of the largest class of S_base over the smallest; 1 is balanced",
        ),
        ("n_base", "int64", "identity", "real images in the base training set S_base"),
        ("n_real_plus", "int64", "identity", "real images added to S_base"),
        ("n_syn_plus", "int64", "identity", "synthetic images added to S_base"),
        ("r_real", "float64", "identity", "n_real_plus / n_base"),
        ("r_syn", "float64", "identity", "n_syn_plus / n_base"),
        ("generator", "string", "identity", "generator plug-in; empty where nothing synthetic is added"),
        (
            "trained_on",
            "string",
            "identity",
            "base (internal), upstream or elsewhere (external); empty without a generator",
        ),
        ("n_upstream", "int64", "identity", "real images outside S_base that the generator was trained on"),
        ("generator_options", "string", "identity", "its options, JSON"),
        ("generator_seed", "int64", "identity", "seed of the generator's training and sampling"),
        ("pool", "string", "identity", "hash of the pool of the synthetic images"),
        ("model", "string", "identity", "classifier plug-in"),
        ("model_options", "string", "identity", "its options, JSON"),
        ("strategy", "string", "identity", "training strategy plug-in: how the mixture is trained on"),
        ("strategy_options", "string", "identity", "its options, JSON"),
        ("recipe", "string", "identity", "name of the training recipe"),
        ("recipe_options", "string", "identity", "every value of the recipe, JSON"),
        ("subset_seed", "int64", "identity", "seed of the nested subsets: S_base and the real additions"),
        ("training_seed", "int64", "identity", "seed of initialisation and data order"),
        ("evaluation", "string", "identity", "evaluation plug-in of this row"),
        ("evaluation_options", "string", "identity", "its options, JSON"),
        (
            "code_revisions",
            "string",
            "identity",
            'revisions of the code above 1, e.g. "dataset 2, generator 2"; "1" if there are none',
        ),
        (
            "content_stamps",
            "string",
            "identity",
            'stamps of the files that plug-ins name, e.g. "dataset 0f3a…"; empty if there are none',
        ),
        ("evaluation_set", "string", "result", "evaluated images"),
        ("top1", "float64", "result", "top-1 accuracy on the test images (0 to 1)"),
        ("top5", "float64", "result", "top-5 accuracy (0 to 1)"),
        ("correct", "int64", "result", "test images classified correctly"),
        ("total", "int64", "result", "test images"),
        ("per_class", "list<float64>", "result", "top-1 accuracy of each class, in label order (0 to 1)"),
        ("loss", "float64", "result", "mean cross-entropy on the test images, nats"),
        ("mean_per_class", "float64", "result", "mean of per_class over classes that have test images"),
        ("many_shot", "float64", "result", "the same over classes with many images in S_base"),
        ("medium_shot", "float64", "result", "the same over classes with neither many nor few"),
        ("few_shot", "float64", "result", "the same over classes with few images in S_base"),
        ("confidence", "float64", "result", "mean probability of the predicted class (0 to 1)"),
        ("ece", "float64", "result", "expected calibration error, over bins of confidence (0 to 1)"),
        ("leep", "float64", "result", "log expected empirical prediction (transferability), nats; at most 0"),
        ("curve_steps", "list<float64>", "result", "optimiser steps after which curve_top1 was measured"),
        ("curve_top1", "list<float64>", "result", "top-1 accuracy after each of curve_steps (0 to 1)"),
        ("seconds", "float64", "cost", "wall-clock time of the whole trial, seconds"),
        ("train_seconds", "float64", "cost", "wall-clock time of the training loop, seconds"),
        ("steps", "int64", "cost", "optimiser steps"),
        ("images_seen", "int64", "cost", "training images seen, with repeats"),
        ("device", "string", "cost", "cpu, or the accelerator's name"),
        ("grid", "string", "provenance", "name of the grid that first ran the trial"),
        ("versions", "string", "provenance", "versions of Python and the main packages, JSON"),
        (
            "revision",
            "string",
            "provenance",
            "git revision of mousterian's source, '+' if changed; empty if unknown",
        ),
        ("finished_at", "string", "provenance", "end of the trial, UTC, ISO 8601"),
        ("leaks", "string", "provenance", "leak checks of the dataset and of the pool, JSON; empty: none"),
        (
            "data_notes",
            "string",
            "provenance",
            "what was left out of the dataset and the pool, or converted: sentences, one a line",
        ),
        ("status", "string", "status", "done, diverged or failed"),
        ("error", "string", "status", "error message of a diverged or failed trial"),
    )
)


@cache
def arrow_schema() -> pa.Schema:
    """Return the schema; each field's meaning is in its metadata under `meaning`."""
    import pyarrow as pa

    types = {"list<float64>": pa.list_(pa.float64())}
    return pa.schema(
        [
            pa.field(c.name, types.get(c.type) or getattr(pa, c.type)(), metadata={"meaning": c.meaning})
            for c in COLUMNS
        ],
        metadata={"mousterian_schema_version": str(SCHEMA_VERSION)},
    )
