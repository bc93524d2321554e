"""Stamps of files and folders by content: a file replaced, renamed, added or removed changes the stamp.

Checksums are cached in the data directory, in one index for each file or folder that was stamped, so that an
unchanged file costs one stat and is not read again. An index may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf
from pathlib import Path
from time import monotonic, time_ns

from mousterian.data.cache import data_directory
from mousterian.data.listing import SIGNATURE, Listing, changes, check_same, listing, signature_of, unreadable
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
_SIZE, _SUM = SIGNATURE.size, hashlib.sha256().digest_size
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
    return stamped_listing(path, data_dir)[0]


def stamped_listing(path: Path, data_dir: Path | None = None) -> tuple[str, Listing]:
    """Return the `content_stamp` of a file or folder, and the listing that it was made from."""
    now = time_ns()
    found = listing(path)
    return _stamp(path, found, data_dir, now), found


def _stamp(path: Path, found: Listing, data_dir: Path | None, now: int) -> str:
    if not found.base:
        return ""
    index = data_directory(data_dir) / FOLDER / digest([_LAYOUT, str(path.resolve())])
    sums = _sums(found, index, now)
    if "" in sums:  # it is a file
        return sums[""].hex()[:16]
    rows = [os.fsencode(f"{name}\0") + sums[name] for name in sorted(sums)]
    return hashlib.sha256(b"".join(rows)).hexdigest()[:16]


def _is_safe(signature: bytes, now: int) -> bool:
    """Say whether any write from `now` on (ns since 1970) gives the file another signature."""
    _, mtime, ctime, _ = SIGNATURE.unpack(signature)
    # An mtime far ahead, as archives of another time zone have, is safe: a write sets it back.
    return bool(ctime < now - _TICK_NS and abs(mtime - now) > _TICK_NS)


def _sums(found: Listing, index: Path, now: int) -> dict[str, bytes]:
    """Return the sha256 (32 bytes) of each file: from the index, else by reading it."""
    files, known = found.files, _read(index)
    sums = {name: known[name][_SIZE:] for name in files if known.get(name, b"")[:_SIZE] == files[name]}
    unknown = {name: signature for name, signature in files.items() if name not in sums}
    if unknown:
        new: dict[str, bytes] = {}
        try:
            _hash(found.base, unknown, new)
        finally:  # what was read before an error or Ctrl-C is not read again
            safe = {name: files[name] + each for name, each in new.items() if _is_safe(files[name], now)}
            if safe:
                _keep(index, files, safe)
        sums |= new
        check_same(found, listing(Path(found.base)))
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
            if signature_of(status) != signature:
                raise changes(path)
            total, size = hashlib.sha256(), min(status.st_size + 1, _BLOCK)
            while block := os.read(descriptor, size):
                total.update(block)
            if signature_of(os.fstat(descriptor)) != signature:
                raise changes(path)
            return total.digest()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise unreadable(path, error) from error


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
