"""Images in folders, one folder a class, and what in these folders is no image of a class."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from mousterian.data.decoding import SUFFIXES
from mousterian.data.listing import Listing, unreadable
from mousterian.errors import first_of

_LISTED = 3  # names that a note lists
# What is left out, and its plural.
_OTHER = "file that is no image by its name"
_OUTSIDE = "file outside the class folders"
_PLURALS = {
    "hidden file or folder": "hidden files or folders",
    "link to a folder around it": "links to folders around them",
    _OTHER: "files that are no images by their names",
    _OUTSIDE: "files outside the class folders",
}


def class_folders(parent: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; hidden ones are left out.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with os.scandir(parent) as entries:
            return sorted(each.name for each in entries if each.is_dir() and not each.name.startswith("."))
    except OSError as error:
        raise unreadable(str(parent), error) from error


def images_by_folder(found: Listing, parent: Path, folders: Iterable[str]) -> dict[str, list[Path]]:
    """Return the listed image files below each of the folders in `parent`, sorted by path."""
    images: dict[str, list[Path]] = {folder: [] for folder in folders}
    by_path = {parent / folder: files for folder, files in images.items()}
    for file in found.paths():
        if _is_image(str(file)):
            for above in file.parents:
                if above in by_path:
                    by_path[above].append(file)
    return images


def left_out(found: Listing, folders: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each kind of listed things that are no images below the class folders.

    Whole folders beside the class folders are named with the number of their files.
    """
    names, beside = defaultdict(list), Counter[str]()
    for each in sorted(found.left_out):
        names[each.what].append(each.path)
    for name in sorted(found.files):
        first, slash, _ = name.partition("/")
        if any(above in folders for above in _folders_above(name)):
            if not _is_image(name):
                names[_OTHER].append(name)
        elif slash:
            beside[first] += 1
        else:
            names[_OUTSIDE].append(name)
    for what, of_kind in names.items():
        yield left_out_note(of_kind, what, _PLURALS.get(what, f"{what}s"))
    if beside:
        counted = [f"{name} ({count:,} file{'' if count == 1 else 's'})" for name, count in beside.items()]
        yield left_out_note(counted, "folder that is no class", "folders that are no classes")


def left_out_note(names: Sequence[str], one: str, many: str, most: int = _LISTED) -> str:
    """Return a sentence on what is left out: how many, of what kind, and the first few names."""
    what = one if len(names) == 1 else many
    return f"{len(names):,} {what} left out: {first_of(names, most)}"


def _folders_above(name: str) -> Iterator[str]:
    end = name.find("/")
    while end >= 0:
        yield name[:end]
        end = name.find("/", end + 1)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
