"""Leak checks are made once: what they found is kept in a file, and is found there until it is outdated."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mousterian.data.cache import checksums, data_directory
from mousterian.data.leakage.results import Leaks
from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.plugins.choice import Choice
from mousterian.seeds import digest

VERSION = 1  # raised whenever the same images would give another result
FOLDER = ".leaks"
ALLOW = "allow_test_copies"
_log = logging.getLogger(__name__)
_unwritten: dict[Path, LeakRecord] = {}


@dataclass(frozen=True)
class LeakRecord:
    """What is kept of a leak check.

    Attributes:
        checked: identifies the images that were compared.
        reason: why the set or pool is refused; empty if it is not.
        summary: the counts, as JSON-like values.
        sentences: what was found, in words.
    """

    checked: str
    reason: str
    summary: Mapping[str, Any]
    sentences: tuple[str, ...]

    def refuse(self, where: str, *, allowed: bool) -> None:
        """Refuse the set or pool, unless it is clean or test images are allowed in it.

        Raises:
            InputError: it holds test images.
        """
        if self.reason and not allowed:
            raise InputError(
                f"test images leak: {self.reason}",
                where=where,
                hint=f"remove them; or set {ALLOW} = true in the grid file, which every answer then says",
            )


def read(file: Path) -> LeakRecord | None:
    """Return what was kept in a file; None if there is nothing, or nothing readable."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return LeakRecord(
            found["checked"], found["reason"], found["summary"], tuple(map(str, found["sentences"]))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return _unwritten.get(file)


def kept(file: Path, checked: str, check: Callable[[], Leaks]) -> LeakRecord:
    """Return what a file has of these images; else check them and keep what is found.

    Args:
        file: where it is kept; where that cannot be written, this process remembers it.
        checked: identifies the images.
        check: makes the check.
    """
    found = read(file)
    if found is not None and found.checked == checked:
        return found
    made = check()
    record = LeakRecord(checked, made.reason, made.summary(), tuple(made.sentences()))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, json.dumps(asdict(record), indent=1, ensure_ascii=False).encode())
    except (OSError, InputError) as error:
        _log.warning("%s: the leak check is not kept (%s)", file, error)
        _unwritten[file] = record
    return record


def set_file(dataset: Choice, data_dir: Path | None) -> Path:
    """Return the file of a dataset's leak check."""
    return data_directory(data_dir) / FOLDER / f"{digest(dataset.describe())}.json"


def set_leaks(dataset: Choice, data_dir: Path | None) -> LeakRecord:
    """Return what is known of test images in the dataset's training set; they are compared if nothing is.

    Raises:
        InputError: its images cannot be had, or those of its splits differ in shape.
    """
    from mousterian.data.leakage.checks import check_set

    train, test = (load_images(dataset, split, data_dir) for split in ("train", "test"))
    # A dataset without a stamp may change unnoticed, so its images are summed.
    sums = [] if dataset.stamp else [checksums(part) for part in (train, test)]
    checked = digest([VERSION, dataset.describe(), sums])
    return kept(set_file(dataset, data_dir), checked, lambda: check_set(train, test))
