"""Why trials are new although the store has rows that differ in nothing but code or files. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS, FAILED
from mousterian.store.versions import parts_of
from mousterian.trials.rows import identity_columns

if TYPE_CHECKING:
    import pandas as pd

    from mousterian.trials.identity import Trial

_VERSIONS = ["code_revisions", "content_stamps"]
# Columns that other code or other files change, and ratios, which repeat the sizes.
_FREE = {"trial", "cell", "pool", "schema_version", "r_real", "r_syn", *_VERSIONS}
_SAME = [column.name for column in COLUMNS if column.group == "identity" and column.name not in _FREE]
_PARTS = ["dataset", "model", "strategy", "evaluation", "generator", "generator_options"]
_WITH_VERSIONS = 4  # the schema whose rows say the revisions and stamps


class Replaced(NamedTuple):
    """New trials that replace rows of the store, and why."""

    trials: int
    reason: str


def replaced(new: Sequence[Trial], store: Store) -> list[Replaced]:
    """Return how many new trials replace rows of the store for each reason, most first.

    Args:
        new: trials that are not in the store.
        store: where they are to go.

    Raises:
        InputError: a file of the store cannot be read.
    """
    import pandas as pd

    if not new or not store.status():
        return []
    old = store.read()
    old = old[old["status"] != FAILED]
    now = pd.DataFrame([identity_columns(trial, each) for trial in new for each in trial.evaluations])
    pairs = _newest(_with_same_evaluations(_comparable(now), _comparable(old)))
    if pairs.empty:
        return []
    told = [*_VERSIONS, *(f"{name}_then" for name in _VERSIONS), "schema_version_then", *_PARTS]
    kinds = pairs[told].drop_duplicates()
    reasons = pd.Series(
        [list(_reasons(each)) for each in kinds.to_dict("records")], kinds.index, dtype=object
    )
    found = pairs.merge(kinds.assign(reason=reasons), on=told).explode("reason")
    found = found[["trial", "reason"]].drop_duplicates().sort_values("reason")
    joined = found.groupby("trial")["reason"].agg(" and ".join)
    return [Replaced(int(count), str(reason)) for reason, count in joined.value_counts().items()]


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that are compared, with one value for what is missing."""
    import pandas as pd

    wanted = [
        *_SAME,
        "trial",
        "schema_version",
        *_VERSIONS,
        *(["finished_at"] if "finished_at" in rows else []),
    ]
    numbers = {column.name for column in COLUMNS if column.type.startswith(("int", "float"))}
    return pd.DataFrame(
        {
            name: rows[name].fillna(0).astype(float) if name in numbers else rows[name].fillna("").astype(str)
            for name in wanted
        }
    )


def _with_same_evaluations(now: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each evaluation of each new trial and each old one like it: both have no others."""
    pairs = now.merge(then, on=_SAME, suffixes=("", "_then"))
    both = pairs.groupby(["trial", "trial_then"])["evaluation"].transform("size")
    alike = (both == pairs["trial"].map(now["trial"].value_counts())) & (
        both == pairs["trial_then"].map(then["trial"].value_counts())
    )
    return pairs[alike]


def _newest(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return of each new trial the rows beside the old trial that finished last."""
    last = pairs.sort_values(["finished_at", "trial_then"]).drop_duplicates("trial", keep="last")
    return pairs.merge(last[["trial", "trial_then"]])


def _reasons(pair: Mapping[Any, Any]) -> Iterator[str]:
    """Yield what has changed between an old row and the new one that is otherwise the same."""
    revisions, stamps = (parts_of(pair[name]) for name in _VERSIONS)
    if pair["schema_version_then"] < _WITH_VERSIONS:
        for part in sorted(revisions.keys() | stamps.keys()):
            yield f"the code or the files of {_name(pair, part)} have changed since"
        if revisions or stamps:
            return
    before, stamps_before = (parts_of(pair[f"{name}_then"]) for name in _VERSIONS)
    for part in sorted(revisions.keys() | before.keys()):
        then, today = before.get(part, "1"), revisions.get(part, "1")
        if then != today:
            yield f"the code of {_name(pair, part)} has changed (revision {then}, now {today})"
    for part in sorted(stamps.keys() | stamps_before.keys()):
        if stamps.get(part) != stamps_before.get(part):
            yield f"the files of {_name(pair, part)} have changed since"
    if (revisions, stamps) == (before, stamps_before):
        yield "the code has changed since"


def _name(pair: Mapping[Any, Any], part: str) -> str:
    """Return a part of a trial with the name of its plug-in."""
    if part == "loop":
        return "the training loop"
    if part == "filter":
        filters = json.loads(pair["generator_options"])["filter"]
        return "filter " + ", ".join(each["name"] for each in filters)
    return f"{part} {pair[part]}"
