"""The entries of a grid file -> plug-ins with the values of all their options; all that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from mousterian import plugins
from mousterian.errors import InputError, InputErrors, unknown_name
from mousterian.gridfile import GridFile, Source
from mousterian.pools import BASE, ELSEWHERE, UPSTREAM
from mousterian.training.recipes import recipe
from mousterian.trial import Choice, DatasetChoice, GeneratorChoice

T = TypeVar("T")
_TRAINED_ON = {"fit": (BASE, UPSTREAM), "load": (ELSEWHERE,)}


class Faults:
    """Collects input errors, so that all are told at once."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._found: dict[str, InputError] = {}

    def attempt(self, key: Sequence[str | int], make: Callable[[], T]) -> T | None:
        """Call `make`; keep its input errors, placed at a key of the file, and return None instead."""
        try:
            return make()
        except InputErrors as errors:
            for error in errors.errors:
                self._add(key, error)
        except InputError as error:
            self._add(key, error)
        return None

    def _add(self, key: Sequence[str | int], error: InputError) -> None:
        placed = InputError(error.what, where=error.where or self._source.where(key), hint=error.hint)
        self._found[str(placed)] = placed

    def tell(self) -> None:
        """Raise what was found, if anything."""
        if self._found:
            raise InputErrors(self._found.values())


def _split(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    values = dict(entry)
    if not isinstance(values.get("name"), str):
        raise InputError("the key 'name' is missing in this table")
    return values.pop("name"), values


def _multiplied(options: Mapping[str, Any], is_list: Callable[[str], bool]) -> Iterator[dict[str, Any]]:
    """Yield one dict for each combination of the options given as lists; lists by nature stay whole."""
    values = [v if isinstance(v, list) and not is_list(k) else [v] for k, v in options.items()]
    for name, choices in zip(options, values, strict=True):
        if not choices:
            raise InputError(f"the list of the option {name!r} is empty")
    for combination in product(*values):
        yield dict(zip(options, combination, strict=True))


def chosen(kind: str, entries: Sequence[Any], key: str, faults: Faults, data_dir: Path) -> list[Choice]:
    """Return the plug-ins of a kind that a key's entries name; options given as lists multiply."""
    found = []
    for index, entry in enumerate(entries):

        def make(entry: Any = entry) -> list[Choice]:
            name, options = _split(entry)
            plugin = plugins.find(kind, name)
            resolved = [plugin.resolve(each) for each in _multiplied(options, plugin.takes_list)]
            return [Choice(name, each, plugin.stamp(data_dir, each)) for each in resolved]

        found += faults.attempt((key, index), make) or []
    return found


def datasets(entries: Sequence[Any], faults: Faults, data_dir: Path) -> list[DatasetChoice]:
    """Return the datasets that a grid file names, one for each way that its classes are split."""
    found: list[DatasetChoice] = []
    for index, entry in enumerate(entries):

        def make(entry: Any = entry) -> list[DatasetChoice]:
            name, options = _split(entry)
            splits = _class_splits(options.pop("unseen_classes", []))
            plugin = plugins.find("datasets", name)
            resolved = [plugin.resolve(each) for each in _multiplied(options, plugin.takes_list)]
            return [
                DatasetChoice(name, each, plugin.stamp(data_dir, each), unseen)
                for each in resolved
                for unseen in splits
            ]

        found += faults.attempt(("dataset", index), make) or []
    return found


def _class_splits(given: Any) -> list[tuple[str, ...]]:
    """Return the unseen classes of each split: a list of names is one split, a list of such lists several."""
    splits = given if isinstance(given, list) and given and isinstance(given[0], list) else [given]
    for names in splits:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(
                f"unseen_classes is a list of class names, or a list of such lists, not {given!r}"
            )
    return [tuple(sorted(set(names))) for names in splits]


_LISTS_OF_RECIPES = ("milestones", "iterations_by_size")


def recipes(entries: Sequence[Any], faults: Faults) -> list[dict[str, Any]]:
    """Return the recipes that the entries name, with every value."""
    found = []
    for index, entry in enumerate(entries):

        def make(entry: Any = entry) -> list[dict[str, Any]]:
            name, changes = _split(entry)
            multiplied = _multiplied(changes, lambda option: option in _LISTS_OF_RECIPES)
            return [recipe(name, each).model_dump(mode="json") for each in multiplied]

        found += faults.attempt(("recipe", index), make) or []
    return found


def generators(grid: GridFile, faults: Faults, data_dir: Path) -> list[GeneratorChoice]:
    """Return the generators that a grid file names, one for each way that each is trained."""
    found: list[GeneratorChoice] = []
    for index, entry in enumerate(grid.generator):

        def make(entry: Any = entry) -> list[GeneratorChoice]:
            name, options = _split(entry)
            plugin = plugins.find("generators", name)
            ways = _TRAINED_ON[plugin.function]
            chosen = options.pop("trained_on", ways[0])
            if chosen == []:
                raise InputError("the list of the option 'trained_on' is empty")
            size = options.pop("n_upstream", 0)
            filters = _filters(options.pop("filter", []), data_dir)
            resolved = [plugin.resolve(each) for each in _multiplied(options, plugin.takes_list)]
            stamps = [plugin.stamp(data_dir, each) for each in resolved]
            return [
                GeneratorChoice(name, each, stamp, way, _upstream_size(way, size, name), seed, filters)
                for way in (chosen if isinstance(chosen, list) else [chosen])
                if _known_way(way, ways, name)
                for each, stamp in zip(resolved, stamps, strict=True)
                for seed in grid.generator_seeds
            ]

        found += faults.attempt(("generator", index), make) or []
    return found


def _filters(given: Any, data_dir: Path) -> tuple[Choice, ...]:
    """Return the filters of a generator; a list of them is a chain, all of which an image has to pass."""
    found = []
    for entry in given if isinstance(given, list) else [given]:
        name, options = _split(entry)
        plugin = plugins.find("filters", name)
        resolved = plugin.resolve(options)
        found.append(Choice(name, resolved, plugin.stamp(data_dir, resolved)))
    return tuple(found)


def _known_way(way: Any, ways: Sequence[str], name: str) -> bool:
    if way not in ways:
        raise unknown_name("trained_on of generator " + name, str(way), ways)
    return True


def _upstream_size(way: str, size: Any, name: str) -> int:
    if way != UPSTREAM:
        return 0
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise InputError(
            f"generator {name!r} trained on upstream needs n_upstream:"
            " how many real images outside S_base it learns from"
        )
    return size
