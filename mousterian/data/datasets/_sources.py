"""Sources of a dataset, tried in order until one gives the right images."""

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

# Seconds without a byte after which a server counts as unreachable.
TIMEOUT = 15


class SourceError(Exception):
    """This source does not provide the dataset; the message says why."""


# What a failing source raises: no network, no file, a broken archive.
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
        name: the source in words, for messages.
        get: returns image sets by split, or raises one of `FAILURES`.
    """

    name: str
    get: Callable[[], Splits]


def first(
    dataset: str, sources: Sequence[Source], *, expected: Mapping[str, Checksums] | None, advice: str
) -> Decoded:
    """Return the image sets of the first source that works.

    Args:
        dataset: its name, for messages.
        sources: tried in order.
        expected: checksums that the splits must have; None if unknown.
        advice: what a user can do when no source works.

    Raises:
        InputError: no source works; lists each with its reason.
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
    raise InputError("\n".join(["not available; tried, in this order", *reasons]), where=dataset, hint=advice)


def verify(splits: Splits, expected: Mapping[str, Checksums] | None) -> None:
    """Raise SourceError if the arrays of a split do not have the expected checksums."""
    for split, wanted in (expected or {}).items():
        for array, right, found in zip(Checksums._fields, wanted, checksums(splits[split]), strict=True):
            if found != right:
                raise SourceError(
                    f"the {split} {array} are not the original ones (sha256 {found}, not {right})"
                )


@contextmanager
def network_timeout() -> Iterator[None]:
    """Set a default socket timeout within the block, for code that sets none itself."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _brief(error: BaseException) -> str:
    """Return an error's message on one line."""
    line = " ".join((str(error) or type(error).__name__).split())
    return line if len(line) <= 300 else f"{line[:300]}…"
