"""`mousterian data`: fetch and verify a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_DONE, EXIT_FAILED
from mousterian.cli.commands._data_notes import show_notes
from mousterian.cli.console import console, print_json

if TYPE_CHECKING:
    from mousterian.data.image_set import ImageSet


def data(name: str, *, option: Sequence[str] = (), data_dir: Path | None = None, json: bool = False) -> int:
    """Fetch a dataset, verify it, and print where it is.

    Exits with 3 where a grid would refuse it: too many of its test images are in its training set.

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
    from mousterian.plugins import registry
    from mousterian.plugins.key_value import parsed_options

    plugin = registry.find("datasets", name)
    options = plugin.resolve(parsed_options(plugin, tuple(option), flag="--option"))
    found = _describe(name, options, data_dir)
    leaks = found["leaks"]
    code = EXIT_FAILED if leaks["reason"] else EXIT_DONE
    if json:
        print_json(found)
        return code
    del found["leaks"]
    notes = found.pop("notes")
    for key, value in found.items():
        console().print(f"{key:>12}  {value}", highlight=False, markup=False)
    for sentence in leaks["sentences"]:
        console().print(f"{'test images':>12}  {sentence}", highlight=False, markup=False)
    show_notes(notes, console())
    return code


def _describe(name: str, options: Mapping[str, Any], data_dir: Path | None) -> dict[str, Any]:
    """Load both splits of a dataset, fetching it if necessary, and describe it.

    Args:
        name: dataset plug-in.
        options: its options, as in a grid file.
        data_dir: folder of the datasets; None: the default.

    Returns:
        name; data_dir; source: where it was obtained; path: where it is; verified: whether the sha256 sums of
        its arrays are its plug-in's CHECKSUMS (False if it has none); known_sums: whether it has any; shape:
        height, width and channels of an image; classes: their names; splits: for "train" and "test" count,
        smallest_class and largest_class (images), images_sha256 and labels_sha256; leaks: copies of test
        images in the training set, identical and near, with sentences; notes: what is left out of the files,
        or converted, as sentences.

    Raises:
        InputError: the dataset or option does not exist, or the dataset cannot be obtained.
    """
    from mousterian.data.cache import SPLITS, Origin, checksums, data_directory
    from mousterian.data.leakage.stored import set_leaks
    from mousterian.data.loading import load_images
    from mousterian.plugins import registry
    from mousterian.plugins.choice import Choice

    plugin = registry.find("datasets", name)
    values = {**plugin.resolve(options), **plugin.preset}
    folder = data_directory(data_dir)
    chosen = Choice.of(plugin, plugin.resolve(options), folder)
    sets = {split: load_images(chosen, split, folder) for split in SPLITS}
    found = {split: checksums(images) for split, images in sets.items()}
    known, locate = plugin.part("CHECKSUMS"), plugin.part("origin")
    origin = locate(folder, **values) if locate else Origin(f"the plug-in {plugin.module}", Path())
    leaks = set_leaks(chosen, folder)
    return {
        "name": name,
        "data_dir": str(folder),
        "source": origin.source,
        "path": str(origin.path) if origin.path.name else "",
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
        "leaks": {**leaks.summary, "sentences": list(leaks.sentences)},
        "notes": list(dict.fromkeys(note for images in sets.values() for note in images.notes)),
    }


def _counts(images: ImageSet) -> dict[str, int]:
    import numpy as np

    counts = np.bincount(images.labels, minlength=len(images.class_names))
    return {"count": len(images), "smallest_class": int(counts.min()), "largest_class": int(counts.max())}
