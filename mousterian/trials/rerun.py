"""A trial restored from its row in a store, run again, and compared with that row."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian.errors import InputError, nearest
from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS, FAILED
from mousterian.trials import checks, grid
from mousterian.trials.grid_file import GridFile, Source
from mousterian.trials.identity import Trial
from mousterian.trials.run import run_trial
from mousterian.trials.settings import Settings

_PLUGINS = ("dataset", "model", "strategy", "recipe", "generator")
# The columns that a rerun must reproduce, unlike the machine and the time that it takes.
REPRODUCED = [
    *(column.name for column in COLUMNS if column.group == "result"),
    "steps",
    "images_seen",
    "status",
]


def rows_of(store: Path, name: str) -> pd.DataFrame:
    """Return the rows of a trial, one for each evaluation.

    Args:
        store: the store's folder.
        name: the trial's hash, or a prefix of it that identifies the trial.

    Raises:
        InputError: no such trial, or several.
    """
    frame = Store(store).read()
    found = frame[frame["trial"].str.startswith(name)]
    hashes = sorted(found["trial"].unique())
    if not hashes:
        match = nearest(name, frame["trial"].unique())
        raise InputError(
            f"no trial {name!r}" + (f"; did you mean {match!r}?" if match else ""),
            where=str(store),
            hint="the column `trial` of the store's rows has the hash of every trial",
        )
    if len(hashes) > 1:
        raise InputError(
            f"{len(hashes)} trials begin with {name!r}: {', '.join(hashes[:4])}", where=str(store)
        )
    return found


def trial_of(rows: pd.DataFrame, data_dir: Path | None = None) -> Trial:
    """Return the trial of some rows, restored from their identity columns.

    Args:
        rows: one for each evaluation.
        data_dir: folder of the datasets; None: the default.

    Raises:
        InputErrors: a plug-in of the trial is missing, or its options have changed.
        InputError: the restored trial is another, since files that it names or the meaning of an option have
            changed.
    """
    row = rows.iloc[0]
    given: dict[str, Any] = {
        kind: {"name": row[kind], **json.loads(row[f"{kind}_options"])} for kind in _PLUGINS if row[kind]
    }
    if "generator" in given:
        given["generator"] |= {"trained_on": row["trained_on"], "n_upstream": int(row["n_upstream"])}
        given["generator_seeds"] = int(row["generator_seed"])
    sizes = {name: int(row[name]) for name in ("n_base", "n_real_plus", "n_syn_plus")}
    given["recipe"].setdefault("name", row["recipe"])
    given |= {"cell": [sizes], "imbalance": float(row["imbalance"])}
    given |= {"subset_seeds": int(row["subset_seed"]), "training_seeds": int(row["training_seed"])}
    if pd.notna(row.get("leaks")) and row["leaks"]:
        given["allow_test_copies"] = bool(json.loads(row["leaks"])["allowed"])
    given["evaluation"] = [
        {"name": each["evaluation"], **json.loads(each["evaluation_options"])}
        for each in rows.to_dict("records")
    ]
    source = Source(Path(f"trial {row['trial']}"), "")
    (trial,) = grid.trials_of(GridFile.model_validate(given), source, data_dir)
    if trial.key != row["trial"]:
        raise InputError(
            f"restored from its row, the trial is {trial.key}: the files that it names differ here,"
            " or another version of mousterian ran it",
            where=f"trial {row['trial']}",
            hint=f"the row has versions {row['versions']}, revision {row['revision']}",
        )
    return trial


def run_again(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Run a trial again and return its rows; nothing is written but pools that are missing.

    Raises:
        InputError: the trial cannot be run here, or has failed.
    """
    if rows["status"].eq(FAILED).any():
        raise InputError(
            f"this trial failed ({rows['error'].iloc[0]})",
            where=f"trial {rows['trial'].iloc[0]}",
            hint="`mousterian grid FILE --retry-failed` runs it again",
        )
    trial = trial_of(rows, settings.data_dir)
    checks.check_sizes([trial], Source(Path(f"trial {trial.key}"), ""), settings.data_dir)
    return pd.DataFrame(run_trial(trial, settings)).reindex(columns=rows.columns)


def differences(then: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Compare the rows of two runs of a trial: columns evaluation, column, then, now, same.

    Columns without a value in either are left out.
    """
    keys = ["evaluation", "evaluation_options"]
    pairs = then.merge(now, on=keys, suffixes=("", "\0"), validate="one_to_one")
    found = [
        {
            "evaluation": row["evaluation"],
            "column": name,
            "then": _plain(row[name]),
            "now": _plain(row[name + "\0"]),
        }
        for row in pairs.to_dict("records")
        for name in REPRODUCED
    ]
    frame = pd.DataFrame([each for each in found if each["then"] is not None or each["now"] is not None])
    return frame.assign(same=[a == b for a, b in zip(frame["then"], frame["now"], strict=True)])


def _plain(value: Any) -> Any:
    """Return a table's value as a plain one; None where it is missing."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value
