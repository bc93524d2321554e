"""The options in which plug-ins of one name differ, as short texts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

_LONGEST = 40  # characters of a value in a name: its last ones, in which files differ
_UNREADABLE = re.compile(r"[^\w.,+-]+")


def as_texts(options: str) -> dict[str, str]:
    """Return each option of a JSON text as text; nested plug-ins by their names, with their own options.

    >>> as_texts('{"steps": 0, "filter": [{"name": "duplicates", "distance": 3}]}')
    {'steps': '0', 'filter': 'duplicates', 'duplicates.distance': '3'}
    """
    try:
        values = json.loads(options or "{}")
    except ValueError:
        values = None
    if not isinstance(values, dict):  # a column of a user's own table
        return {"options": options}
    found: dict[str, str] = {}
    for key, value in values.items():
        parts = value if isinstance(value, list) else []
        plugins = [each for each in parts if isinstance(each, dict) and "name" in each]
        found[key] = "+".join(str(each["name"]) for each in plugins) if plugins else str(value)
        for each in plugins:
            given = {f"{each['name']}.{name}": str(own) for name, own in each.items() if name != "name"}
            found |= given
    return found


def differing(options: Iterable[Mapping[str, str]]) -> list[str]:
    """Return the options, sorted, that have several values; those of nested plug-ins where these occur."""
    options = list(options)
    found = []
    for key in sorted({key for each in options for key in each}):
        values = {each.get(key) for each in options}
        if len(values - {None} if "." in key else values) > 1:
            found.append(key)
    return found


def differences(named: Sequence[tuple[str, str]]) -> list[str]:
    """Return in which options plug-ins of one name differ, each as text; empty where all are the same.

    Args:
        named: name and options, as JSON text.

    >>> differences([("timm", '{"width": 4, "depth": 2}'), ("timm", '{"width": 8, "depth": 2}')])
    ['width=4', 'width=8']
    """
    texts = {each: as_texts(each[1]) for each in dict.fromkeys(named)}
    keys = {name: differing(own for (other, _), own in texts.items() if other == name) for name, _ in texts}
    found = {
        each: ", ".join(f"{key}={own.get(key)}" for key in keys[each[0]] if key in own or "." not in key)
        for each, own in texts.items()
    }
    return [found[each] for each in named]


def distinguishing_options(options: Sequence[Sequence[str]], *, whole: bool = False) -> list[str]:
    """Return for each of several the options that distinguish it, as few as suffice, for a file's name.

    Args:
        options: of each, those of each of its plug-ins, as JSON text.
        whole: every option in which they differ.

    >>> narrow, wide = '{"width": 4}', '{"width": 8}'
    >>> distinguishing_options([(narrow, "{}"), (wide, "{}"), (wide, '{"path": "a/b"}')])
    ['width=4', 'width=8', 'width=8-path=a_b']
    """
    columns = []
    for texts in zip(*([as_texts(text) for text in each] for each in options), strict=True):
        for key in differing(texts):
            given = [
                f"{key}={_UNREADABLE.sub('_', own[key])[-_LONGEST:]}" if key in own else "" for own in texts
            ]
            columns.append(given)
    chosen: list[tuple[str, ...]] = [()] * len(options)
    for column in sorted(columns, key=lambda column: -len(set(column))):
        split = [(*given, text) for given, text in zip(chosen, column, strict=True)]
        if whole or len(set(split)) > len(set(chosen)):
            chosen = split
    return ["-".join(filter(None, given)) for given in chosen]
