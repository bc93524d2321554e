"""What a file or folder holds, and whether it changes while it is read; no file is opened."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mousterian.errors import InputError

_UNSIGNED = (1 << 64) - 1
SIGNATURE = struct.Struct("<4Q")
# What is neither file nor folder, but for devices.
_KINDS = {stat.S_IFIFO: "named pipe", stat.S_IFSOCK: "socket"}
# What a link says whose target cannot be reached, and what a path says that has just gone.
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


class LeftOut(NamedTuple):
    """Something in a folder that its stamp does not count.

    Attributes:
        path: relative to the folder, with "/".
        what: "hidden file or folder", "broken link", "link to a folder around it", "named pipe", "socket" or
            "device".
    """

    path: str
    what: str


class Listing(NamedTuple):
    """What a file or folder holds.

    Attributes:
        files: signatures (32 bytes) of the files that count by relative path, "" for a file itself.
        base: what precedes these paths; empty where nothing is.
        left_out: what a folder holds that does not count.
    """

    files: dict[str, bytes]
    base: str
    left_out: list[LeftOut]

    def paths(self) -> list[Path]:
        """Return the files, sorted by path."""
        return sorted(Path(self.base + name) for name in self.files)

    def check_unchanged(self, file: Path) -> None:
        """Refuse one of the files that has changed since it was listed.

        Raises:
            InputError: it has, or is gone.
        """
        if listing(file).files.get("") != self.files[str(file).removeprefix(self.base)]:
            raise changes(str(file))


# Path in the listing ("" or with "/" at its end); device and inode of it and of the folders around it.
_Folder = tuple[str, frozenset[tuple[int, int]]]


def listing(path: Path) -> Listing:
    """Return what a folder holds, or the file itself.

    Raises:
        InputError: it is neither file nor folder, or a folder in it cannot be read.
    """
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in it
        return Listing({}, "", [])
    except OSError as error:
        raise unreadable(str(path), error) from error
    if stat.S_ISREG(status.st_mode):
        return Listing({"": signature_of(status)}, str(path), [])
    if not stat.S_ISDIR(status.st_mode):
        what = _KINDS.get(stat.S_IFMT(status.st_mode), "device")
        hint = "give what it holds as a file"
        raise InputError(f"it is a {what}, not a file or folder", where=str(path), hint=hint)
    found = Listing({}, f"{path}/", [])
    folders: list[_Folder] = [("", frozenset({(status.st_dev, status.st_ino)}))]
    while folders:  # and not by recursion, which ends at 1,000
        folders += _enter(*folders.pop(), found)
    return found


def _enter(prefix: str, around: frozenset[tuple[int, int]], found: Listing) -> list[_Folder]:
    """Sort a folder's entries into files and left out; return the folders to go into."""
    folders: list[_Folder] = []
    try:
        with os.scandir(found.base + prefix) as entries:
            for entry in entries:
                name, what = prefix + entry.name, ""
                if entry.name.startswith("."):
                    what = "hidden file or folder"
                elif (status := _status(entry)) is None:
                    what = "broken link"
                elif stat.S_ISREG(status.st_mode):
                    found.files[name] = signature_of(status)
                elif not stat.S_ISDIR(status.st_mode):
                    what = _KINDS.get(stat.S_IFMT(status.st_mode), "device")
                elif (place := (status.st_dev, status.st_ino)) in around:
                    what = "link to a folder around it"
                else:
                    folders.append((f"{name}/", around | {place}))
                if what:
                    found.left_out.append(LeftOut(name, what))
    except OSError as error:
        raise unreadable(str(error.filename or found.base + prefix), error) from error
    return folders


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what an entry is or links to; None for a link to nothing."""
    try:
        return entry.stat()
    except OSError as error:
        if entry.is_symlink() and error.errno in _NOWHERE:
            return None
        raise


@contextmanager
def unchanged(path: Path) -> Iterator[None]:
    """Refuse a file or folder that changes while the block reads it; one stat a file before and after.

    Raises:
        InputError: it has changed; names the file.
    """
    before = listing(path)
    yield
    check_same(before, listing(path))


def signature_of(status: os.stat_result) -> bytes:
    """Return what differs once a file is another or was written to: of these, a user cannot set ctime."""
    times = status.st_mtime_ns & _UNSIGNED, status.st_ctime_ns & _UNSIGNED  # before 1970 is negative
    return SIGNATURE.pack(status.st_size, *times, status.st_ino)


def check_same(before: Listing, after: Listing) -> None:
    """Refuse what differs from an earlier listing.

    Raises:
        InputError: it names the first file that differs.
    """
    was, now = before.files, after.files
    if was != now:
        name = min(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
        raise changes((before.base or after.base) + name)


def changes(path: str) -> InputError:
    """Return the error for a file that is not what it was."""
    hint = "wait until nothing writes to it, then run the same command again"
    return InputError("changes while it is read", where=path, hint=hint)


def unreadable(path: str, error: OSError) -> InputError:
    """Return the error for a file or folder that the system does not let us read."""
    if error.errno in _GONE:
        return changes(path)
    return InputError(f"cannot read ({error.strerror})", where=path, hint="mend its permissions or its disk")
