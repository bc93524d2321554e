"""Split a store's rows into arms: the same data and classifier, one source of synthetic images each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from mousterian.errors import InputError, error_source, first_of, unknown_name
from mousterian.fitting import cells, published, versions
from mousterian.fitting.columns import CONTEXT, COUNTS, OPTIONS, SOURCE, named
from mousterian.fitting.understanding import read, understood
from mousterian.plugins.differences import distinguishing_options
from mousterian.plugins.key_value import key_and_value
from mousterian.store.rows import Store
from mousterian.store.schema import DIVERGED, DONE, FAILED
from mousterian.store.versions import COLUMNS as VERSIONS


def arms(frame: pd.DataFrame) -> dict[str, tuple[dict[str, str], pd.DataFrame]]:
    """Split a store's rows into arms: name -> (labels, rows).

    Rows without synthetic images belong to every arm with the same data, classifier and training. Rows of
    failed and of diverged trials are left out, and so are evaluations that give no accuracy, and rows of
    older code or files (`versions.standing`). An arm's name consists of its dataset, its generator and what
    else distinguishes the arms: other plug-ins, or else the options in which these differ.
    """
    frame, context, source = _finished(frame), *_columns(frame)
    frame = frame[versions.standing(frame, context, source) == versions.KEPT]
    keyed = frame.assign(**{c: frame[c].astype(str) for c in (*context, *source)})
    alone = pd.to_numeric(keyed["n_syn_plus"], errors="coerce") == 0
    found: list[tuple[dict[str, str], pd.DataFrame]] = []
    groups = keyed.groupby(context, sort=True) if context else [((), keyed)]
    for _, rows in groups:
        if any(name in rows and rows[name].isna().all() for name in ("accuracy", "top1")):
            continue
        real, synthetic = rows[alone.loc[rows.index]], rows[~alone.loc[rows.index]]
        parts = [part for _, part in synthetic.groupby(source, sort=True)] if source else [synthetic]
        for part in parts or [synthetic]:
            members = pd.concat([real, part]).index
            first = (part if len(part) else real).iloc[0]
            found.append(({c: str(first[c]) for c in (*context, *source)}, frame.loc[members]))
    return {name: (own | versions.labels(rows), rows) for name, (own, rows) in _named(found).items()}


def _finished(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == DONE] if "status" in frame else frame


def _columns(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the columns of the context and of the source that a table has."""
    return [c for c in CONTEXT if c in frame], [c for c in SOURCE if c in frame]


def _named(
    found: list[tuple[dict[str, str], pd.DataFrame]],
) -> dict[str, tuple[dict[str, str], pd.DataFrame]]:
    every = found[0][0] if found else {}
    differing = [c for c in every if len({labels[c] for labels, _ in found}) > 1]
    # Arms trained on base and on upstream differ in n_upstream as well, which adds no information.
    upstream = {each.get("n_upstream") for each, _ in found if each.get("trained_on") == "upstream"}
    always = ("dataset", "generator", "trained_on")
    ignored = {*always, "n_upstream"} if len(upstream) < 2 else set(always)
    described, stems = [], []
    for labels, _ in found:
        own = {c: labels[c] for c in every if labels[c] not in ("", "nan", "{}")}
        other = [c for c in differing if c not in ignored and not c.endswith("_options") and labels[c] != "0"]
        described.append(own)
        stems.append("-".join(own[c] for c in (*always, *other) if c in own) or "all")
    names = _numbered(distinct_names(stems, described))
    return {name: (own, rows) for name, own, (_, rows) in zip(names, described, found, strict=True)}


def refuse_several(frame: pd.DataFrame) -> None:
    """Raise InputError where rows are of several arms, naming the columns in which these differ.

    Rows without synthetic images have no generator, so that only the others' generators count.

    Args:
        frame: a table under canonical names of its columns.
    """
    frame = frame[frame["accuracy"].notna()]  # evaluations without an accuracy are no arms
    synthetic = pd.to_numeric(frame["n_syn_plus"], errors="coerce") > 0
    parts = [(frame, CONTEXT), (frame[synthetic], (*SOURCE, *VERSIONS)), (frame[~synthetic], VERSIONS)]
    differing = {
        column: sorted(set(rows[column].astype(str)))
        for rows, columns in parts
        for column in columns
        if column in rows and rows[column].astype(str).nunique() > 1
    }
    if differing:
        told = "; ".join(f"{column} is {first_of(values)}" for column, values in differing.items())
        raise InputError(
            f"the rows are of several arms: {told}",
            hint="mousterian.fit_arms(table) gives one fit an arm; or keep the rows of one",
        )


def _numbered(names: Iterable[str]) -> Iterator[str]:
    """Yield the names, equal ones numbered from the second on: a, a-#2, a-#3."""
    seen: Counter[str] = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}-#{seen[name]}"


def distinct_names(
    names: Sequence[str], labels: Sequence[Mapping[str, str]], *, whole: bool = False
) -> list[str]:
    """Return names of arms; to equal ones, the options that distinguish them are added.

    Args:
        names: of the arms.
        labels: of each, as `arms` gives them.
        whole: add every option in which they differ, not as few as distinguish them.
    """
    found = list(names)
    for name in set(names):
        alike = [index for index, each in enumerate(names) if each == name]
        options = [[labels[index].get(f"{kind}_options", "") for kind in OPTIONS] for index in alike]
        for index, text in zip(alike, distinguishing_options(options, whole=whole), strict=True):
            found[index] = "-".join(filter(None, (name, text)))
    return found


@dataclass(frozen=True)
class Arm:
    """Rows to fit together, with a name, labels, the file or folder they came from, and what was guessed."""

    name: str
    labels: Mapping[str, str]
    rows: pd.DataFrame
    source: str = ""
    warnings: tuple[str, ...] = ()


def read_arms(
    sources: Sequence[str], store: Path, where: Sequence[str], columns: Sequence[tuple[str, str]] = ()
) -> tuple[list[Arm], str]:
    """Return the arms of tables, and sentences on how these were understood and what is left out, one a line.

    Args:
        sources: files, folders of stores, or `published:NAME`; without any, the store.
        store: folder of the store.
        where: `COLUMN=VALUE` conditions that rows must meet.
        columns: canonical names, each with the column of the tables that the user says it is.

    Raises:
        InputError: a source cannot be read, or a condition leaves no row.
    """
    found: list[Arm] = []
    said: list[str] = []
    left_out = dict.fromkeys((FAILED, DIVERGED), 0)
    for source in sources or [str(store)]:
        if source.startswith(published.PREFIX):
            paper = published.load(source.removeprefix(published.PREFIX))
            found += _published(paper, select(paper.rows, where), source)
            continue
        path = Path(source)
        frame, warnings, read_as = _rows(path, path.is_dir() or not sources, where, columns)
        said += read_as
        trials = frame.drop_duplicates("trial") if "trial" in frame else frame
        for status in left_out if "status" in frame else ():
            left_out[status] += int((trials["status"] == status).sum())
        said += versions.sentences(_finished(frame), *_columns(frame))
        split = arms(frame).items()
        plain = len(split) == 1 and "dataset" not in frame
        found += [Arm(path.stem if plain else name, *arm, source, warnings) for name, arm in split]
    if not found:
        raise InputError(
            "no finished trial here: all have failed or diverged", where=str(store), hint="see their `error`"
        )
    counted = " and ".join(f"{count} {status}" for status, count in left_out.items() if count)
    # Tables of one name in different folders are different arms.
    names = _numbered(arm.name for arm in found)
    distinct = [replace(arm, name=name) for arm, name in zip(found, names, strict=True)]
    return distinct, "\n".join([f"{counted} trials are left out"] * bool(counted) + said)


def _rows(
    path: Path, is_store: bool, where: Sequence[str], columns: Sequence[tuple[str, str]]
) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """Return the rows of a store or a file, what was guessed, and how a file was understood, a line each."""
    table = named(Store(path).read(), columns, ours=True) if is_store else read(path, columns)
    table = replace(table, frame=select(table.frame, where, table.given))
    if table.ours:
        return table.frame, table.guesses, []
    with error_source(str(path)):
        known = understood(table)
    return known.rows, known.warnings, [f"{path}: {known.said[0]}", *(f"  {line}" for line in known.said[1:])]


def _published(paper: published.Published, rows: pd.DataFrame, source: str) -> list[Arm]:
    """Return the arms of a paper's table: itself, or one for each of its generators, models, strategies."""
    name = paper.name.replace("/", "-")
    split = arms(rows) if set(COUNTS) <= set(rows) else {}
    if len(split) < 2:
        return [Arm(name, paper.labels, rows, source)]
    return [
        Arm(f"{name}-{arm}", paper.labels | labels, part, source) for arm, (labels, part) in split.items()
    ]


def frame_arms(frame: pd.DataFrame) -> list[Arm]:
    """Return the arms of a data frame of trials."""
    table = read(frame)
    known = None if table.ours else understood(table)
    rows, warnings = (known.rows, known.warnings) if known else (table.frame, table.guesses)
    return [Arm(name, *arm, warnings=warnings) for name, arm in arms(rows).items()]


def select(
    frame: pd.DataFrame, conditions: Iterable[str], given: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return the rows whose columns have the values of `COLUMN=VALUE` conditions.

    Rows without synthetic images have no generator: conditions on it leave them in, and a version is theirs
    if what it says of the rest is.

    Args:
        frame: a table under canonical names of its columns.
        conditions: what rows must meet.
        given: what the user calls these columns.
    """
    own = {theirs: name for name, theirs in (given or {}).items()}
    for condition in conditions:
        column, value = key_and_value(condition, flag="--where", form="COLUMN=VALUE")
        column = own.get(column, column)
        if column not in frame:
            raise unknown_name("column", column, map(str, frame), where="--where")
        if column in VERSIONS and (named := versions.of_version(frame, column, value)).any():
            frame = frame[named]
            continue
        kept = _meets(frame[column], value)
        if column in SOURCE and "n_syn_plus" in frame:
            kept |= cells.read(frame["n_syn_plus"], ".").values == 0
        frame = frame[kept]
    return frame


def _meets(given: pd.Series[Any], value: str) -> pd.Series[bool]:
    """Return which cells have a value.

    Raises:
        InputError: none has; it names those that there are.
    """
    numeric = pd.api.types.is_numeric_dtype(given)
    try:
        found = given == float(value) if numeric else given.astype(str) == value
    except ValueError:
        raise InputError(
            f"column {given.name!r} holds numbers, and {value!r} is not a number", where="--where"
        ) from None
    if not found.any():
        values = given.dropna()
        there = ", ".join(map(str, sorted(values.unique() if numeric else set(map(str, values)))[:8]))
        hint = f"{given.name} is one of {there}"
        raise InputError(f"no row has {given.name}={value}", where="--where", hint=hint)
    return found
