"""Files that several processes use at once: locks, and writes that are atomic.

The kernel releases a lock when its holder dies, so that none is ever stale. They are open file description
locks (`fcntl(2)`): one file, which stays empty, serves any number of them, each of which is the byte at its
position. Between machines that share a network folder they hold where its file system supports them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mousterian.errors import InputError, unwritable

# The kernel's answers where there are no locks: Lustre mounted without `flock`, some FUSE and NFS mounts.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_TAKEN = {errno.EAGAIN, errno.EACCES}


class LockTakenError(Exception):
    """Another process holds the lock."""


def lock_position(name: str) -> int:
    """Return the position of the lock whose name is 16 hexadecimal digits."""
    return int(name, 16) >> 1  # positions have 63 bits; names that differ in the last bit alone share a lock


@contextmanager
def file_lock(path: Path, at: int = 0, *, wait: bool = True, shared: bool = False) -> Iterator[bool]:
    """Hold a lock while the block runs; yield whether it is held: False where there are no locks.

    Args:
        path: the file of the locks; created if missing, in a folder that exists.
        at: position of the lock in the file.
        wait: wait until its holder releases it.
        shared: hold it together with other shared holders; an exclusive holder excludes all others.

    Raises:
        LockTakenError: another process or thread holds it, and `wait` is off.
        InputError: the file cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield _take(descriptor, at, fcntl.F_RDLCK if shared else fcntl.F_WRLCK, wait)
    finally:
        os.close(descriptor)  # which releases the lock


def _take(descriptor: int, at: int, kind: int, wait: bool) -> bool:
    # struct flock: l_type, l_whence (from the start), l_start, l_len, l_pid.
    request = struct.pack("hhqqi4x", kind, os.SEEK_SET, at, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK, request)
    except OSError as error:
        if error.errno in _TAKEN:
            raise LockTakenError from None
        if error.errno in _UNSUPPORTED:
            return False
        raise InputError(f"cannot lock ({error.strerror})") from error
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is complete or absent, whatever happens: temporary name, fsync, rename.

    Raises:
        InputError: it cannot be written (no space, no permission, a read-only file system).
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot create this folder ({error.strerror})", where=str(path.parent)) from error
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # absent if the rename succeeded
            temporary.unlink()


def sync_folder(folder: Path) -> None:
    """Write a folder's entries to disk, so that a renamed file keeps its name after a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
