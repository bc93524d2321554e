"""The entries of a grid file -> plug-ins with the values of all their options; all that is wrong, at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from mousterian.errors import InputError, unknown_name
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.plugins.spec import Plugin
from mousterian.synthesis.pools import BASE, ELSEWHERE, UPSTREAM
from mousterian.training.recipes import recipe
from mousterian.trials.grid_file import Faults, GridFile
from mousterian.trials.identity import DatasetChoice, GeneratorChoice

T = TypeVar("T")
_TRAINED_ON = {"fit": (BASE, UPSTREAM), "load": (ELSEWHERE,)}


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


def _each(
    entries: Sequence[Any], key: str, faults: Faults, make: Callable[[str, dict[str, Any]], list[T]]
) -> list[T]:
    """Return what `make` makes of each entry's name and options; what is wrong stands at the entry's line."""
    found: list[T] = []
    for index, entry in enumerate(entries):
        found += faults.attempt((key, index), partial(_made, entry, make)) or []
    return found


def _made(entry: str | Mapping[str, Any], make: Callable[[str, dict[str, Any]], T]) -> T:
    return make(*_split(entry))


def _stamped(plugin: Plugin, options: Mapping[str, Any], data_dir: Path) -> list[tuple[dict[str, Any], str]]:
    """Return the values of all options and their files' stamp, for each combination of those given."""
    resolved = [plugin.resolve(each) for each in _multiplied(options, plugin.takes_list)]
    return [(each, plugin.stamp(data_dir, each)) for each in resolved]


def chosen(kind: str, entries: Sequence[Any], key: str, faults: Faults, data_dir: Path) -> list[Choice]:
    """Return the plug-ins of a kind that a key's entries name; options given as lists multiply."""

    def make(name: str, options: dict[str, Any]) -> list[Choice]:
        return [Choice(name, *each) for each in _stamped(registry.find(kind, name), options, data_dir)]

    return _each(entries, key, faults, make)


def datasets(entries: Sequence[Any], faults: Faults, data_dir: Path) -> list[DatasetChoice]:
    """Return the datasets that a grid file names, one for each way that its classes are split."""

    def make(name: str, options: dict[str, Any]) -> list[DatasetChoice]:
        splits = _class_splits(options.pop("unseen_classes", []))
        stamped = _stamped(registry.find("datasets", name), options, data_dir)
        return [DatasetChoice(name, *each, unseen) for each in stamped for unseen in splits]

    return _each(entries, "dataset", faults, make)


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

    def make(name: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
        multiplied = _multiplied(changes, lambda option: option in _LISTS_OF_RECIPES)
        return [recipe(name, each).model_dump(mode="json") for each in multiplied]

    return _each(entries, "recipe", faults, make)


def generators(grid: GridFile, faults: Faults, data_dir: Path) -> list[GeneratorChoice]:
    """Return the generators that a grid file names, one for each way that each is trained."""

    def make(name: str, options: dict[str, Any]) -> list[GeneratorChoice]:
        plugin = registry.find("generators", name)
        ways = _TRAINED_ON[plugin.function]
        chosen = options.pop("trained_on", ways[0])
        if chosen == []:
            raise InputError("the list of the option 'trained_on' is empty")
        size = options.pop("n_upstream", 0)
        filters = _filters(options.pop("filter", []), data_dir)
        stamped = _stamped(plugin, options, data_dir)
        return [
            GeneratorChoice(name, *each, way, _upstream_size(way, size, name), seed, filters)
            for way in (chosen if isinstance(chosen, list) else [chosen])
            if _known_way(way, ways, name)
            for each in stamped
            for seed in grid.generator_seeds
        ]

    return _each(grid.generator, "generator", faults, make)


def _filters(given: Any, data_dir: Path) -> tuple[Choice, ...]:
    """Return the filters of a generator; a list of them is a chain, all of which an image has to pass."""
    found = []
    for entry in given if isinstance(given, list) else [given]:
        name, options = _split(entry)
        plugin = registry.find("filters", name)
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
