"""What `mousterian data NAME` says of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.console import console, print_json
from mousterian.plugins import registry
from mousterian.plugins.key_value import parsed_options

if TYPE_CHECKING:
    from mousterian.data.image_set import ImageSet


def _describe(name: str, options: Mapping[str, Any], data_dir: Path | None) -> dict[str, Any]:
    """Load both splits of a dataset, fetching it if need be, and say what and where it is.

    Args:
        name: dataset plug-in.
        options: its options, as in a grid file.
        data_dir: the data directory; None for the default one.

    Returns:
        name; data_dir; source: how it was had; path: where it lies; verified: whether the sha256 sums of its
        arrays are its plug-in's CHECKSUMS (False where it has none; a set that has the wrong
        sums is not verified); known_sums: whether it has any; shape: height, width and channels of an image;
        classes: their names; splits: for "train" and "test" count, smallest_class and largest_class (images),
        images_sha256 and labels_sha256.

    Raises:
        InputError: no such dataset or option, or it cannot be had.
    """
    from mousterian.data.cache import SPLITS, Origin, checksums, data_directory

    plugin = registry.find("datasets", name)
    values = {**plugin.resolve(options), **plugin.preset}
    folder = data_directory(data_dir)
    load = plugin.load()
    sets = {split: load(split, folder, **values) for split in SPLITS}
    found = {split: checksums(images) for split, images in sets.items()}
    known, where = plugin.part("CHECKSUMS"), plugin.part("origin")
    lies = where(folder, **values) if where else Origin(f"the plug-in {plugin.module}", Path())
    return {
        "name": name,
        "data_dir": str(folder),
        "source": lies.source,
        "path": str(lies.path) if lies.path.name else "",
        "known_sums": known is not None,
        "verified": found == known,
        "shape": list(sets["train"].shape),
        "classes": list(sets["train"].class_names),
        "splits": {
            split: {
                **_counts(images),
                **{f"{part}_sha256": value for part, value in found[split]._asdict().items()},
            }
            for split, images in sets.items()
        },
    }


def _counts(images: ImageSet) -> dict[str, int]:
    import numpy as np

    counts = np.bincount(images.labels, minlength=len(images.class_names))
    return {"count": len(images), "smallest_class": int(counts.min()), "largest_class": int(counts.max())}


def data(name: str, *, option: Sequence[str] = (), data_dir: Path | None = None, json: bool = False) -> int:
    """Fetch a dataset, verify it, and say where it is.

    Parameters
    ----------
    name
        Name of the dataset; `mousterian list datasets` shows them.
    option
        KEY=VALUE: an option of the dataset, e.g. path=pets for image_folder; may be repeated.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    json
        Print as JSON.
    """

    return _show(name, tuple(option), data_dir, json)


def _show(name: str, options: Sequence[str], data_dir: Path | None, as_json: bool) -> int:
    """Fetch and verify a dataset and show what and where it is."""
    from mousterian.data.cache import data_directory

    plugin = registry.find("datasets", name)
    chosen = plugin.resolve(parsed_options(plugin, options, flag="--option"))
    found = _describe(name, chosen, data_directory(data_dir))
    if as_json:
        return print_json(found)
    for key, value in found.items():
        console().print(f"{key:>12}  {value}", highlight=False, markup=False)
    return 0
