"""What a row says of the code and the files that made it: its columns `code_revisions` and `content_stamps`.

Both list the parts of a trial that have something to say, in the order of `PARTS`: "dataset 2, generator 3".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mousterian.seeds import digest

PARTS = ("dataset", "model", "strategy", "evaluation", "loop", "generator", "filter")
OF_SYNTHETIC = ("generator", "filter")  # parts that rows without synthetic images lack
# The columns, each with its text where there is nothing to say; so, too, in rows of older stores.
COLUMNS = {"code_revisions": "1", "content_stamps": ""}
_PLAIN = re.compile(r"[^\s,]+")


def code_revisions(revisions: Mapping[str, int]) -> str:
    """Return the column's text for the revision of each part.

    >>> code_revisions({"generator": 2, "dataset": 3, "model": 1}), code_revisions({"dataset": 1})
    ('dataset 3, generator 2', '1')
    """
    above = {part: str(each) for part, each in revisions.items() if each > 1}
    return _text(above) or COLUMNS["code_revisions"]


def content_stamps(stamps: Mapping[str, str]) -> str:
    """Return the column's text for the stamp of each part; stamps that are no single word are hashed.

    >>> content_stamps({"dataset": "0f3a", "model": "", "generator": "77c1"})
    'dataset 0f3a, generator 77c1'
    """
    plain = {part: each if _PLAIN.fullmatch(each) else digest(each) for part, each in stamps.items() if each}
    return _text(plain)


def parts_of(text: str) -> dict[str, str]:
    """Return what a text of either column says, by part; nothing for "1" and "".

    >>> parts_of("dataset 3, generator 2"), parts_of("1")
    ({'dataset': '3', 'generator': '2'}, {})
    """
    pairs = (each.partition(" ") for each in text.split(", "))
    return {part: said for part, _, said in pairs if said}


def of_real_rows(column: str, text: str) -> str:
    """Return a column's text without the parts that rows without synthetic images lack.

    >>> of_real_rows("code_revisions", "dataset 3, generator 2"), of_real_rows("code_revisions", "filter 2")
    ('dataset 3', '1')
    """
    parts = {part: said for part, said in parts_of(text).items() if part not in OF_SYNTHETIC}
    return _text(parts) or COLUMNS[column]


def _text(parts: Mapping[str, str]) -> str:
    return ", ".join(f"{part} {parts[part]}" for part in PARTS if part in parts)
