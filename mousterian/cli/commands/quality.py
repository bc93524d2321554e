"""`mousterian quality`."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mousterian.cli.commands import STORE
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.plugins.key_value import parsed_options
from mousterian.plugins.spec import Plugin

if TYPE_CHECKING:
    from rich.table import Table

    from mousterian.quality.measurement import Measure


EXIT_DONE, EXIT_BAD_INPUT = 0, 2
_ABREAST = 4  # pools in one table

EXIT_DONE, EXIT_BAD_INPUT = 0, 2
_ABREAST = 4  # pools in one table


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
        made (then name --real). None: all pools of the store.
    store
        Folder of the store; what is measured is kept in it.
    real
        Dataset of real images: a name, or a table {name = "...", ...}; default: the pool's own.
    features
        Feature space, e.g. pixels, classifier:digits, timm:resnet18:PATH, clip:ViT-B-32:PATH, inception;
        default: classifier:DATASET for all measures that do not choose themselves.
    measure
        Quality measure; may be repeated. None: all that need no option. `mousterian list quality` shows them.
    filter
        Measure only what this filter keeps of the pool, as trials see it: its name, or the first digits of
        its scores' hash; a grid file made these; may be repeated.
    option
        MEASURE.KEY=VALUE: an option of a measure, e.g. domain_gap.patches=0; may be repeated.
    images
        Measure so many images, the first of each pool; 0: all that are there.
    seed
        Seed of random choices.
    device
        cpu, cuda, cuda:1, or auto.
    data_dir
        Folder of the datasets; default: MOUSTERIAN_DATA, else a cache folder.
    again
        Measure again what the store has.
    json
        Print as JSON.
    """
    from mousterian.cli.console import console
    from mousterian.data.loading import dataset_named
    from mousterian.errors import InputError
    from mousterian.quality import measurement
    from mousterian.quality.inputs import measure_inputs
    from mousterian.synthesis.stored_pools import pool_folders
    from mousterian.training.device import device_named
    from mousterian.training.feature_spaces import Spaces

    if images < 0:
        raise InputError(f"--images is {images}, and must not be below 0")
    wanted = _chosen(measure, option, features)
    spaces = Spaces(device_named(device), data_dir)
    # Wrong names are refused once, not by every measure of every pool.
    if real:
        dataset_named(real)
    if features:
        spaces.extractor(features)
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    with console(stderr=True).status("") as status:  # silent where nobody watches
        for place in pool_folders(pools, store):
            try:
                each = measure_inputs(place, real, images, data_dir, filter)
            except InputError as error:
                # One that is named is wanted; of all pools of the store, some may just be in the making.
                if pools:
                    raise
                failures.append({"pool": place.name[:8], "measure": "everything", "error": str(error)})
                continue
            for asked in wanted:
                status.update(f"{asked.plugin.name} of {each.label}")
                space = asked.for_space(each.space)
                try:
                    rows += measurement.measured(each, space, spaces, store=store, seed=seed, again=again)
                except InputError as error:
                    failures.append({"pool": each.label, "measure": asked.plugin.name, "error": str(error)})
    _show(rows, failures, json)
    return EXIT_BAD_INPUT if failures and (measure or not rows) else EXIT_DONE


def _show(rows: Sequence[Mapping[str, Any]], failures: Sequence[Mapping[str, str]], as_json: bool) -> None:
    from mousterian.cli.console import console, print_json

    if as_json:
        print_json({"measured": rows, "failed": failures})
        return
    out = console()
    pools = list(dict.fromkeys(row["pool"] for row in rows))
    for start in range(0, len(pools), _ABREAST):
        abreast = pools[start : start + _ABREAST]
        out.print(_beside([row for row in rows if row["pool"] in abreast]))
    for failure in failures:
        out.print(
            f"not measured: {failure['measure']} of {failure['pool']}: {failure['error']}", highlight=False
        )


def _beside(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of a line for each quantity and space and a column for each pool."""
    from mousterian.cli.console import table

    pools = {row["pool"]: _heading(row) for row in rows}
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if "." in row["quantity"]:  # of one class; in the store and in --json
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
    """Return the measures of these names, or all that need no option, with their options.

    Args:
        names: of measures.
        options: `MEASURE.KEY=VALUE` texts.
        features: the feature space of measures whose options name none; empty for each pool's own.

    Raises:
        InputError: an unknown measure or option, or an option of a measure that is not asked for.
    """
    from mousterian.quality.measurement import Measure

    given: dict[str, list[str]] = {}
    for text in options:
        measure, dot, rest = text.partition(".")
        if not dot:
            raise InputError(f"--option takes MEASURE.KEY=VALUE, not {text!r}")
        given.setdefault(registry.find("quality", measure).name, []).append(rest)
    wanted = [registry.find("quality", name) for name in names] or [
        plugin
        for plugin in registry.working("quality").values()
        if plugin.name in given or not any(option.required for option in plugin.options.values())
    ]
    if unused := set(given) - {plugin.name for plugin in wanted}:
        raise InputError(f"--option is given for {sorted(unused)[0]!r}, which --measure does not name")
    return [Measure(plugin, _options(plugin, given.get(plugin.name, []), features)) for plugin in wanted]


def _options(plugin: Plugin, texts: Sequence[str], features: str) -> dict[str, Any]:
    values = parsed_options(plugin, texts, flag="--option")
    if features and "features" in plugin.options:
        values.setdefault("features", features)
    return plugin.resolve(values)
