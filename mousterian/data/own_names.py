"""The names that a file gives to its labels, and those that a user gives for it (option `class_names`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mousterian.data.labels import LISTED, class_labels
from mousterian.errors import InputError, first_of


def checked_names(own: Sequence[str] | None, given: Sequence[str], *, where: str) -> Sequence[str] | None:
    """Return the names of a file's classes: those that it gives itself, else those that a user gives.

    Args:
        own: the file's; None if it gives none.
        given: the option `class_names`: label 0 is the first; empty if it is not set.
        where: the file, for messages.

    Returns:
        None if there are none.

    Raises:
        InputError: the two differ, or a given name occurs twice.
    """
    if twice := sorted({name for name in given if list(given).count(name) > 1}):
        hint = "name each class once: label 0 is the first name"
        raise InputError(f"class_names has {first_of(twice)} twice", where=where, hint=hint)
    if given and own is not None and list(own) != list(given):
        raise InputError(
            f"its own class names are {first_of(list(own), LISTED)}, and the option class_names gives"
            f" {first_of(list(given), LISTED)}",
            where=where,
            hint="leave class_names out: it is for files that give no names",
        )
    return given or own


def labels_by_name(
    labels: Any, class_names: Sequence[str], own: Sequence[str] | None, given: Sequence[str], *, where: str
) -> Any:
    """Return the class (N,) int64 of each label of a file, as `class_labels` does.

    Args:
        labels: the file's.
        class_names: the dataset's classes.
        own: the names that the file gives to the numbers 0, 1, ...; None if it gives none.
        given: the names that a user gives for it; empty if none.
        where: the file, for messages.

    Raises:
        InputError: as `checked_names` and `class_labels`; or labels are text and not among the given names.
    """
    names = checked_names(own, given, where=where)
    if given:
        labels = class_labels(labels, given, own_names=given, where=where)
    return class_labels(labels, class_names, own_names=names, where=where)


def hugging_face_names(
    metadata: Mapping[bytes, bytes] | None, column: str, *, where: str
) -> list[str] | None:
    """Return the class names that Hugging Face's metadata of a parquet file gives to a column's numbers.

    Args:
        metadata: of the file's schema.
        column: the column of the labels.
        where: the file, for messages.

    Returns:
        The names in the file's order; None if it gives none.

    Raises:
        InputError: the metadata is damaged.
    """
    raw = (metadata or {}).get(b"huggingface")
    if raw is None:
        return None
    try:
        features = (json.loads(raw).get("info") or {}).get("features") or {}
        names = (features.get(column) or {}).get("names")
        if not isinstance(names, list | None):
            raise ValueError(f"the names of {column} are no list")
    except (ValueError, AttributeError) as error:
        hint = "write the file anew, with or without it"
        raise InputError(f"its metadata `huggingface` is damaged ({error})", where=where, hint=hint) from None
    return None if names is None else [str(name) for name in names]
