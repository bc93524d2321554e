"""Mapping a file's labels to classes: by the names that the file gives, else by position.

Labels are whole numbers (N,) or (N, 1), one-hot rows (N, K), or text. A number is a position in the file's
own list of names if it has one, and that name is then looked up among the dataset's. Names are matched
exactly, else without case, spaces and punctuation. An ambiguous label is refused, with both its readings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mousterian.errors import InputError, first_of, nearest

LISTED = 10  # names that a message lists


def class_labels(
    labels: NDArray[Any] | Sequence[Any],
    class_names: Sequence[str],
    *,
    where: str,
    own_names: Sequence[str] | None = None,
    what: str = "labels",
) -> NDArray[np.int64]:
    """Return the class of each label.

    Args:
        labels: whole numbers (N,) or (N, 1) of any type, one-hot rows (N, K), or text (N,) or (N, 1).
        class_names: the dataset's classes.
        where: the file, for messages.
        own_names: the names that the file itself gives to the numbers 0, 1, ...; None if it gives none.
        what: what messages call the labels, e.g. "train labels".

    Returns:
        (N,) int64, indices into `class_names`.

    Raises:
        InputError: a label is missing or unknown, can be read in two ways, or is of another kind.
    """
    flat, positions = _flat(labels, len(class_names if own_names is None else own_names), what, where)
    values, first, inverse = np.unique(flat, return_index=True, return_inverse=True)
    inverse = inverse.reshape(-1)
    if flat.dtype.kind == "U":
        classes = classes_by_name(values.tolist(), class_names, where=where, rows=first)
    elif own_names is not None:
        _check_range(values, first, own_names, what, where)
        known = [own_names[value] for value in values]
        same = tuple(own_names) == tuple(class_names)  # and then names that occur twice do no harm
        classes = values.tolist() if same else classes_by_name(known, class_names, where=where, rows=first)
    else:
        numbers = None if positions else _by_numbers_as_names(values, class_names, what, where)
        if numbers is None:
            _check_range(values, first, class_names, what, where)
        classes = values.tolist() if numbers is None else numbers
    return np.array(classes, dtype=np.int64)[inverse]


def classes_by_name(
    names: Sequence[str],
    class_names: Sequence[str],
    *,
    where: str,
    what: str = "label",
    rows: Sequence[int] | NDArray[Any] | None = None,
    hint: str = "",
) -> list[int]:
    """Return the class of each of a file's distinct names.

    "0", "1", ... that are no names are positions, unless classes are named by other numbers.

    Args:
        names: as the file spells them, each once.
        class_names: the dataset's classes.
        where: the file or folder, for messages.
        what: what messages call a name, e.g. "folder".
        rows: the first row of each name, for messages.
        hint: what to do about an unknown name; by default, to spell it as the dataset does.

    Raises:
        InputError: a name is no class or can be two, or two names are one class.
    """
    tables = [(fold, _places([fold(name) for name in class_names])) for fold in (str, _spaceless, _bare)]
    classes: list[int] = []
    for place, name in enumerate(names):
        found = next((table[fold(name)] for fold, table in tables if fold(name) in table), [])
        if len(found) > 1:
            both = " or ".join(f"{class_names[each]!r} (class {each})" for each in found)
            advice = "spell it exactly as one of them, or use the classes' numbers (0, 1, ...)"
            raise InputError(f"{what} {name!r} can be {both}", where=where, hint=advice)
        label = found[0] if found else _by_position(name, class_names, what, where)
        if label is None:
            row = "" if rows is None else f" of row {rows[place]}"
            raise _unknown(f"{what} {name!r}{row}", name, class_names, where, hint)
        classes.append(label)
    _refuse_one_class_twice(names, classes, class_names, what, where)
    return classes


def _refuse_one_class_twice(
    names: Sequence[str], classes: Sequence[int], class_names: Sequence[str], what: str, where: str
) -> None:
    for label, places in _places(classes).items():
        if len(places) > 1:
            both = " and ".join(repr(names[place]) for place in places)
            raise InputError(
                f"{what}s {both} would all be the class {class_names[label]!r}",
                where=where,
                hint=f"if they are one class, spell them alike; the classes are {_listed(class_names)}",
            )


def _flat(labels: Any, classes: int, what: str, where: str) -> tuple[NDArray[Any], bool]:
    """Return labels (N,) int64 or text, and whether they were one-hot, and so are positions for certain."""
    array = _array(labels, what, where)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.dtype.kind in "SU" and array.ndim == 1:
        return decoded_text(array, what, where), False
    if array.ndim not in {1, 2} or array.dtype.kind not in "iufb":
        raise _wrong_kind(array, what, where)
    if array.ndim == 2:
        return _from_one_hot(array, classes, what, where), True
    if array.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(array))
        if len(missing):
            raise _missing(int(missing[0]), what, where)
        if not np.all(np.isfinite(array) & (array == np.rint(array))):
            raise _wrong_kind(array, what, where)
    if array.size and (array.max() >= 2**63 or array.min() < -(2**63)):
        raise InputError(f"the {what} run to {array.max()}", where=where, hint="number the classes from 0")
    return array.astype(np.int64), False


def _array(labels: Any, what: str, where: str) -> NDArray[Any]:
    if isinstance(labels, np.ndarray):
        return labels
    for row, label in enumerate(labels):
        if label is None:
            raise _missing(row, what, where)
    try:
        array = np.array(labels)
    except (ValueError, OverflowError) as error:
        raise InputError(f"the {what} differ in kind or length ({error})", where=where) from None
    return array if array.size else array.astype(np.int64)


def decoded_text(array: NDArray[Any], what: str, where: str) -> NDArray[Any]:
    """Return bytes (...) as text; other arrays as they are.

    Raises:
        InputError: they are not UTF-8.
    """
    try:
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except UnicodeDecodeError as error:
        raise InputError(f"the {what} are not UTF-8 text ({error})", where=where) from None


def _from_one_hot(array: NDArray[Any], classes: int, what: str, where: str) -> NDArray[np.int64]:
    shape = f"the {what} are {array.shape}, not (N,)"
    bad = np.flatnonzero(~(((array == 0) | (array == 1)).all(1) & ((array != 0).sum(1) == 1)))
    if len(bad):
        row = f"row {bad[0]} is {array[bad[0]].tolist()[:LISTED]}"
        hint = "give one number per image, or rows with a single 1"
        raise InputError(f"{shape}, and not one-hot: {row}", where=where, hint=hint)
    if array.shape[1] != classes:
        hint = "one-hot labels have a column a class; else give one number per image"
        raise InputError(f"{shape}, and there are {classes} classes", where=where, hint=hint)
    classes_of: NDArray[np.int64] = np.argmax(array, axis=1).astype(np.int64)
    return classes_of


def _by_numbers_as_names(
    values: NDArray[np.int64], class_names: Sequence[str], what: str, where: str
) -> list[int] | None:
    """Return the classes of distinct numbers as names, if only those fit; None: they are positions."""
    named = _places([int(name) if name.isdecimal() else -1 for name in class_names])
    found = [named.get(int(value), []) if value >= 0 else [] for value in values]
    if not len(values) or any(len(each) != 1 for each in found):
        return None
    classes = [each[0] for each in found]
    if values.max() >= len(class_names):
        return classes
    if classes != values.tolist():
        few = values.tolist()[:LISTED]
        raise _two_readings(
            f"the {what} {few}", [class_names[each] for each in classes], few, class_names, where
        )
    return None


def _by_position(name: str, class_names: Sequence[str], what: str, where: str) -> int | None:
    """Return the class of a number that is no class's name; None if it is no position either."""
    if not name.isdecimal() or int(name) >= len(class_names):
        return None
    if any(each.isdecimal() and int(each) != place for place, each in enumerate(class_names)):
        raise _two_readings(f"{what} {name!r}", [], [int(name)], class_names, where)
    return int(name)


def _two_readings(
    what: str, as_names: Sequence[str], places: Sequence[int], class_names: Sequence[str], where: str
) -> InputError:
    by_name = f"the classes {_listed(as_names)}" if as_names else "no class"
    by_place = _listed([class_names[place] for place in places])
    return InputError(
        f"{what} can be names, of {by_name}, or positions from 0, of the classes {by_place}",
        where=where,
        hint=f"write the labels as the names of the classes, as text: {_listed(class_names)}",
    )


def _check_range(
    values: NDArray[np.int64], first: NDArray[np.int64], names: Sequence[str], what: str, where: str
) -> None:
    """Refuse distinct labels, whose first rows are given, that are no positions in `names`."""
    outside = np.flatnonzero((values < 0) | (values >= len(names)))
    if len(outside):
        raise InputError(
            f"the {what} run from {values[0]} to {values[-1]} but there are {len(names)} class names:"
            f" row {first[outside].min()}",
            where=where,
            hint=f"number the classes from 0, in this order: {_listed(names)}",
        )


def _unknown(what: str, name: str, class_names: Sequence[str], where: str, hint: str) -> InputError:
    match = nearest(name, class_names)
    close = f"; the nearest is {match!r}" if match else ""
    advice = hint or "spell the labels as the classes are"
    hint = f"{advice}; the classes are {_listed(class_names)}"
    return InputError(f"{what} is not a class{close}", where=where, hint=hint)


def _missing(row: int, what: str, where: str) -> InputError:
    hint = "give the row a label, or leave it out; rows count from 0"
    return InputError(f"the {what} are missing in row {row}", where=where, hint=hint)


def _wrong_kind(array: NDArray[Any], what: str, where: str) -> InputError:
    found = f"{array.dtype} {array.shape}"
    hint = "give whole numbers from 0 or the classes' names, one per image"
    return InputError(f"the {what} are {found}, not integers (N,)", where=where, hint=hint)


def _spaceless(name: str) -> str:
    return "".join(letter for letter in name.lower() if not letter.isspace() and letter != "_")


def _bare(name: str) -> str:
    # A name of punctuation alone is like itself only.
    return "".join(letter for letter in name.lower() if letter.isalnum()) or name


def _places(names: Sequence[Any]) -> dict[Any, list[int]]:
    places: dict[Any, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    return dict(places)


def _listed(names: Sequence[str]) -> str:
    return first_of([str(name) for name in names], LISTED)
