"""Images in folders, one folder a class."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.data import cache
from mousterian.data.class_folders import class_folders, images_by_folder
from mousterian.data.content import content_stamp, unchanged
from mousterian.data.decoding import SUFFIXES, read_image, stack
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, unknown_name
from mousterian.seeds import digest

REVISION = 2  # EXIF orientation, transparency, 16-bit and float images as a viewer shows them
# How many unreadable images a message lists.
LISTED = 5
_log = logging.getLogger(__name__)


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
    if all are grey. They are as a viewer shows them: turned by their EXIF data, transparent ones on white, 16
    bits as 8, animated ones their first frame. Hidden files and folders are left out. The decoded images are
    cached in the data directory until the content of a file changes.

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
    splits = _split_folders(root, train, test)
    for each in (splits["train"], splits[split]):
        if not each.is_dir():
            hint = "check `path`, or name its folders with the options `train` and `test`"
            raise InputError(f"there is no folder {each.name} here", where=str(root), hint=hint)
    folders, parent = _classes(splits["train"], classes), splits[split]
    content = content_stamp(parent, data_dir)
    name = digest([REVISION, content, size, list(folders.items())])

    def make() -> cache.Decoded:
        with unchanged(parent):
            if content_stamp(parent, data_dir) != content:
                raise InputError("changes while it is read", where=str(parent), hint="run it again")
            images = _read(_files(parent, folders), size, tuple(folders.values()), where=str(parent))
        return cache.Decoded({name: images}, f"images in {parent}")

    images = cache.load_or_make(data_dir / "image_folder" / f"{name}.npz", make)
    _warn_of_sameness(images, parent)
    return images


def stamp(
    data_dir: Path,
    *,
    path: str,
    size: int = 64,
    classes: str = "",
    train: str = "train",
    test: str = "val",
) -> str:
    """Return a fingerprint of the images' files and the class list; arguments as for `load`."""
    root = cache.resolve(path, data_dir)
    places = list(_split_folders(root, train, test).values())
    if classes and classes not in _shipped():
        places.append(Path(classes).expanduser())
    found = [content_stamp(each, data_dir) for each in places]
    return digest(found) if any(found) else ""


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


def _split_folders(root: Path, train: str, test: str) -> dict[str, Path]:
    """Return the folder of each split; without a "val", that of the test images is "test" if it exists."""
    if test == "val" and not (root / test).is_dir() and (root / "test").is_dir():
        test = "test"
    return {"train": root / train, "test": root / test}


def _shipped() -> Mapping[str, Path]:
    """Return the files of the class lists by name."""
    return {each.stem: each for each in (Path(__file__).parent / "classes").glob("*.txt")}


def _classes(parent: Path, classes: str) -> Mapping[str, str]:
    """Return class names by folder, in label order."""
    if not classes:
        found = class_folders(parent)
        if not found:
            raise InputError("there are no class folders here", where=str(parent))
        return {name: name for name in found}
    shipped = _shipped()
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


def _files(parent: Path, folders: Iterable[str]) -> Mapping[str, Sequence[Path]]:
    """Return the image files below each class's folder; every class must have some."""
    found = images_by_folder(parent, folders)
    for folder, files in found.items():
        where = str(parent / folder)
        if not (parent / folder).is_dir():
            raise InputError("this class has no folder", where=where)
        if not files:
            hint = f"images end in {', '.join(SUFFIXES)}"
            raise InputError("this class has no images", where=where, hint=hint)
    return found


def _read(
    files: Mapping[str, Sequence[Path]], size: int, class_names: tuple[str, ...], *, where: str
) -> ImageSet:
    pictures: list[NDArray[np.uint8]] = []
    unreadable = []
    for file in (file for each in files.values() for file in each):
        try:
            pictures.append(read_image(file, size))
        except InputError as error:
            unreadable.append(f"{file} ({error.what})")
    if unreadable:
        more = f"\n… and {len(unreadable) - LISTED} more" if len(unreadable) > LISTED else ""
        listed = "\n".join(unreadable[:LISTED]) + more
        raise InputError(
            f"{len(unreadable)} images cannot be read:\n{listed}", where=where, hint="repair or delete them"
        )
    labels = np.repeat(np.arange(len(files)), [len(each) for each in files.values()])
    return ImageSet(stack(pictures, where=where), labels, class_names)


def _warn_of_sameness(images: ImageSet, where: Path) -> None:
    """Warn of classes in which all images are of one colour, or are one and the same."""
    for label, name in enumerate(images.class_names):
        of_class = images.images[images.labels == label]
        if (of_class == of_class[:, :1, :1]).all():
            _log.warning("%s: every image of class %s is of one colour", where, name)
        elif len(of_class) > 1 and (of_class == of_class[:1]).all():
            _log.warning("%s: all %d images of class %s are identical", where, len(of_class), name)
