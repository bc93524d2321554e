"""Stamps of files and folders by content: a file replaced, renamed, added or removed changes the stamp.

Checksums are cached in the data directory, in one index for each file or folder that was stamped, so that an
unchanged file costs one stat and is not read again. An index may be deleted at any time.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import stat
import struct
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from time import monotonic, time_ns
from typing import NamedTuple

from mousterian.data.cache import data_directory
from mousterian.errors import InputError
from mousterian.files import file_lock, lock_position, write_atomically
from mousterian.seeds import digest

# Where the indexes lie in the data directory; hidden, so that they are in no stamp of a folder around them.
FOLDER = ".sums"
# Raised when the layout of an index changes: older ones are then not found.
_LAYOUT = 1
# Small files in the page cache are read fastest by one thread, all others by several. (8 KB each, 2 cores:
# 12 against 25 µs a file when cached, 80 against 40 µs when on disk.) So one thread reads alone for `_ALONE`
# seconds.
_THREADS, _ALONE, _BLOCK = 8, 0.5, 1 << 20
# A file may change twice within one tick of its file system's clock (2 s on FAT): its sum is not kept.
_TICK_NS = 2_000_000_000
_UNSIGNED = (1 << 64) - 1
_SIGNATURE = struct.Struct("<4Q")
_SIZE, _SUM = _SIGNATURE.size, hashlib.sha256().digest_size
# What is neither file nor folder, but for devices.
_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
# What a link says whose target cannot be reached, and what a path says that has just gone.
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
_log = logging.getLogger(__name__)


def content_stamp(path: Path, data_dir: Path | None = None) -> str:
    """Return 16 hexadecimal digits that identify the content of a file or folder; "" where there is none.

    A file's are the first of its sha256. A folder's are those of the sha256 of all its files' relative paths
    and sums (path, NUL, 32 bytes; by path). Its files are all regular files below it, whatever their
    suffixes, but for hidden ones (".DS_Store") and those in hidden folders; so "Thumbs.db" counts. Links are
    followed, and what they lead to counts. Named pipes, sockets and devices are never opened. Where the
    folder lies, and times, owners and empty folders, do not count.

    Args:
        path: the file or folder.
        data_dir: the data directory; the user's if not given. The index of sums is kept in it; where it
            cannot be written, all is read at each call.

    Raises:
        InputError: it is neither file nor folder, something in it cannot be read, or it changes while it is
            read.
    """
    now = time_ns()
    listing = _listing(path)
    if not listing.base:
        return ""
    index = data_directory(data_dir) / FOLDER / digest([_LAYOUT, str(path.resolve())])
    sums = _sums(listing, index, now)
    if "" in sums:  # it is a file
        return sums[""].hex()[:16]
    rows = [os.fsencode(f"{name}\0") + sums[name] for name in sorted(sums)]
    return hashlib.sha256(b"".join(rows)).hexdigest()[:16]


def files_in(folder: Path) -> list[Path]:
    """Return the files that a folder's stamp counts, sorted by path."""
    return sorted(folder / name for name in _listing(folder).files)


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse a file or folder that changes while the block reads it; one stat a file before and after.

    Raises:
        InputError: it has changed; names the file.
    """
    before = _listing(path)
    yield
    _check_same(before, _listing(path))


class _Listing(NamedTuple):
    """Signatures (32 bytes) by relative path, "" for a file itself; and what precedes these paths."""

    files: dict[str, bytes]
    base: str


# Path in the listing ("" or with "/" at its end); device and inode of it and of the folders around it.
_Folder = tuple[str, frozenset[tuple[int, int]]]


def _signature(status: os.stat_result) -> bytes:
    """Return what differs once a file is another or was written to: of these, a user cannot set ctime."""
    times = status.st_mtime_ns & _UNSIGNED, status.st_ctime_ns & _UNSIGNED  # before 1970 is negative
    return _SIGNATURE.pack(status.st_size, *times, status.st_ino)


def _is_safe(signature: bytes, now: int) -> bool:
    """Say whether any write from `now` on (ns since 1970) gives the file another signature."""
    _, mtime, ctime, _ = _SIGNATURE.unpack(signature)
    # An mtime far ahead, as archives of another time zone have, is safe: a write sets it back.
    return bool(ctime < now - _TICK_NS and abs(mtime - now) > _TICK_NS)


def _listing(path: Path) -> _Listing:
    """Return the files below a folder, or the file itself; with an empty `base` where nothing is."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in it
        return _Listing({}, "")
    except OSError as error:
        raise _unreadable(str(path), error) from error
    if stat.S_ISREG(status.st_mode):
        return _Listing({"": _signature(status)}, str(path))
    if not stat.S_ISDIR(status.st_mode):
        what = _KINDS.get(stat.S_IFMT(status.st_mode), "a device")
        hint = "give what it holds as a file"
        raise InputError(f"it is {what}, not a file or folder", where=str(path), hint=hint)
    found = _Listing({}, f"{path}/")
    folders: list[_Folder] = [("", frozenset({(status.st_dev, status.st_ino)}))]
    while folders:  # and not by recursion, which ends at 1,000
        folders += _enter(*folders.pop(), found)
    return found


def _enter(prefix: str, around: frozenset[tuple[int, int]], found: _Listing) -> list[_Folder]:
    """Add a folder's files to those found; return the folders to go into, none of them around it."""
    folders: list[_Folder] = []
    try:
        with os.scandir(found.base + prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith(".") or (status := _status(entry)) is None:
                    continue
                place = (status.st_dev, status.st_ino)
                if stat.S_ISREG(status.st_mode):
                    found.files[name] = _signature(status)
                elif stat.S_ISDIR(status.st_mode) and place not in around:
                    folders.append((f"{name}/", around | {place}))
    except OSError as error:
        raise _unreadable(str(error.filename or found.base + prefix), error) from error
    return folders


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what an entry is or links to; None for a link to nothing."""
    try:
        return entry.stat()
    except OSError as error:
        if entry.is_symlink() and error.errno in _NOWHERE:
            return None
        raise


def _sums(listing: _Listing, index: Path, now: int) -> dict[str, bytes]:
    """Return the sha256 (32 bytes) of each file: from the index, else by reading it."""
    files, known = listing.files, _read(index)
    sums = {name: known[name][_SIZE:] for name in files if known.get(name, b"")[:_SIZE] == files[name]}
    unknown = {name: signature for name, signature in files.items() if name not in sums}
    if unknown:
        new: dict[str, bytes] = {}
        try:
            _hash(listing.base, unknown, new)
        finally:  # what was read before an error or Ctrl-C is not read again
            safe = {name: files[name] + each for name, each in new.items() if _is_safe(files[name], now)}
            if safe:
                _keep(index, files, safe)
        sums |= new
        _check_same(listing, _listing(Path(listing.base)))
    return sums


def _hash(base: str, files: Mapping[str, bytes], sums: dict[str, bytes]) -> None:
    """Put the sha256 (32 bytes) of each file into `sums`."""
    left = deque(files.items())

    def work(until: float) -> None:
        try:
            with suppress(IndexError):  # none is left
                while monotonic() < until:
                    name, signature = left.popleft()
                    sums[name] = _sum(base + name, signature)
        except BaseException:
            left.clear()  # the other threads stop too
            raise

    work(monotonic() + _ALONE)
    if left:
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                for each in [pool.submit(work, inf) for _ in range(_THREADS)]:
                    each.result()
            finally:
                left.clear()


def _sum(path: str, signature: bytes) -> bytes:
    try:
        # Not to block, should a named pipe have taken the file's place.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if _signature(status) != signature:
                raise _changes(path)
            total, size = hashlib.sha256(), min(status.st_size + 1, _BLOCK)
            while block := os.read(descriptor, size):
                total.update(block)
            if _signature(os.fstat(descriptor)) != signature:
                raise _changes(path)
            return total.digest()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_same(before: _Listing, after: _Listing) -> None:
    was, now = before.files, after.files
    if was != now:
        name = min(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        raise _changes((before.base or after.base) + name)


def _changes(path: str) -> InputError:
    hint = "wait until nothing writes to it, then run the same command again"
    return InputError("changes while it is read", where=path, hint=hint)


def _unreadable(path: str, error: OSError) -> InputError:
    if error.errno in _GONE:
        return _changes(path)
    return InputError(f"cannot read ({error.strerror})", where=path, hint="mend its permissions or its disk")


def _read(index: Path) -> dict[str, bytes]:
    """Return signature and sum (64 bytes) by name; nothing where there is no index or a damaged one."""
    try:
        content = index.read_bytes()
    except OSError:
        return {}
    # Its own sum, the length of the names, the names with NULs between, and 64 bytes for each.
    if hashlib.sha256(content[_SUM:]).digest() != content[:_SUM]:
        return {}
    start = _SUM + 8
    end = start + int.from_bytes(content[_SUM:start], "little")
    places = range(end, len(content), _SIZE + _SUM)
    names = os.fsdecode(content[start:end]).split("\0")
    return {name: content[at : at + _SIZE + _SUM] for name, at in zip(names, places, strict=True)}


def _keep(index: Path, files: Mapping[str, bytes], new: dict[str, bytes]) -> None:
    """Put signatures and sums into the index, beside what others have put there meanwhile."""
    try:
        index.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(index.parent / ".lock", lock_position(index.name)):
            entries = {name: each for name, each in _read(index).items() if name in files} | new
            names = os.fsencode("\0".join(entries))
            content = len(names).to_bytes(8, "little") + names + b"".join(entries.values())
            write_atomically(index, hashlib.sha256(content).digest() + content)
    except (OSError, InputError) as error:
        _log.debug("%s: the sums are not kept (%s)", index, error)
