"""What `mousterian quality` does: measures pools, keeps the values in the store and shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.table import Table

from mousterian import plugins, provenance
from mousterian.console import console, print_json, table
from mousterian.errors import InputError
from mousterian.features import Spaces, dataset_named, space_stamp
from mousterian.options import given_as_text
from mousterian.plugins import Plugin
from mousterian.quality._context import Context, Points
from mousterian.qualityfiles import QUALITY_VERSION, QualityTable
from mousterian.seeds import canonical, digest
from mousterian.subjects import Subject, names, subject
from mousterian.supply import device_named

EXIT_DONE, EXIT_BAD_INPUT = 0, 2
_ABREAST = 4  # pools in one table


@dataclass(frozen=True)
class Request:
    """What the command line asks for; see `mousterian quality --help`."""

    pools: tuple[str, ...]
    store: Path
    real: str
    features: str
    measures: tuple[str, ...]
    filters: tuple[str, ...]
    options: tuple[str, ...]
    images: int
    seed: int
    device: str
    data_dir: Path | None
    again: bool


@dataclass(frozen=True)
class Measure:
    """A quality measure with the values of its options; `features` is empty where the pool decides."""

    plugin: Plugin
    options: Mapping[str, Any]

    def for_space(self, space: str) -> Measure:
        """Return the measure with that feature space where it has not chosen one."""
        if self.options.get("features", space):
            return self
        return Measure(self.plugin, {**self.options, "features": space})


def run(request: Request, as_json: bool) -> int:
    """Measure pools and show what was found; return the exit code."""
    if request.images < 0:
        raise InputError(f"--images is {request.images}, and must not be below 0")
    measures = chosen(request)
    device = device_named(request.device)
    spaces = Spaces(device, request.data_dir)
    # Wrong names are refused once, not by every measure of every pool.
    if request.real:
        dataset_named(request.real)
    if request.features:
        spaces.extractor(request.features)
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    with console(stderr=True).status("") as status:  # silent where nobody watches
        for place in names(request.pools, request.store):
            try:
                each = subject(place, request.real, request.images, request.data_dir, request.filters)
            except InputError as error:
                # One that is named is wanted; of all pools of the store, some may just be in the making.
                if request.pools:
                    raise
                failures.append({"pool": place.name[:8], "measure": "everything", "error": str(error)})
                continue
            for measure in measures:
                status.update(f"{measure.plugin.name} of {each.label}")
                try:
                    rows += measured(each, measure.for_space(each.space), request, spaces)
                except InputError as error:
                    failures.append({"pool": each.label, "measure": measure.plugin.name, "error": str(error)})
    _show(rows, failures, as_json)
    return EXIT_BAD_INPUT if failures and (request.measures or not rows) else EXIT_DONE


def chosen(request: Request) -> list[Measure]:
    """Return the measures that are asked for, or all that need no option, with their options.

    Raises:
        InputError: an unknown measure or option, or an option of a measure that is not asked for.
    """
    given: dict[str, list[str]] = {}
    for text in request.options:
        measure, dot, rest = text.partition(".")
        if not dot:
            raise InputError(f"--option takes MEASURE.KEY=VALUE, not {text!r}")
        given.setdefault(plugins.find("quality", measure).name, []).append(rest)
    wanted = [plugins.find("quality", name) for name in request.measures] or [
        plugin
        for plugin in plugins.working("quality").values()
        if plugin.name in given or not any(option.required for option in plugin.options.values())
    ]
    if unused := set(given) - {plugin.name for plugin in wanted}:
        raise InputError(f"--option is given for {sorted(unused)[0]!r}, which --measure does not name")
    return [
        Measure(plugin, _options(plugin, given.get(plugin.name, []), request.features)) for plugin in wanted
    ]


def _options(plugin: Plugin, texts: Sequence[str], features: str) -> dict[str, Any]:
    values = given_as_text(plugin, texts, flag="--option")
    if features and "features" in plugin.options:
        values.setdefault("features", features)
    return plugin.resolve(values)


def measured(each: Subject, measure: Measure, request: Request, spaces: Spaces) -> list[dict[str, Any]]:
    """Return the rows of one measure of one pool, from the store where it has them.

    Raises:
        InputError: the measure cannot be taken.
    """
    identity = _identity_columns(each, measure, request)
    kept = QualityTable(request.store)
    rows = [] if request.again else kept.rows(identity["measurement"])
    if rows:
        return rows
    points: list[Points] = []
    context = Context(spaces, each.space, request.seed, each.seen, each.prompts, points.append)
    started = time.perf_counter()
    values = measure.plugin.load()(each.pool, each.real, each.test, context, **measure.options)
    common = {
        **identity,
        **_pool_columns(each),
        "seconds": time.perf_counter() - started,
        "device": _device_label(spaces.device),
        **{name: value for name, value in provenance.columns("").items() if name != "grid"},
    }
    rows = [{**common, "quantity": name, "value": float(value)} for name, value in values.items()]
    for picture in points:
        kept.write_points(identity["measurement"], _point_columns(picture))
    kept.write(rows)
    return rows


def _identity_columns(each: Subject, measure: Measure, request: Request) -> dict[str, Any]:
    """Return all that decides a measure's values, and the hash of it."""
    features = measure.options.get("features", "")
    columns = {
        "quality_version": QUALITY_VERSION,
        "pool": each.identity.key,
        "images": len(each.pool),
        "dataset": each.dataset.name,
        "dataset_options": each.dataset.json,
        "measure": measure.plugin.name,
        "measure_options": canonical(dict(measure.options)),
        "features": features,
        "features_stamp": _stamp(features, request.data_dir) if features else "",
        "seed": request.seed,
    }
    filters = canonical([json.loads(sieve.text) for sieve in each.sieves]) if each.sieves else ""
    # Left out where there are none, so that older measurements of whole pools keep their names.
    named = {"filters": filters} if filters else {}
    measurement = digest({**columns, **named, "dataset_stamp": each.dataset.stamp})
    return {"measurement": measurement, **columns, "filters": filters}


@cache
def _stamp(features: str, data_dir: Path | None) -> str:
    """Return the stamp of a space's files; read once, as weights may be large."""
    return space_stamp(features, data_dir)


def _pool_columns(each: Subject) -> dict[str, Any]:
    identity = each.identity
    return {
        "generator": identity.generator,
        "trained_on": identity.trained_on,
        "n_base": identity.n_base,
        "n_upstream": identity.n_upstream,
        "generator_options": canonical(dict(identity.options)),
        "generator_seed": identity.seed,
        "subset_seed": identity.subset_seed,
        "real_images": len(each.real),
        "test_images": len(each.test),
    }


def _point_columns(points: Points) -> dict[str, Any]:
    x, y = points.at.T
    return {"x": x, "y": y, "synthetic": points.synthetic, "label": points.labels}


def _device_label(device: str) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def _show(rows: Sequence[Mapping[str, Any]], failures: Sequence[Mapping[str, str]], as_json: bool) -> None:
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
    filters = [each["name"] for each in json.loads(row["filters"] or "[]")]
    sizes = [str(size)] if size else []
    return " ".join([row["generator"], row["trained_on"], *sizes, row["pool"][:8], *filters])
