"""Images in folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.data import cache
from mousterian.data.decoding import SUFFIXES, decode, stack
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, unknown_name
from mousterian.seeds import digest, file_stamp

# How many unreadable images a message lists.
LISTED = 5


def load(
    split: str,
    data_dir: Path,
    *,
    path: str,
    size: int = 64,
    classes: str = "",
    train: str = "train",
    test: str = "val",
) -> ImageSet:
    """A folder of your own images: PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg, the layout of ImageNet.

    Images are resized by their shorter side and cropped to the centre square: (size, size, 3), or 1 channel
    if all are grey. The decoded images are cached in the data directory until a file of the folder changes.

    Args:
        split: "train" or "test".
        data_dir: the data directory.
        path: the folder, relative to the data directory or else to the working directory.
        size: height and width of an image, pixels.
        classes: which folders are the classes: "imagenet10" (the main paper's, Appendix A), "imagenet100"
            (Tian et al. 2020), or a text file with "folder name" on each line; default: every folder.
        train: folder of the training images in `path`.
        test: folder of the test images in `path`; without a "val", "test" is also accepted.

    Raises:
        InputError: a folder is missing or empty, the class list is unknown or wrong, or images are
            unreadable.
    """
    cache.check_split(split)
    if size < 1:
        raise InputError(f"size must be 1 pixel or more, not {size}", where="image_folder")
    root = cache.resolve(path, data_dir)
    folders = _classes(_split_folder(root, "train", train, test), classes)
    parent = _split_folder(root, split, train, test)
    files = {folder: _files(parent / folder) for folder in folders}

    def make() -> cache.Decoded:
        images = _read(files, size, tuple(folders.values()), where=str(parent))
        return cache.Decoded({cached.stem: images}, f"images in {parent}")

    cached = _cache_path(data_dir, parent, folders, files, size)
    return cache.load_or_make(cached, make)


def stamp(
    data_dir: Path,
    *,
    path: str,
    size: int = 64,
    classes: str = "",
    train: str = "train",
    test: str = "val",
) -> str:
    """Return a fingerprint of the folder's files; arguments as for `load`."""
    return file_stamp(cache.resolve(path, data_dir))


def origin(
    data_dir: Path,
    *,
    path: str,
    size: int = 64,
    classes: str = "",
    train: str = "train",
    test: str = "val",
) -> cache.Origin:
    """Return the folder of the images; arguments as for `load`."""
    return cache.Origin("a folder of images", cache.resolve(path, data_dir))


def _split_folder(root: Path, split: str, train: str, test: str) -> Path:
    names = [train] if split == "train" else [test, "test"] if test == "val" else [test]
    for name in names:
        if (root / name).is_dir():
            return root / name
    hint = "check `path`, or name its folders with the options `train` and `test`"
    raise InputError(f"there is no folder {' or '.join(names)} here", where=str(root), hint=hint)


def _classes(parent: Path, classes: str) -> Mapping[str, str]:
    """Return class names by folder, in label order."""
    if not classes:
        found = sorted(entry.name for entry in os.scandir(parent) if entry.is_dir())
        if not found:
            raise InputError("there are no class folders here", where=str(parent))
        return {name: name for name in found}
    shipped = {each.stem: each for each in (Path(__file__).parent / "classes").glob("*.txt")}
    source = shipped.get(classes, Path(classes).expanduser())
    if not source.is_file():
        raise unknown_name(
            "class list", classes, shipped, hint="or give a text file with `folder name` on each line"
        )
    return _read_classes(source)


def _read_classes(source: Path) -> Mapping[str, str]:
    names: dict[str, str] = {}
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            folder, _, name = line.strip().partition(" ")
            if folder in names:
                raise InputError(f"the folder {folder} is listed twice", where=f"{source}:{number}")
            names[folder] = name.strip() or folder
    if not names:
        raise InputError(
            "the class list is empty", where=str(source), hint="write `folder name` on each line"
        )
    return names


def _files(folder: Path) -> list[Path]:
    """Return the image files below a class's folder, sorted by path."""
    if not folder.is_dir():
        raise InputError("this class has no folder", where=str(folder))
    found = sorted(each for each in folder.rglob("*") if each.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(
            "this class has no images", where=str(folder), hint=f"images end in {', '.join(SUFFIXES)}"
        )
    return found


def _cache_path(
    data_dir: Path, parent: Path, folders: Mapping[str, str], files: Mapping[str, Sequence[Path]], size: int
) -> Path:
    stamps = [
        [str(file.relative_to(parent)), stat.st_size, stat.st_mtime_ns]
        for each in files.values()
        for file in each
        for stat in [file.stat()]
    ]
    name = digest([str(parent.resolve()), size, list(folders.items()), stamps])
    return data_dir / "image_folder" / f"{name}.npz"


def _read(
    files: Mapping[str, Sequence[Path]], size: int, class_names: tuple[str, ...], *, where: str
) -> ImageSet:
    from PIL import Image

    pictures: list[NDArray[np.uint8]] = []
    unreadable = []
    for file in (file for each in files.values() for file in each):
        try:
            with Image.open(file) as picture:
                pictures.append(decode(picture, size))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            unreadable.append(f"{file} ({error})")
    if unreadable:
        more = f"\n… and {len(unreadable) - LISTED} more" if len(unreadable) > LISTED else ""
        listed = "\n".join(unreadable[:LISTED]) + more
        raise InputError(
            f"{len(unreadable)} images cannot be read:\n{listed}", where=where, hint="repair or delete them"
        )
    labels = np.repeat(np.arange(len(files)), [len(each) for each in files.values()])
    return ImageSet(stack(pictures, where=where), labels, class_names)
