"""Which column of a table is which, under the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from mousterian.errors import InputError, nearest, unknown_name
from mousterian.fitting import cells
from mousterian.fitting.table_file import numbered
from mousterian.store.versions import COLUMNS as VERSIONS

COUNTS = ("n_base", "n_real_plus", "n_syn_plus")
RATIOS = {"r_real": "n_real_plus", "r_syn": "n_syn_plus"}
SEEDS = ("subset_seed", "generator_seed", "training_seed")
NUMBERS = (*COUNTS, "accuracy", *SEEDS, "total", "weight")
# What makes rows one arm: the same data, classifier and training, and the same source of synthetic images.
OPTIONS = ("dataset", "model", "strategy", "recipe", "evaluation", "generator")
CONTEXT = ("dataset", "imbalance", "model", "strategy", "recipe", "evaluation",
           *(f"{name}_options" for name in OPTIONS[:-1]))  # fmt: skip
SOURCE = ("generator", "trained_on", "n_upstream", "generator_options")
_ORDER = ("n_base", "n_real_plus", "r_real", "n_syn_plus", "r_syn", "accuracy")
# Real images in all: the base alone where no column names a base.
REAL = "n_real"
# Given as --column unused=NAME: a column to be ignored.
UNUSED = "unused"
_STORE = {"trial", "cell", "schema_version"}

_MEANINGS = {
    "accuracy": "accuracy acc", "test": "test testing eval", "validation": "val validation valid dev",
    "base": "base", "real": "real original", "train": "train training", "ratio": "r ratio times multiple",
    "syn": "syn synth synthetic generated gen fake artificial sd gan diffusion", "generator": "generator",
    "plus": "plus extra added add adding additional new", "seed": "seed run rep repeat replicate repetition",
    "subset": "subset data split",
    "": "percent pct mean avg final overall",  # say nothing of which column it is
    "count": "n num nr no number of images image imgs img count counts samples sample size set used the",
}  # fmt: skip
_WORDS = {word: meaning for meaning, words in _MEANINGS.items() for word in words.split()}
# What the words of a column's name must mean, all of them; the first that a table has is taken.
_NAMES: dict[str, tuple[str, ...]] = {
    "n_base": ("base", "base real", "base train", "base real train"),
    REAL: ("real", "real train", "count train"),
    "n_real_plus": ("plus real", "plus real train"),
    "n_syn_plus": ("plus syn", "syn", "plus syn train", "syn train"),
    "r_real": ("ratio real", "plus ratio real"),
    "r_syn": ("ratio syn", "plus ratio syn"),
    "accuracy": ("accuracy test", "accuracy", "accuracy validation"),
    "subset_seed": ("seed subset",),
    "generator_seed": ("generator seed", "seed syn"),
    "training_seed": ("seed train", "seed"),
    "total": ("count test",),
    "model": (), "dataset": (), "generator": (), "strategy": (), "trained_on": (), "weight": (),
    "recipe": (), "evaluation": (), "imbalance": (),
}  # fmt: skip
# Names of counts that can mean nothing else.
_SURE = (
    "n base",
    "base",
    "base size",
    "base images",
    "n base images",
    "n real plus",
    "n syn plus",
    "n syn",
    "n synthetic",
    "r real",
    "r syn",
    "real plus",
    "syn plus",
    "syn",
)
_SYNONYMS = {"model": ("classifier", "architecture", "arch", "backbone", "network"), "dataset": ("data set",)}


@dataclass(frozen=True)
class Named:
    """A table under canonical column names, its cells as given where they are no plain numbers.

    Attributes:
        frame: the rows, numbered from 1.
        given: what the user calls each of these columns.
        ours: whether it is a store's, whose other columns are known.
        unused: columns that nothing uses.
        guesses: how columns were understood where another reading is possible, as sentences.
        mark: decimal mark of its numbers.
        read_as: of a file, a few words each.
    """

    frame: pd.DataFrame
    given: Mapping[str, str] = field(default_factory=dict)
    ours: bool = False
    unused: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()
    mark: cells.Mark = field(default_factory=lambda: cells.Mark("."))
    read_as: tuple[str, ...] = ()

    def name(self, column: str) -> str:
        """Return a column's name for messages: the user's own."""
        given = self.given.get(column, column)
        return given if given.isidentifier() else repr(given)


def named(frame: pd.DataFrame, columns: Sequence[tuple[str, str]] = (), *, ours: bool = False,
          read_as: tuple[str, ...] = ()) -> Named:  # fmt: skip
    """Return a table with each column under its canonical name.

    Args:
        frame: the table.
        columns: canonical names, each with the user's column, where they say so; `unused` with ignored ones.
        ours: whether other columns are known: of stores and of published tables.
        read_as: how its file was read.

    Raises:
        InputError: a column is missing, could be two, or is there twice.
    """
    frame, dropped = numbered(frame)
    ours = ours or set(frame) >= _STORE
    given, ignored = _said(list(map(str, frame)), columns)
    guesses = _search(list(map(str, frame)), given, ignored, ours)
    given = {name: given[name] for name in (*_ORDER, *given) if name in given}
    replaced = [name for name, own in given.items() if own != name in frame and name not in given.values()]
    frame = frame.drop(columns=[*replaced, *ignored]).rename(
        columns={own: name for name, own in given.items()}
    )
    _require(frame, given)
    used = {*given, *NUMBERS, *RATIOS, *CONTEXT, *SOURCE, *VERSIONS, "status"}
    unused = () if ours else (*(str(name) for name in frame if name not in used), *ignored)
    mark = _mark(frame, given)
    if not ours or read_as:
        typed = {str(name): _typed(frame[name], str(name), mark.decimal) for name in frame if name}
        frame = frame.assign(**typed)
    return Named(frame, given, ours, unused, tuple(guesses), mark, (*read_as, *dropped))


def _said(table: Sequence[str], columns: Sequence[tuple[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Return which columns the user says are which, and which are to be ignored, as the table spells them."""
    there = {_plain(name): name for name in table}
    given: dict[str, str] = {}
    ignored: list[str] = []
    for name, own in columns:
        if name not in (known := (*NUMBERS, *RATIOS, REAL, *CONTEXT, *SOURCE, UNUSED)):
            raise unknown_name("column", name, known, where=f"--column {name}={own}")
        if own not in table and _plain(own) not in there:
            raise unknown_name("column of the table", own, table, where=f"--column {name}={own}")
        found = own if own in table else there[_plain(own)]
        if name == UNUSED:
            ignored.append(found)
        else:
            given[name] = found
    return given, ignored


def _plain(name: str) -> str:
    """Return a column's name without case, spaces, underscores, signs and units.

    >>> _plain("Test acc. (%)"), _plain("nReal+"), _plain("top-1")
    ('test acc', 'n real plus', 'accuracy')
    """
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("+", " plus ").replace("#", " n ")
    text = re.sub(r"[\W_]+", " ", text.casefold()).strip()
    return re.sub(r"\b(top|acc) ?1( acc(uracy)?)?\b", "accuracy", text)


def is_percent(name: str) -> bool:
    """Return whether a column's name gives percent as its unit."""
    return "%" in name or bool({"percent", "pct"} & set(_plain(name).split()))


def _meaning(name: str) -> tuple[str, frozenset[str]]:
    """Return a column's name as its words' meanings; nothing where a word is unknown, as in acc_rare."""
    words = _plain(name).split()
    meanings = {_WORDS.get(word, "?") for word in words} - {""}
    return ("", frozenset()) if "?" in meanings else (" ".join(sorted(meanings)), frozenset(meanings))


def _search(table: Sequence[str], given: dict[str, str], ignored: Sequence[str], ours: bool) -> list[str]:
    """Add to the columns given those that the table's names tell; return what was guessed, as sentences."""
    guesses, told = [], set(given)
    for name in _NAMES:
        if name in given:
            continue
        found = _found([own for own in table if own not in (*given.values(), *ignored)], name, ours)
        if found:
            given[name] = found[0]
        if name == "accuracy" and found[1:]:
            guesses.append(f"Accuracy is the column {found[0]!r}, not {' or '.join(map(repr, found[1:]))}.")
    if "n_base" not in given and REAL in given:
        given["n_base"] = given.pop(REAL)
    elif "n_real_plus" in given or "r_real" in given:
        given.pop(REAL, None)
    loose = [
        f"{name} is {given[name]!r}"
        for name in COUNTS
        if name not in told and _plain(given.get(name, "base")) not in _SURE
    ]
    if loose:
        guesses.append(f"Columns were understood by their names: {'; '.join(loose)}.")
    return guesses


def _found(free: Sequence[str], name: str, ours: bool) -> list[str]:
    """Return the columns that may be the one of a canonical name, the best match first.

    Raises:
        InputError: two match equally well.
    """
    if name in free:
        return [name]
    old = {"accuracy": "top1", "training_seed": "seed"}.get(name, "")
    if ours:
        return [old] if old in free else []
    ranks = {own: _rank(own, name) for own in free if own and own not in (*NUMBERS, *RATIOS)}
    found = sorted((rank, own != old, own) for own, rank in ranks.items() if rank is not None)
    if len(found) > 1 and found[0][:2] == found[1][:2]:
        raise InputError(f"two columns could be {name}: {found[0][2]!r} and {found[1][2]!r}",
                         hint=f"say which: --column {name}={_quoted(found[0][2])}")  # fmt: skip
    return [own for *_, own in found]


def _rank(own: str, name: str) -> int | None:
    plain = _plain(own)
    if plain in (_plain(name), *_SYNONYMS.get(name, ())):
        return 0
    text, meanings = _meaning(own)
    bare = " ".join(sorted(meanings - {"count"}))
    return next((at for at, pattern in enumerate(_NAMES[name], 1) if pattern in (text, bare)), None)


def _require(frame: pd.DataFrame, given: Mapping[str, str]) -> None:
    missing = [name for name in ("n_base", "n_syn_plus", "accuracy") if name not in frame]
    if "r_syn" in frame and "n_syn_plus" in missing:
        missing.remove("n_syn_plus")
    if not missing:
        return
    free = [str(name) for name in frame if name not in given]
    looks = {name: match for name in missing if (match := nearest(name, free, cutoff=0.8))}
    hint = "; ".join(f"{match!r} looks like {name!r}" for name, match in looks.items())
    options = " ".join(f"--column {name}={_quoted(looks.get(name, 'COLUMN'))}" for name in missing)
    own = [given.get(str(name), str(name)) for name in frame]
    there = "" if looks else f"it has: {', '.join(own) or 'none'}"
    raise InputError(
        f"the table has no column {', '.join(missing)}",
        hint=f"{hint or there}; name {'it' if len(missing) == 1 else 'them'} with {options}",
    )


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"'{name}'"


def _mark(frame: pd.DataFrame, given: Mapping[str, str]) -> cells.Mark:
    def of(names: Iterable[str]) -> dict[str, pd.Series[Any]]:
        return {given.get(name, name): frame[name] for name in names if name in frame}

    return cells.decimal_mark(of((*COUNTS, REAL, "total")), of(("accuracy", "weight", *RATIOS)))


def _typed(column: pd.Series[Any], name: str, mark: str) -> pd.Series[Any]:
    """Return a column as numbers where all its cells are plain ones, labels as they are."""
    if name in SEEDS or pd.api.types.is_numeric_dtype(column):
        return column
    if name in (*NUMBERS, *RATIOS, REAL):
        found = cells.read(column, mark)
        return column if (found.bad | found.percent).any() else pd.Series(found.values, column.index)
    return cells.typed(column, mark)
