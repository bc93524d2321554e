"""The entries of a grid file -> plug-ins with the values of all their options."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from mousterian.errors import InputError, unknown_name
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice, name_and_options
from mousterian.plugins.spec import Plugin
from mousterian.synthesis.pool_identity import BASE, ELSEWHERE, UPSTREAM
from mousterian.training.recipes import recipe
from mousterian.trials.grid_file import ErrorCollector, GridFile
from mousterian.trials.identity import DatasetChoice, GeneratorChoice

T = TypeVar("T")
C = TypeVar("C", bound=Choice)
_TRAINED_ON = {"fit": (BASE, UPSTREAM), "load": (ELSEWHERE,)}


def _multiplied(options: Mapping[str, Any], is_list: Callable[[str], bool]) -> Iterator[dict[str, Any]]:
    """Yield a dict for each combination of the options given as lists; options of list type stay whole."""
    values = [v if isinstance(v, list) and not is_list(k) else [v] for k, v in options.items()]
    for name, choices in zip(options, values, strict=True):
        if not choices:
            raise InputError(f"the list of the option {name!r} is empty")
    for combination in product(*values):
        yield dict(zip(options, combination, strict=True))


def _each(
    entries: Sequence[Any], key: str, errors: ErrorCollector, make: Callable[[str, dict[str, Any]], list[T]]
) -> list[T]:
    """Return what `make` makes of each entry's name and options; errors are located at the entry's line."""

    def made(entry: Any) -> list[T]:
        return make(*name_and_options(entry))

    found: list[T] = []
    for index, entry in enumerate(entries):
        found += errors.attempt((key, index), partial(made, entry)) or []
    return found


def _choices(kind: type[C], plugin: Plugin, options: Mapping[str, Any], data_dir: Path) -> list[C]:
    """Return the plug-in with the values of all options, for each combination of those given."""
    resolved = [plugin.resolve(each) for each in _multiplied(options, plugin.takes_list)]
    return [kind.of(plugin, each, data_dir) for each in resolved]


def chosen(
    kind: str, entries: Sequence[Any], key: str, errors: ErrorCollector, data_dir: Path
) -> list[Choice]:
    """Return the plug-ins of a kind that a key's entries name; options given as lists multiply."""

    def make(name: str, options: dict[str, Any]) -> list[Choice]:
        return _choices(Choice, registry.find(kind, name), options, data_dir)

    return _each(entries, key, errors, make)


def datasets(entries: Sequence[Any], errors: ErrorCollector, data_dir: Path) -> list[DatasetChoice]:
    """Return the datasets that a grid file names, one for each split into seen and unseen classes."""

    def make(name: str, options: dict[str, Any]) -> list[DatasetChoice]:
        splits = _class_splits(options.pop("unseen_classes", []))
        made = _choices(DatasetChoice, registry.find("datasets", name), options, data_dir)
        return [replace(each, unseen=unseen) for each in made for unseen in splits]

    return _each(entries, "dataset", errors, make)


def _class_splits(given: Any) -> list[tuple[str, ...]]:
    """Return the unseen classes of each split: a list of names is one split, a list of lists several."""
    splits = given if isinstance(given, list) and given and isinstance(given[0], list) else [given]
    for names in splits:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(
                f"unseen_classes is a list of class names, or a list of such lists, not {given!r}"
            )
    return [tuple(sorted(set(names))) for names in splits]


_LIST_VALUES = ("milestones", "iterations_by_size")


def recipes(entries: Sequence[Any], errors: ErrorCollector) -> list[dict[str, Any]]:
    """Return the recipes that the entries name, with every value."""

    def make(name: str, changes: dict[str, Any]) -> list[dict[str, Any]]:
        multiplied = _multiplied(changes, lambda option: option in _LIST_VALUES)
        return [recipe(name, each).model_dump(mode="json") for each in multiplied]

    return _each(entries, "recipe", errors, make)


def generators(grid: GridFile, errors: ErrorCollector, data_dir: Path) -> list[GeneratorChoice]:
    """Return the generators that a grid file names, one for each value of trained_on."""

    def make(name: str, options: dict[str, Any]) -> list[GeneratorChoice]:
        plugin = registry.find("generators", name)
        possible = _TRAINED_ON[plugin.function]
        given = options.pop("trained_on", possible[0])
        if given == []:
            raise InputError("the list of the option 'trained_on' is empty")
        trained_on = given if isinstance(given, list) else [given]
        for each in trained_on:
            if each not in possible:
                raise unknown_name(f"trained_on of generator {name}", str(each), possible)
        size = options.pop("n_upstream", 0)
        filters = _filters(options.pop("filter", []), data_dir)
        made = _choices(GeneratorChoice, plugin, options, data_dir)
        return [
            replace(each, trained_on=source, n_upstream=upstream, seed=seed, filters=filters)
            for source in trained_on
            for upstream in [_upstream_size(source, size, name)]
            for each in made
            for seed in grid.generator_seeds
        ]

    return _each(grid.generator, "generator", errors, make)


def _filters(given: Any, data_dir: Path) -> tuple[Choice, ...]:
    """Return the filters of a generator; a list of them is a chain, of which an image must pass all."""
    found = []
    for entry in given if isinstance(given, list) else [given]:
        name, options = name_and_options(entry)
        plugin = registry.find("filters", name)
        found.append(Choice.of(plugin, plugin.resolve(options), data_dir))
    return tuple(found)


def _upstream_size(trained_on: str, size: Any, name: str) -> int:
    if trained_on != UPSTREAM:
        return 0
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        raise InputError(
            f"generator {name!r} trained on upstream needs n_upstream:"
            " the number of real images outside S_base to train it on"
        )
    return size
