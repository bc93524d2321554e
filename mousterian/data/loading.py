"""Datasets by name: parsing a name or table of options, and loading its images."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.plugins.spec import Plugin
from mousterian.seeds import canonical


def dataset_named(text: str) -> tuple[Plugin, dict[str, Any]]:
    """Return a dataset plug-in and its options, from its name or a table `{name = "...", option = ...}`.

    Raises:
        InputError: no such dataset or option, or not a table.
    """
    table = _table(text) if text.lstrip().startswith("{") else {"name": text}
    name = table.pop("name", "")
    plugin = registry.find("datasets", str(name))
    return plugin, plugin.resolve(table)


def dataset_text(name: str, options: Mapping[str, Any]) -> str:
    """Return the text that `dataset_named` parses to this dataset: the name alone if that suffices."""
    plugin = registry.find("datasets", name)
    defaults = {key: canonical(option.default) for key, option in plugin.options.items()}  # as read from JSON
    changed = {key: value for key, value in options.items() if defaults[key] != canonical(value)}
    return canonical({"name": name, **changed}) if changed else name


def _table(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise InputError(
                f"not a table of a dataset and its options ({error})",
                where=text,
                hint='write it as in a grid file: {name = "image_folder", path = "pets"}',
            ) from None
    return dict(found)


@lru_cache(maxsize=4)
def _load(description: str, split: str, data_dir: Path | None) -> ImageSet:
    from mousterian.data.cache import data_directory

    dataset, place = Choice.described(json.loads(description)), data_directory(data_dir)
    plugin, where = registry.find("datasets", dataset.name), dataset_text(dataset.name, dataset.options)
    plugin.check_revision(dataset.revision, dataset.options, where=where)
    if dataset.stamp and plugin.stamp(place, dataset.options) != dataset.stamp:
        raise InputError(
            "its files have changed since",
            where=where,
            hint="run the grid again, which trains on what they hold now, or restore the files",
        )
    images: ImageSet = plugin.load()(split, place, **dataset.options, **plugin.preset)
    return images


def load_images(dataset: Choice, split: str, data_dir: Path | None) -> ImageSet:
    """Return the training or test images of a dataset; the last few are cached in memory.

    Raises:
        InputError: they cannot be had, or its files or code are no longer those of its stamp and revision.
    """
    return _load(canonical(dataset.describe()), split, data_dir)
