"""What filters say of a pool's images, on disk: `filters/HASH.parquet` in the pool's folder, one a filter."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mousterian.errors import InputError, unknown_name
from mousterian.files import write_atomically
from mousterian.seeds import canonical, digest

FILTER_VERSION = 1  # raised whenever the same filter would keep other images
Keep = NDArray[np.bool_]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilterSpec:
    """All that decides what a filter says of a pool's images.

    Attributes:
        name: filter plug-in.
        options: all its options.
        stamp: of the files that they name.
        real: what tells which real images it is given, JSON-like.
    """

    name: str
    options: Mapping[str, Any]
    stamp: str
    real: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """Its identity as JSON text."""
        parts = {
            "name": self.name,
            "options": dict(self.options),
            "stamp": self.stamp,
            "real": dict(self.real),
        }
        return canonical({"version": FILTER_VERSION, **parts})

    @cached_property
    def key(self) -> str:
        """The name of its scores: 16 hexadecimal digits."""
        return digest(self.text)

    @classmethod
    def of(cls, text: str) -> FilterSpec:
        """Return the sieve that `text` tells."""
        parts = json.loads(text)
        return cls(parts["name"], parts["options"], parts["stamp"], parts["real"])


def kept_by_filters(folder: Path) -> list[str]:
    """Return what each filter that has scored a pool keeps, e.g. "duplicates 240/256"."""
    found = []
    for path in _scores(folder):
        try:
            table = pq.read_table(path)
            keep = int(table["keep"].to_numpy().sum())
            found.append(f"{FilterSpec.of(_told(table)).name} {keep}/{len(table)}")
        except (pa.ArrowException, OSError, KeyError, ValueError):
            found.append(f"{path.name} cannot be read")
    return found


def filter_spec(folder: Path, name: str) -> FilterSpec:
    """Return the filter that has scored a pool, by its name or the first digits of its scores' hash.

    Raises:
        InputError: none is called so, or several are.
    """
    there = []
    for path in _scores(folder):
        with suppress(pa.ArrowException, OSError, KeyError, ValueError):
            there.append(FilterSpec.of(_told(pq.read_table(path, columns=[]))))
    found = [each for each in there if each.name == name or each.key.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{len(found)} filters {name!r} have scored this pool",
            where=str(folder),
            hint="name one by its hash: "
            + "; ".join(f"{e.key} {dict(e.options)} {dict(e.real)}" for e in found),
        )
    hint = "`mousterian generate` with a grid file that has the filter makes its scores"
    raise unknown_name(
        "filter of this pool", name, [each.name for each in there], where=str(folder), hint=hint
    )


def _scores(folder: Path) -> list[Path]:
    return sorted((folder / "filters").glob("*.parquet"))


def _told(table: pa.Table) -> str:
    return str((table.schema.metadata or {})[b"filter"], "utf-8")


def as_table(positions: NDArray[np.int64], keep: Keep, score: NDArray[Any], sieve: FilterSpec) -> pa.Table:
    """Return a filter's scores (N,) and marks (N,) of the images at positions (N,)."""
    columns = {"position": positions, "score": score.astype(np.float64), "keep": keep.astype(bool)}
    return pa.table(columns).replace_schema_metadata({"filter": sieve.text})


def file_of(folder: Path, sieve: FilterSpec) -> Path:
    """Return where the scores of a pool in a folder are, or will be."""
    return folder / "filters" / f"{sieve.key}.parquet"


def read(folder: Path, sieve: FilterSpec) -> pa.Table:
    """Return the scores that are there; none if there is no file of this filter's that can be read."""
    path, none = file_of(folder, sieve), np.zeros(0)
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(b"filter", b"").decode() == sieve.text:
            return table
        _log.warning("%s: scores of another filter are made anew", path)
    except FileNotFoundError:
        pass
    except (pa.ArrowException, OSError) as error:
        _log.warning("%s: cannot be read (%s); the scores are made anew", path, error)
    return as_table(none.astype(np.int64), none.astype(bool), none, sieve)


def write(folder: Path, sieve: FilterSpec, table: pa.Table) -> None:
    """Keep a filter's scores of a pool, whole or not at all."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomically(file_of(folder, sieve), buffer.getvalue())
