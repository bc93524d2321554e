"""`mousterian quality`: measure pools against real images."""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import EXIT_BAD_INPUT, EXIT_DONE, STORE
from mousterian.cli.commands._data_notes import show_notes
from mousterian.cli.console import console, print_json, table
from mousterian.errors import InputError
from mousterian.plugins import registry

if TYPE_CHECKING:
    from rich.table import Table

    from mousterian.plugins.spec import Plugin
    from mousterian.quality.inputs import MeasureInputs
    from mousterian.quality.measurement import Measure

_POOLS_PER_TABLE = 4


def quality(
    *pools: str,
    store: Path = STORE,
    real: str = "",
    features: str = "",
    measure: Sequence[str] = (),
    filter: Sequence[str] = (),
    option: Sequence[str] = (),
    images: int = 0,
    seed: int = 0,
    device: str = "auto",
    data_dir: Path | None = None,
    again: bool = False,
    json: bool = False,
) -> int:
    """Measure pools against real images: FID, precision, domain gap, memorisation and more.

    Parameters
    ----------
    pools
        Pools by the first digits of their hash or by path; class folders, .npz or parquet that someone else
        made (these need --real). Default: all pools of the store.
    store
        Folder of the store, in which the results are saved.
    real
        Dataset of real images: a name, or a table {name = "...", ...}; default: the pool's own.
    features
        Feature space, e.g. pixels, classifier:digits, timm:resnet18:PATH, clip:ViT-B-32:PATH, inception;
        default: classifier:DATASET, for measures that do not choose their own.
    measure
        Quality measure (`mousterian list quality`); may be repeated. Default: all without required options.
    filter
        Measure only the images that this filter keeps, as trials use them: its name, or the first digits of
        the hash of its scores, which running a grid file computes; may be repeated.
    option
        MEASURE.KEY=VALUE: an option of a measure, e.g. domain_gap.patches=0; may be repeated.
    images
        Measure this many images, the first of each pool; 0: all of them.
    seed
        Seed of random choices.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    again
        Measure again what the store already has.
    json
        Print as JSON.
    """
    from mousterian.data.loading import dataset_named
    from mousterian.quality.inputs import measure_inputs
    from mousterian.quality.measurement import measured
    from mousterian.synthesis.stored_pools import pool_folders
    from mousterian.training.device import device_named
    from mousterian.training.feature_spaces import Spaces

    if images < 0:
        raise InputError(f"--images must be 0 or more, not {images}")
    measures = _chosen(measure, option, features)
    spaces = Spaces(device_named(device), data_dir)
    # Wrong names are reported once, not for every measure of every pool.
    if real:
        dataset_named(real)
    if features:
        spaces.extractor(features)
    load = partial(measure_inputs, real=real, count=images, data_dir=data_dir, filters=filter)
    measure_pool = partial(measured, spaces=spaces, store=store, seed=seed, again=again)
    folders = pool_folders(pools, store)
    rows, failures, notes = _measured(folders, measures, load, measure_pool, named=bool(pools))
    _show(rows, failures, notes, json)
    return EXIT_BAD_INPUT if failures and (measure or not rows) else EXIT_DONE


def _measured(
    folders: Sequence[Path],
    measures: Sequence[Measure],
    load: Callable[[Path], MeasureInputs],
    measured: Callable[[MeasureInputs, Measure], list[dict[str, Any]]],
    *,
    named: bool,
) -> tuple[list[dict[str, Any]], list[dict[str, str]], list[str]]:
    """Return the rows of each measure of each pool, what could not be measured and why, and the data's notes.

    Args:
        folders: pools.
        measures: measures of each.
        load: loads a pool with the real images that it is compared with.
        measured: returns the rows of one measure.
        named: whether the user named the pools; one of these that cannot be loaded is an error, but among
            all pools of the store some may be incomplete.
    """
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    notes: dict[str, None] = {}  # each once, in order
    with console(stderr=True).status("") as status:  # silent where there is no terminal
        for folder in folders:
            try:
                inputs = load(folder)
            except InputError as error:
                if named:
                    raise
                failures.append({"pool": folder.name[:8], "measure": "everything", "error": str(error)})
                continue
            notes |= dict.fromkeys(inputs.notes)
            for measure in measures:
                name = measure.plugin.name
                status.update(f"{name} of {inputs.label}")
                try:
                    rows += measured(inputs, measure.for_space(inputs.space))
                except InputError as error:
                    failures.append({"pool": inputs.label, "measure": name, "error": str(error)})
    return rows, failures, list(notes)


def _show(
    rows: Sequence[Mapping[str, Any]],
    failures: Sequence[Mapping[str, str]],
    notes: Sequence[str],
    as_json: bool,
) -> None:
    if as_json:
        print_json({"measured": rows, "failed": failures, "notes": notes})
        return
    out = console()
    pools = list(dict.fromkeys(row["pool"] for row in rows))
    for start in range(0, len(pools), _POOLS_PER_TABLE):
        shown = pools[start : start + _POOLS_PER_TABLE]
        out.print(_comparison([row for row in rows if row["pool"] in shown]))
    for failure in failures:
        out.print(
            f"not measured: {failure['measure']} of {failure['pool']}: {failure['error']}", highlight=False
        )
    show_notes(notes, out)


def _comparison(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table with a line for each quantity and feature space and a column for each pool."""
    pools = {row["pool"]: _heading(row) for row in rows}
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if "." in row["quantity"]:  # of one class: only in the store and in --json
            continue
        names = {"quantity": row["quantity"], "features": row["features"]}
        line = lines.setdefault(tuple(names.values()), names | dict.fromkeys(pools.values()))
        line[pools[row["pool"]]] = row["value"]
    shown = list(lines.values())
    return table("", shown, keep=tuple(shown[0]))


def _heading(row: Mapping[str, Any]) -> str:
    size = row["n_base"] or row["n_upstream"]
    filters = [each["name"] for each in json_module.loads(row["filters"] or "[]")]
    sizes = [str(size)] if size else []
    return " ".join([row["generator"], row["trained_on"], *sizes, row["pool"][:8], *filters])


def _chosen(names: Sequence[str], options: Sequence[str], features: str) -> list[Measure]:
    """Return the named measures, or all without required options, with their options.

    Args:
        names: names of measures.
        options: `MEASURE.KEY=VALUE` texts.
        features: feature space of measures whose options name none; empty: each pool's own.

    Raises:
        InputError: an unknown measure or option, or an option of a measure that is not named.
    """
    from mousterian.quality.measurement import Measure

    given: dict[str, list[str]] = {}
    for text in options:
        measure, dot, rest = text.partition(".")
        if not dot:
            raise InputError(f"--option takes MEASURE.KEY=VALUE, not {text!r}")
        given.setdefault(registry.find("quality", measure).name, []).append(rest)
    chosen = [registry.find("quality", name) for name in names] or [
        plugin
        for plugin in registry.working("quality").values()
        if plugin.name in given or not any(option.required for option in plugin.options.values())
    ]
    if unused := set(given) - {plugin.name for plugin in chosen}:
        raise InputError(
            f"--option is given for the measure {sorted(unused)[0]!r}, which --measure does not name"
        )
    return [Measure(plugin, _options_of(plugin, given.get(plugin.name, []), features)) for plugin in chosen]


def _options_of(plugin: Plugin, texts: Sequence[str], features: str) -> dict[str, Any]:
    from mousterian.plugins.key_value import parsed_options

    values = parsed_options(plugin, texts, flag="--option")
    if features and "features" in plugin.options:
        values.setdefault("features", features)
    return plugin.resolve(values)
