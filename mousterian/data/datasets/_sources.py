"""The sources of a dataset, tried in order; the first that gives the right images wins."""

from __future__ import annotations

import socket
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mousterian.data.cache import Checksums, Decoded, checksums
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError

Splits = Mapping[str, ImageSet]

# Seconds without a byte after which a server counts as out of reach.
SILENCE = 15


class SourceError(Exception):
    """This source does not give the dataset; the text says why."""


# What a source that fails raises: no network, no file, a broken archive.
FAILURES = (
    SourceError,
    OSError,
    RuntimeError,
    ValueError,
    LookupError,
    EOFError,
    ImportError,
    SyntaxError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Source:
    """One source of a dataset.

    Attributes:
        name: the source in words, as it stands in messages.
        get: returns image sets by split, or raises one of `FAILURES`.
    """

    name: str
    get: Callable[[], Splits]


def first(
    dataset: str, sources: Sequence[Source], *, expected: Mapping[str, Checksums] | None, advice: str
) -> Decoded:
    """Return what the first source gives that works.

    Args:
        dataset: its name, for messages.
        sources: tried in order.
        expected: sums that the splits must have; None where none are known.
        advice: what a user can do when no source works.

    Raises:
        InputError: no source works; names each with its reason.
    """
    reasons = []
    for source in sources:
        try:
            splits = source.get()
            verify(splits, expected)
        except FAILURES as error:
            reasons.append(f"  {source.name}: {_brief(error)}")
        else:
            return Decoded(splits, source.name)
    raise InputError("\n".join(["cannot be had; tried, in this order", *reasons]), where=dataset, hint=advice)


def verify(splits: Splits, expected: Mapping[str, Checksums] | None) -> None:
    """Raise SourceError if a split's arrays have not the sums they must have."""
    for split, wanted in (expected or {}).items():
        found = checksums(splits[split])
        for part, right, wrong in zip(Checksums._fields, wanted, found, strict=True):
            if right != wrong:
                raise SourceError(
                    f"the {split} {part} are not the original ones (sha256 {wrong}, not {right})"
                )


@contextmanager
def impatient() -> Iterator[None]:
    """Let a server that stays silent count as out of reach, for code that sets no time limit itself."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _brief(error: BaseException) -> str:
    """Return an error's text on one line."""
    line = " ".join((str(error) or type(error).__name__).split())
    return line if len(line) <= 300 else f"{line[:300]}…"
