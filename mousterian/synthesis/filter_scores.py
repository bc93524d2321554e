"""Filter scores of a pool's images: one `filters/HASH.parquet` in the pool's folder for each filter."""

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

FILTER_VERSION = 1  # incremented whenever the same filter would keep different images
Keep = NDArray[np.bool_]
_DAMAGE = (pa.ArrowException, OSError, KeyError, ValueError)  # what reading a damaged file raises
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FilterSpec:
    """Everything that determines a filter's scores of a pool's images.

    Attributes:
        name: filter plug-in.
        options: all its options.
        stamp: digest of the files that they name.
        real: identifies the real images that it is given, JSON-like.
        revision: of the filter's code.
    """

    name: str
    options: Mapping[str, Any]
    stamp: str
    real: Mapping[str, Any]
    revision: int = 1

    @cached_property
    def text(self) -> str:
        """Its identity as JSON text, with the revision from 2 on."""
        parts: dict[str, Any] = {
            "name": self.name,
            "options": dict(self.options),
            "stamp": self.stamp,
            "real": dict(self.real),
        }
        revised = {"revision": self.revision} if self.revision > 1 else {}
        return canonical({"version": FILTER_VERSION, **parts, **revised})

    @cached_property
    def key(self) -> str:
        """The hash that its file of scores is named by: 16 hexadecimal digits."""
        return digest(self.text)

    @classmethod
    def parse(cls, text: str) -> FilterSpec:
        """Return the filter spec with this JSON text."""
        parts = json.loads(text)
        return cls(parts["name"], parts["options"], parts["stamp"], parts["real"], parts.get("revision", 1))


def kept_by_filters(folder: Path) -> list[str]:
    """Return how many images each filter that has scored a pool keeps, e.g. "duplicates 240/256"."""
    found = []
    for path in _files(folder):
        try:
            table = pq.read_table(path)
            kept = int(table["keep"].to_numpy().sum())
            found.append(f"{FilterSpec.parse(_spec_text(table)).name} {kept}/{len(table)}")
        except _DAMAGE:
            found.append(f"{path.name} cannot be read")
    return found


def filter_spec(folder: Path, name: str) -> FilterSpec:
    """Return the filter that has scored a pool, by its name or the first digits of its scores' hash.

    Raises:
        InputError: no filter matches, or several do.
    """
    known = []
    for path in _files(folder):
        with suppress(*_DAMAGE):  # a damaged file is computed again; `kept_by_filters` names it
            known.append(FilterSpec.parse(_spec_text(pq.read_table(path, columns=[]))))
    found = [each for each in known if each.name == name or each.key.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{len(found)} filters {name!r} have scored this pool",
            where=str(folder),
            hint="name one by its hash: "
            + "; ".join(f"{e.key} {dict(e.options)} {dict(e.real)}" for e in found),
        )
    hint = "`mousterian generate` with a grid file that has this filter computes its scores"
    raise unknown_name(
        "filter of this pool", name, [each.name for each in known], where=str(folder), hint=hint
    )


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "filters").glob("*.parquet"))


def _spec_text(table: pa.Table) -> str:
    return str((table.schema.metadata or {})[b"filter"], "utf-8")


def as_table(positions: NDArray[np.int64], keep: Keep, score: NDArray[Any], spec: FilterSpec) -> pa.Table:
    """Return the scores (N,) and keep flags (N,) of the images at positions (N,)."""
    columns = {"position": positions, "score": score.astype(np.float64), "keep": keep.astype(bool)}
    return pa.table(columns).replace_schema_metadata({"filter": spec.text})


def file_of(folder: Path, spec: FilterSpec) -> Path:
    """Return the path of a pool's scores, which may not exist yet."""
    return folder / "filters" / f"{spec.key}.parquet"


def read(folder: Path, spec: FilterSpec) -> pa.Table:
    """Return the saved scores of a filter; an empty table if there are none that can be read."""
    path, none = file_of(folder, spec), np.zeros(0)
    try:
        table = pq.read_table(path)
        if (table.schema.metadata or {}).get(b"filter", b"").decode() == spec.text:
            return table
        _log.warning("%s: scores of another filter; computing them again", path)
    except FileNotFoundError:
        pass
    except (pa.ArrowException, OSError) as error:
        _log.warning("%s: cannot be read (%s); computing the scores again", path, error)
    return as_table(none.astype(np.int64), none.astype(bool), none, spec)


def write(folder: Path, spec: FilterSpec, table: pa.Table) -> None:
    """Save a filter's scores of a pool atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_atomically(file_of(folder, spec), buffer.getvalue())
