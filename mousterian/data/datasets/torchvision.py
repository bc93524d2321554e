"""Every image-classification dataset of torchvision, by its name."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from mousterian.data import cache as image_cache
from mousterian.data.datasets._sources import Source, Splits, first
from mousterian.data.datasets._torchvision import open_split, to_images
from mousterian.data.image_set import ImageSet
from mousterian.errors import unknown_name

# Required constructor arguments that we can fill in.
SUPPLIED = {"root", "split", "train"}
# Arguments that mark a dataset as usable (it has splits or a download), and one that marks another task.
MARKS, OTHER_TASK = {"split", "train", "download"}, "image_set"


def load(
    split: str,
    data_dir: Path,
    *,
    name: str,
    size: int | None = None,
    variant: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
) -> ImageSet:
    """Any image-classification dataset of torchvision by its name: svhn, cifar100, food101, stl10, …

    Its files are looked for in torchvision's usual layout, in the data directory and in a folder of
    the dataset's name in it, else downloaded into that folder; the decoded images are cached there.

    Args:
        split: "train" or "test".
        data_dir: the data directory.
        name: torchvision's name in lower case with underscores.
        size: resize the shorter side to it and crop the centre square; required if images differ in size.
        variant: the part of a dataset that has several, e.g. "letters" for emnist.
        train_split: torchvision's name for the training split; default: "train", else "trainval".
        test_split: its name for the test split; default: "test", else "val".

    Raises:
        InputError: torchvision has no such dataset, it has no test split, its images differ in size and no
            size is given, or it is not available.
    """
    image_cache.check_split(split)
    if name not in _classes():
        raise unknown_name("torchvision dataset", name, _classes())
    class_name = _classes()[name]
    split_name = {"train": train_split, "test": test_split}[split]
    stem = _stem(split, size, variant, split_name)

    def get(root: Path, *, download: bool) -> Splits:
        found = open_split(class_name, root, split, download=download, split_name=split_name, variant=variant)
        return {stem: to_images(found, size, where=class_name)}

    folder = data_dir / name
    sources = [
        Source(f"torchvision's files in {data_dir}", lambda: get(data_dir, download=False)),
        Source(f"torchvision's files in {folder}", lambda: get(folder, download=False)),
        Source("its authors' server, through torchvision", lambda: get(folder, download=True)),
    ]
    advice = f"put its files into {folder}, as torchvision's documentation of {class_name} says"
    path = folder / f"{stem}.npz"
    return image_cache.load_or_make(path, lambda: first(name, sources, expected=None, advice=advice))


def origin(
    data_dir: Path,
    *,
    name: str,
    size: int | None = None,
    variant: str | None = None,
    train_split: str | None = None,
    test_split: str | None = None,
) -> image_cache.Origin:
    """Return the source of the training images and the path of their cache; arguments as for `load`."""
    return image_cache.origin(data_dir / name / f"{_stem('train', size, variant, train_split)}.npz")


def members() -> Iterable[str]:
    """Return the names of the family, read from torchvision's source without importing it."""
    return _classes()


def _stem(split: str, size: int | None, variant: str | None, split_name: str | None) -> str:
    parts = (split, split_name, variant, size and f"{size}px")
    return "-".join(str(part) for part in parts if part)


@cache
def _classes() -> Mapping[str, str]:
    """Return the class names of torchvision's image-classification datasets by our names."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0]) / "datasets"
    found = {}
    for node in _parse(folder / "__init__.py").body:
        # Modules with an underscore are optical flow and stereo matching.
        if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("_"):
            inside = {
                each.name: each
                for each in _parse(folder / f"{node.module}.py").body
                if isinstance(each, ast.ClassDef)
            }
            for alias in node.names:
                if alias.name in inside and _is_classification(inside[alias.name], inside):
                    found[_our_name(alias.name, node.module)] = alias.name
    return found


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _is_classification(dataset: ast.ClassDef, inside: Mapping[str, ast.ClassDef]) -> bool:
    names, required = _arguments(dataset, inside)
    return bool(names & MARKS) and required <= SUPPLIED and OTHER_TASK not in names


def _arguments(dataset: ast.ClassDef, inside: Mapping[str, ast.ClassDef]) -> tuple[set[str], set[str]]:
    """Return a constructor's arguments, and those without a default, including those of its base classes."""
    names: set[str] = set()
    required: set[str] = set()
    constructor = next(
        (each for each in dataset.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None
    )
    if constructor is not None:
        own = [argument.arg for argument in constructor.args.args[1:]]
        names |= set(own)
        required |= set(own[: len(own) - len(constructor.args.defaults)])
    if constructor is None or constructor.args.kwarg is not None:
        for base in dataset.bases:
            if isinstance(base, ast.Name) and base.id in inside:
                more, needed = _arguments(inside[base.id], inside)
                names, required = names | more, required | (needed - names)
    return names, required


def _our_name(class_name: str, module: str) -> str:
    """Return the module's name if it is the class's (EuroSAT: eurosat), else the class in snake case."""
    if module.replace("_", "") == class_name.lower():
        return module
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name)
    return words.lower()
