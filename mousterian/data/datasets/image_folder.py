"""Images in folders, one folder a class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mousterian.data import cache
from mousterian.data.class_folders import class_folders, images_by_folder, left_out, left_out_note
from mousterian.data.content import content_stamp, stamped_listing
from mousterian.data.decoding import SUFFIXES, read_image, stack
from mousterian.data.image_set import ImageSet
from mousterian.data.listing import Listing, check_same, listing
from mousterian.errors import InputError, first_of, unknown_name
from mousterian.seeds import digest

REVISION = 2  # EXIF orientation, transparency, 16-bit and float images as a viewer shows them
# How many unreadable images a message and a note list, and how many classes a message does.
LISTED, LISTED_IN_NOTE, LISTED_CLASSES = 5, 100, 20
ADDED_OPTIONS = ("skip_unreadable",)


def load(
    split: str,
    data_dir: Path,
    *,
    path: str,
    size: int = 64,
    classes: str = "",
    train: str = "train",
    test: str = "val",
    skip_unreadable: bool = False,
) -> ImageSet:
    """A folder of your own images: PATH/train/CLASS/*.jpg and PATH/val/CLASS/*.jpg, the layout of ImageNet.

    Images are resized by their shorter side and cropped to the centre square: (size, size, 3), or 1 channel
    if all are grey. They are as a viewer shows them: turned by their EXIF data, transparent ones on white, 16
    bits as 8, animated ones their first frame. Hidden files and folders, files that are no images by their
    names and a validation split beside the test images are left out, and counted in notes. The decoded images
    are cached in the data directory until the content of a file changes.

    Args:
        split: "train" or "test".
        data_dir: the data directory.
        path: the folder, relative to the data directory or else to the working directory.
        size: height and width of an image, pixels.
        classes: which folders are the classes: "imagenet10" (the main paper's, Appendix A), "imagenet100"
            (Tian et al. 2020), or a text file with "folder name" on each line; default: every folder.
        train: folder of the training images in `path`.
        test: folder of the test images in `path`; without a "val", "test" is also accepted.
        skip_unreadable: leave out images that cannot be read, and list them in a note.

    Raises:
        InputError: a folder is missing or empty, the class list is unknown or wrong, the two splits have
            different classes, or images are unreadable.
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
    if not classes and split == "test":
        _check_same_classes(list(folders), splits)
    content, found = stamped_listing(parent, data_dir)
    skipping = ["skip_unreadable"] if skip_unreadable else []  # so that what was cached before is found
    name = digest([REVISION, content, size, list(folders.items()), *skipping])

    def make() -> cache.Decoded:
        files = _files(found, parent, folders)
        images = _read(files, size, tuple(folders.values()), where=parent, skip=skip_unreadable)
        check_same(found, listing(parent))
        return cache.Decoded({name: images}, f"images in {parent}")

    images = cache.load_or_make(data_dir / "image_folder" / f"{name}.npz", make)
    notes = (*left_out(found, folders), *images.notes, *_sameness(images))
    return replace(images, notes=(*_other_splits(root, splits), *(f"{parent}: {note}" for note in notes)))


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
    skip_unreadable: bool = False,
) -> cache.Origin:
    """Return the folder of the images; arguments as for `load`."""
    return cache.Origin("a folder of images", cache.resolve(path, data_dir))


def _split_folders(root: Path, train: str, test: str) -> dict[str, Path]:
    """Return the folder of each split; without a "val", that of the test images is "test" if it exists."""
    if test == "val" and not (root / test).is_dir() and (root / "test").is_dir():
        test = "test"
    return {"train": root / train, "test": root / test}


def _other_splits(root: Path, splits: Mapping[str, Path]) -> Iterator[str]:
    """Yield a sentence on each further split in the folder."""
    for name in class_folders(root):
        if root / name not in splits.values():
            if name.lower() in cache.VALIDATION:
                yield f"{root}: its validation split ({name}) is kept apart, not used"
            elif name.lower() == "test":
                used = splits["test"].name
                yield f"{root}: its folder {name} is not used; the test images are those in {used}"


def _check_same_classes(folders: Sequence[str], splits: Mapping[str, Path]) -> None:
    """Refuse test images whose class folders are not those of the training images."""
    tested = class_folders(splits["test"])
    if tested != folders:
        train, test = splits["train"].name, splits["test"].name
        lists = ((train, folders, tested), (test, tested, folders))
        raise InputError(
            f"{train} and {test} have different classes: "
            + "; ".join(f"{name} has {first_of(own, LISTED_CLASSES)}" for name, own, _ in lists)
            + "".join(
                f"; in {name} only: {first_of(alone, LISTED_CLASSES)}"
                for name, own, other in lists
                if (alone := sorted(set(own) - set(other)))
            ),
            where=str(splits["test"].parent),
            hint="give both the same folders, or list the classes in a text file for the option `classes`",
        )


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
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        hint = "give a text file (UTF-8) with `folder name` on each line"
        raise InputError(f"the class list cannot be read ({error})", where=str(source), hint=hint) from None
    for number, line in enumerate(lines, start=1):
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


def _files(found: Listing, parent: Path, folders: Mapping[str, str]) -> Mapping[str, Sequence[Path]]:
    """Return the image files below each class's folder; every class must have some."""
    files = images_by_folder(found, parent, folders)
    for folder, of_class in files.items():
        where = str(parent / folder)
        if not (parent / folder).is_dir():
            raise InputError("this class has no folder", where=where)
        if not of_class:
            hint = f"images end in {', '.join(SUFFIXES)}"
            raise InputError("this class has no images", where=where, hint=hint)
    return files


def _read(
    files: Mapping[str, Sequence[Path]],
    size: int,
    class_names: tuple[str, ...],
    *,
    where: Path,
    skip: bool,
) -> ImageSet:
    pictures: list[NDArray[np.uint8]] = []
    labels, unreadable = [], []
    for label, (folder, of_class) in enumerate(files.items()):
        before = len(pictures)
        for file in of_class:
            try:
                pictures.append(read_image(file, size))
            except InputError as error:
                unreadable.append(f"{file.relative_to(where)} ({error.what})")
        labels += [label] * (len(pictures) - before)
        if skip and len(pictures) == before:
            hint = "repair them, or leave the class out"
            raise InputError("no image of this class can be read", where=str(where / folder), hint=hint)
    if unreadable and not skip:
        more = f"\n… and {len(unreadable) - LISTED} more" if len(unreadable) > LISTED else ""
        listed = "\n".join(unreadable[:LISTED]) + more
        hint = "repair or delete them, or leave them out: skip_unreadable = true"
        raise InputError(f"{len(unreadable)} images cannot be read:\n{listed}", where=str(where), hint=hint)
    return ImageSet(
        stack(pictures, where=str(where)),
        np.array(labels),
        class_names,
        notes=tuple(_notes_of_reading(pictures, unreadable)),
    )


def _notes_of_reading(pictures: Sequence[NDArray[np.uint8]], unreadable: Sequence[str]) -> Iterator[str]:
    if unreadable:
        yield left_out_note(unreadable, "unreadable image", "unreadable images", LISTED_IN_NOTE)
    grey = sum(picture.shape[2] == 1 for picture in pictures)
    if 0 < grey < len(pictures):
        yield f"{grey:,} of {len(pictures):,} images are grey: they get three equal channels"


def _sameness(images: ImageSet) -> Iterator[str]:
    """Yield a sentence on each class in which all images are of one colour, or are one and the same."""
    for label, name in enumerate(images.class_names):
        of_class = images.images[images.labels == label]
        if (of_class == of_class[:, :1, :1]).all():
            yield f"every image of class {name} is of one colour"
        elif len(of_class) > 1 and (of_class == of_class[:1]).all():
            yield f"all {len(of_class)} images of class {name} are identical"
