"""What `mousterian fit`, `report` and the questions asked of a fit print."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian import equivalence
from mousterian.console import console, table
from mousterian.equivalence import Equivalence, Fit
from mousterian.errors import InputError, unknown_name
from mousterian.fitting.table import load
from mousterian.store import FAILED, Store
from mousterian.wording import answer, counts, number

RANGE = {"inside": "inside the data", "near": "near the data", "extrapolated": "extrapolated"}


def read_tables(sources: Sequence[str], store: Path) -> pd.DataFrame:
    """Return the rows of tables (files, or folders of stores) as one; without any, those of the store.

    Raises:
        InputError: a source cannot be read.
    """
    frames = []
    for source in sources or [str(store)]:
        path = Path(source)
        whole = Store(path).read() if path.is_dir() or not sources else load(path)
        frames.append(whole.assign(table=source) if len(sources) > 1 else whole)
    return pd.concat(frames, ignore_index=True)


def select(frame: pd.DataFrame, conditions: Iterable[str]) -> pd.DataFrame:
    """Return the rows whose columns have the values of `COLUMN=VALUE` conditions."""
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise InputError(f"--where takes COLUMN=VALUE, not {condition!r}")
        if column not in frame:
            raise unknown_name("column", column, map(str, frame), where="--where")
        numeric = pd.api.types.is_numeric_dtype(frame[column])
        try:
            kept = (
                frame[frame[column] == float(value)] if numeric else frame[frame[column].astype(str) == value]
            )
        except ValueError:
            raise InputError(
                f"column {column!r} holds numbers, and {value!r} is none", where="--where"
            ) from None
        if kept.empty:
            there = ", ".join(sorted(map(str, frame[column].unique()))[:8])
            raise InputError(f"no row has {condition}", where="--where", hint=f"{column} is one of {there}")
        frame = kept
    return frame


def fit(frame: pd.DataFrame, out: Path, *, surface: str, bootstrap: int, seed: int) -> list[tuple[Fit, Path]]:
    """Fit every arm of a table and save each fit.

    Args:
        frame: rows of one or several arms.
        out: a folder, or a .json file for a single arm.
        surface: a surface's name, or auto.
        bootstrap: draws that intervals are made of.
        seed: of those draws.

    Raises:
        InputError: the table cannot be fitted, or several arms are to go into one file.
    """
    arms = equivalence.arms(frame)
    single = out.suffix == ".json"
    if single and len(arms) > 1:
        raise InputError(
            f"the table holds {len(arms)} arms ({', '.join(arms)}), and one file holds one fit",
            where=f"--out {out}",
            hint="name a folder, or choose an arm with --where COLUMN=VALUE",
        )
    saved = []
    for name, (labels, rows) in arms.items():
        called = out.stem if single else name
        made = equivalence.fit(
            rows, surface=surface, bootstrap=bootstrap, seed=seed, name=called, labels=labels
        )
        path = out if single else out / f"{name}.json"
        made.save(path)
        saved.append((made, path))
    return saved


def show_fits(saved: Sequence[tuple[Fit, Path]], frame: pd.DataFrame) -> None:
    """Print each fit: equation, surfaces, a few equivalences, warnings, and where it is."""
    out = console()
    if "status" in frame and (failed := int((frame["status"] == FAILED).sum())):
        out.print(f"{failed} failed trials are left out", highlight=False)
    for made, path in saved:
        out.rule(made.name, align="left")
        cells = made.data.groupby(["n_base", "n_real_plus", "n_syn_plus"]).ngroups
        out.print(f"{len(made.data)} trials in {cells} cells; surface {_weights(made)}", highlight=False)
        formula = made.formula()
        if formula:
            out.print(formula.text, style="bold", highlight=False, markup=False)
            off = math.exp(formula.rms_log_error)
            exact = (
                "exact for these surfaces"
                if off < 1.005
                else f"typically off the surfaces by a factor {off:.2f}"
            )
            out.print(f"({exact})", highlight=False)
        else:
            out.print("no equation: synthetic images reach too little of what real ones do", style="bold")
        for text in _typical(made):
            out.print("  " + text, highlight=False, markup=False)
        for row, z, reason in made.outliers:
            out.print(f"  outlier: {row} ({z:.1f} residuals off): {reason}", highlight=False, markup=False)
        for warning in made.warnings:
            out.print(f"  warning: {warning}", highlight=False, markup=False)
        out.print(f"  saved as {path}", highlight=False, markup=False)


def _weights(made: Fit) -> str:
    return ", ".join(
        f"{each.name} {100 * each.weight:.0f} %" for each in made.surfaces if each.weight >= 0.01
    )


def _typical(made: Fit) -> list[str]:
    """Return what as many real images again are worth, at each base size that has synthetic rows."""
    rows = made.data[(made.data["n_syn_plus"] > 0) & (made.data["n_base"] > 0)]
    bases = [float(base) for base in sorted(rows["n_base"].unique())]
    return [sentence(made, made.equivalence(n_base=base, n_real_plus=base)) for base in bases]


def sentence(made: Fit, found: Equivalence) -> str:
    """Return an equivalence as a sentence with its interval, and whether it lies inside the data."""
    if isinstance(found.n_real_plus, float):
        text = answer(made, found.n_base, found.n_real_plus).text
    else:
        given = found.n_syn_plus if isinstance(found.n_syn_plus, float) else 0.0
        real = found.n_real_plus
        worth = counts(real) if real else "more than any number of"
        text = (
            f"At {number(found.n_base)} base images, {number(given)} more synthetic images are worth"
            f" {worth} real ones."
        )
    return f"{text} [{RANGE[found.trust]}]"


def print_json(value: Any) -> int:
    """Print a value as JSON and return exit code 0."""
    print(json.dumps(value, indent=2, ensure_ascii=False))  # noqa: T201
    return 0


def show_ratio(made: Fit, as_json: bool) -> int:
    """Print the improvement ratio at each measured ratio, from the trials and from the surface."""
    rows = made.ratio().to_dict("records")
    if as_json:
        return print_json(rows)
    if not rows:
        raise InputError(
            "no synthetic images were measured, so there is no improvement ratio", where=made.name
        )
    console().print(table(f"improvement ratio of {made.name}", rows, keep=("n_base", "r", "ratio")))
    return 0


def find_fits(given: Sequence[Path], folder: Path) -> list[Path]:
    """Return the fits given, or all those in the folder.

    Raises:
        InputError: there is none.
    """
    paths = list(given) or sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(
            "no fits here", where=str(folder), hint="run `mousterian fit` first, or name a fit's file"
        )
    return paths
