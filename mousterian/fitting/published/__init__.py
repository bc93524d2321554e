"""The papers' own tables as data: each with its source, its table number and its known misprints."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian.errors import unknown_name

# Before the name of a published table where a file is expected.
PREFIX = "published:"
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Published:
    """One published table.

    Attributes:
        name: paper and table, e.g. "mousterian/table-3".
        title: what was measured.
        paper: the paper's title.
        table: where in the paper.
        labels: what describes the arm.
        misprints: what is printed wrong, as sentences; the data have it as printed.
        notes: what is only read off text, and what to know before fitting.
    """

    name: str
    title: str
    paper: str
    table: str
    labels: dict[str, str]
    misprints: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> pd.DataFrame:
        """The table: n_base, n_real_plus, n_syn_plus, accuracy (percent), often total (test images).

        A table of pools (FID, IS) has no accuracies, and cannot be fitted.
        """
        return pd.read_csv(_FOLDER / f"{self.name}.csv")


@cache
def _all() -> dict[str, Published]:
    found = {}
    for path in sorted(_FOLDER.glob("*/tables.toml")):
        tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        paper = tables.pop("paper")
        for name, about in tables.items():
            found[f"{path.parent.name}/{name}"] = Published(
                name=f"{path.parent.name}/{name}",
                title=about["title"],
                paper=paper,
                table=about["table"],
                labels=about["labels"],
                misprints=tuple(about.get("misprints", ())),
                notes=tuple(about.get("notes", ())),
            )
    return found


def names() -> tuple[str, ...]:
    """Return the names of all published tables."""
    return tuple(_all())


def load(name: str) -> Published:
    """Return a published table.

    Raises:
        InputError: there is none of that name.
    """
    tables = _all()
    if name not in tables:
        raise unknown_name("published table", name, tables, hint="`mousterian published` lists them")
    return tables[name]
