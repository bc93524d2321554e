"""Stamps of files and folders by their content: what they notice, what they read, and what they refuse."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mousterian.data import content
from mousterian.data.content import FOLDER, content_stamp
from mousterian.data.listing import listing, unchanged
from mousterian.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two classes with two files of the same size each."""
    root = tmp_path / "pets"
    for name in ("cat/a.png", "cat/b.png", "dog/a.png", "dog/b.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(hashlib.sha256(name.encode()).digest())
    return root


@pytest.fixture
def stamp(tmp_path: Path) -> Callable[..., str]:
    """Return `content_stamp` with a data directory of its own."""
    return lambda path: content_stamp(path, tmp_path / "kept")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the clock ten seconds ahead, so that files just written count as settled."""
    monkeypatch.setattr(content, "time_ns", lambda: time.time_ns() + 10_000_000_000)


def read_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of each file that is read from now on."""
    read: list[str] = []
    real = content._sum
    monkeypatch.setattr(content, "_sum", lambda path, s: (read.append(Path(path).name), real(path, s))[1])
    return read


def overwrite(path: Path, data: bytes) -> None:
    """Write into a file that stays the same file, keeps its size and gets its old time back."""
    before = path.stat()
    assert len(data) == before.st_size
    time.sleep(0.02)  # a tick of the kernel's clock, which may be 10 ms
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns, after.st_ino) == (
        before.st_size,
        before.st_mtime_ns,
        before.st_ino,
    )


def swap(one: Path, other: Path) -> None:
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def test_a_file_has_the_stamp_it_always_had(tmp_path: Path, stamp: Callable[..., str]) -> None:
    file = tmp_path / "weights.npz"
    file.write_bytes(bytes(range(256)) * 10_000)  # more than one block
    assert stamp(file) == hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    assert stamp(tmp_path / "missing") == stamp(file / "inside") == stamp(tmp_path / "a\0b") == ""


def test_a_folder_is_its_paths_and_contents(folder: Path, tmp_path: Path, stamp: Callable[..., str]) -> None:
    first = stamp(folder)
    assert len(first) == 16 and int(first, 16) >= 0
    copy = shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    (copy / "empty").mkdir()
    os.utime(copy / "cat" / "a.png", (1, 1))
    assert stamp(copy) == first
    (copy / "cat" / "a.png").rename(copy / "dog" / "c.png")
    assert stamp(copy) != first


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda root: overwrite(root / "cat/a.png", b"x" * 32), id="overwritten in place"),
        pytest.param(lambda root: swap(root / "cat/a.png", root / "dog/a.png"), id="two files swapped"),
        pytest.param(lambda root: swap(root / "cat", root / "dog"), id="two folders swapped"),
        pytest.param(lambda root: (root / "cat/c.png").write_bytes(b""), id="added"),
        pytest.param(lambda root: (root / "cat/b.png").unlink(), id="removed"),
        pytest.param(lambda root: (root / "cat/b.png").rename(root / "cat/c.png"), id="renamed"),
    ],
)
def test_every_change_is_noticed(
    change: Callable[[Path], object], folder: Path, tmp_path: Path, stamp: Callable[..., str]
) -> None:
    first = stamp(folder)
    assert stamp(folder) == first
    change(folder)
    second = stamp(folder)
    assert second != first
    assert second == content_stamp(folder, tmp_path / "other")  # what an index has no part in


@pytest.mark.usefixtures("later")
def test_a_replaced_file_with_its_old_time_is_noticed(folder: Path, stamp: Callable[..., str]) -> None:
    first, file = stamp(folder), folder / "cat/a.png"
    before = file.stat()
    new = folder.parent / "new.png"
    new.write_bytes(b"y" * 32)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert stamp(folder) != first


@pytest.mark.usefixtures("later")
def test_what_has_not_changed_is_not_read(
    folder: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "cat" / os.fsdecode(b"not\xffutf\n8.png")).write_bytes(b"z")
    os.utime(folder / "cat/a.png", ns=(-(10**18), -(10**18)))  # 1938
    os.utime(folder / "cat/b.png", (10**10, 10**10))  # 2286, in an int64 of ns no more
    file = folder / "dog/a.png"
    firsts = stamp(folder), stamp(file)
    read = read_of(monkeypatch)
    assert (stamp(folder), stamp(file)) == firsts
    assert read == []
    overwrite(file, b"x" * 32)
    assert stamp(folder) != firsts[0]
    assert read == ["a.png"]


def test_a_file_that_has_just_been_written_is_read_again(
    folder: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two writes within one tick of the file system's clock leave no trace but the content.
    read = read_of(monkeypatch)
    for _ in range(2):
        stamp(folder)
    assert len(read) == 8
    monkeypatch.setattr(content, "time_ns", lambda: time.time_ns() + 10_000_000_000)
    for _ in range(2):
        stamp(folder)
    assert len(read) == 12


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("damage", ["cut", "empty", "bit", "folder"])
def test_a_damaged_index_is_made_again(
    damage: str, folder: Path, tmp_path: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stamp(folder)
    (index,) = (each for each in (tmp_path / "kept" / FOLDER).iterdir() if each.name != ".lock")
    whole = index.read_bytes()
    if damage == "folder":
        index.unlink()
        index.mkdir()
    elif damage == "bit":  # in the last sum
        index.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    else:
        index.write_bytes(whole[: len(whole) // 2 if damage == "cut" else 0])
    read = read_of(monkeypatch)
    assert stamp(folder) == first
    assert len(read) == 4
    assert damage == "folder" or index.read_bytes() == whole


@pytest.mark.usefixtures("later")
def test_it_works_where_no_index_can_be_kept(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    first = content_stamp(folder, tmp_path / "kept")
    assert content_stamp(folder, file) == content_stamp(folder, file / "below") == first


@pytest.mark.usefixtures("later")
def test_the_data_directory_may_lie_in_the_folder(folder: Path) -> None:
    first = content_stamp(folder, folder)
    assert (folder / FOLDER).is_dir()
    assert content_stamp(folder, folder) == first


def test_what_is_hidden_or_no_file_is_named_and_never_opened(
    folder: Path, tmp_path: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stamp(folder)
    os.mkfifo(folder / "cat/pipe.png")
    (folder / "cat/.DS_Store").touch()
    (folder / ".git").mkdir()
    (folder / ".git/HEAD").touch()
    (folder / "dog/null.png").symlink_to("/dev/null")
    (folder / "dog/gone.png").symlink_to("nowhere")
    (folder / "dog/self.png").symlink_to("self.png")
    monkeypatch.chdir(folder / "dog")  # a socket's path has at most 107 characters
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
    assert stamp(folder) == first
    assert sorted(listing(folder).left_out) == [
        (".git", "hidden file or folder"),
        ("cat/.DS_Store", "hidden file or folder"),
        ("cat/pipe.png", "named pipe"),
        ("dog/gone.png", "broken link"),
        ("dog/null.png", "device"),
        ("dog/self.png", "broken link"),
        ("dog/socket", "socket"),
    ]
    with pytest.raises(InputError, match="it is a named pipe, not a file or folder") as error:
        stamp(folder / "cat/pipe.png")
    assert error.value.where == str(folder / "cat/pipe.png")


def test_links_are_followed_but_not_in_circles(
    folder: Path, tmp_path: Path, stamp: Callable[..., str]
) -> None:
    first = stamp(folder)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "cat").symlink_to(folder / "cat")
    (linked / "dog").mkdir()
    for name in ("a.png", "b.png"):
        (linked / "dog" / name).symlink_to(folder / "dog" / name)
    assert stamp(linked) == first
    (folder / "cat/up").symlink_to("..")
    (linked / "dog/round").symlink_to("../cat")
    (folder / "cat/back").symlink_to(linked / "dog")
    second = stamp(linked)
    assert second != first
    counted = {str(each.relative_to(linked)) for each in listing(linked).paths()}
    assert {"cat/back/a.png", "dog/round/a.png"} <= counted
    assert not any(each.startswith(("cat/back/round", "dog/round/back")) for each in counted)
    around = [each for each, what in listing(linked).left_out if what == "link to a folder around it"]
    assert {"cat/back/round", "dog/round/back"} <= set(around)
    overwrite(folder / "dog/a.png", b"x" * 32)
    assert stamp(linked) != second
    (tmp_path / "root").symlink_to(folder)
    assert stamp(tmp_path / "root") == stamp(folder)


def test_many_files_are_read_by_several_threads(
    folder: Path, tmp_path: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(200):
        (folder / "cat" / f"{number}.png").write_text(str(number))
    first = stamp(folder)
    monkeypatch.setattr(content, "_ALONE", 0)
    read = read_of(monkeypatch)
    assert stamp(folder) == first
    assert len(set(read)) == 202 and len(read) == 204
    calls = []

    def fails(path: str, signature: bytes) -> bytes:
        calls.append(path)
        time.sleep(0.005)
        if not threading.current_thread().name.endswith("_0"):
            raise InputError("cannot read")
        return b""

    monkeypatch.setattr(content, "_sum", fails)
    with pytest.raises(InputError, match="cannot read"):
        stamp(folder)
    assert len(calls) < 100  # the error of one thread stops the others


@pytest.mark.parametrize("change", ["write", "replace", "pipe", "remove", "add"])
def test_a_source_that_changes_while_it_is_read_is_refused(
    change: str, folder: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = folder / "dog/b.png", os.read
    changed = []

    def read(descriptor: int, size: int) -> bytes:
        if not changed and os.path.samestat(os.fstat(descriptor), file.stat()):
            changed.append(change)
            if change == "write":
                overwrite(file, b"x" * 32)
            elif change == "add":
                (folder / "cat/c.png").touch()
            else:
                file.unlink()
                if change == "replace":
                    file.write_bytes(b"x" * 32)
                elif change == "pipe":
                    os.mkfifo(file)
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", read)
    if change != "add":  # all else is noticed at once, not after the last file
        monkeypatch.setattr(content, "check_same", lambda *listings: None)
    with pytest.raises(InputError, match="changes while it is read") as error:
        stamp(folder)
    assert changed
    assert error.value.where == str(folder / "cat/c.png" if change == "add" else file)
    assert len(stamp(folder)) == 16  # it has settled


def test_a_file_that_changes_before_it_is_opened_is_refused_unread(
    folder: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real = folder / "dog/b.png", content._sum

    def replaced(path: str, signature: bytes) -> bytes:
        file.unlink()
        os.mkfifo(file)
        return real(path, signature)

    monkeypatch.setattr(content, "_sum", replaced)
    monkeypatch.setattr(os, "read", None)
    with pytest.raises(InputError, match="changes while it is read") as error:
        stamp(file)
    assert error.value.where == str(file)


def test_changes_during_a_block_are_refused(folder: Path) -> None:
    with unchanged(folder):
        (folder / "cat/a.png").read_bytes()
    with pytest.raises(InputError, match="changes while it is read") as error, unchanged(folder):
        overwrite(folder / "dog/a.png", b"x" * 32)
    assert error.value.where == str(folder / "dog/a.png")
    with pytest.raises(InputError, match="changes while it is read"), unchanged(folder / "cat/a.png"):
        (folder / "cat/a.png").unlink()


def test_a_file_that_cannot_be_read_is_named(
    folder: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def refuse(path: str, *more: int) -> int:  # root, who may run this test, can read everything
        if str(path).endswith("dog/b.png"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"cannot read \(Permission denied\)") as error:
        stamp(folder)
    assert error.value.where == str(folder / "dog/b.png")


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("other", "left"), [(False, 2), (True, 0)], ids=["alone", "beside another process"])
def test_checksums_outlive_an_interrupt(
    other: bool, left: int, folder: Path, stamp: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is interrupted after two of four files; another may have stamped all of them meanwhile."""
    real, read = content._sum, []

    def interrupted(path: str, signature: bytes) -> bytes:
        read.append(path)
        if len(read) == 2 and other:
            with monkeypatch.context() as patch:
                patch.setattr(content, "_sum", real)
                stamp(folder)
        if len(read) == 3:
            raise KeyboardInterrupt
        return real(path, signature)

    monkeypatch.setattr(content, "_sum", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stamp(folder)
    monkeypatch.setattr(content, "_sum", real)
    again = read_of(monkeypatch)
    stamp(folder)
    assert len(again) == left


def test_processes_share_an_index(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(500):
        (folder / "cat" / f"{number}.png").write_text(str(number))
    program = (
        "import sys, time; from pathlib import Path; from mousterian.data import content\n"
        "content.time_ns = lambda: time.time_ns() + 10_000_000_000\n"
        "sys.stdin.read(1)\n"  # all begin at once
        "print(content.content_stamp(Path(sys.argv[1]), Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, str(folder), str(tmp_path / "kept")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for each in processes:
        each.stdin.write("\n")
        each.stdin.flush()
    stamps = {each.communicate(timeout=60)[0].strip() for each in processes}
    read = read_of(monkeypatch)
    assert stamps == {content_stamp(folder, tmp_path / "kept")}
    assert read == []
