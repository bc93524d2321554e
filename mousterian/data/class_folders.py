"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mousterian.data.content import files_in
from mousterian.data.decoding import SUFFIXES


def class_folders(parent: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted; hidden ones are left out."""
    return sorted(each.name for each in os.scandir(parent) if each.is_dir() and not each.name.startswith("."))


def images_by_folder(parent: Path, folders: Iterable[str]) -> dict[str, list[Path]]:
    """Return the image files below each of the folders, sorted by path: those that the stamp counts."""
    found: dict[str, list[Path]] = {folder: [] for folder in folders}
    by_path = {parent / folder: files for folder, files in found.items()}
    for file in files_in(parent):
        if file.suffix.lower() in SUFFIXES:
            for above in file.parents:
                if above in by_path:
                    by_path[above].append(file)
    return found
