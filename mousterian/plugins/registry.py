"""The only lookup: a plug-in's name is its file's name; third parties come in by entry points.

Files are read as text, never imported, to learn what is there: a plug-in's entry function, its
keyword-only arguments (its options) and its docstring (its help) are all in its source. So a grid
file is checked without importing torch, and a broken plug-in spoils only its own trials.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from mousterian.errors import InputError, unknown_name
from mousterian.plugins.contract import kind_named
from mousterian.plugins.source import read
from mousterian.plugins.spec import Plugin

_log = logging.getLogger(__name__)


def _read_or_broken(kind: str, name: str, module: str, source: Path | EntryPoint) -> Plugin:
    """Read a plug-in; one that cannot be used is kept with its error, so that the others of its kind work."""
    try:
        path, function = _path_of(source) if isinstance(source, EntryPoint) else (source, "")
        return read(kind, name, module, path, function)
    except InputError as error:
        return Plugin(kind, name, module, "", f"broken: {error}", broken=str(error))


def _path_of(point: EntryPoint) -> tuple[Path, str]:
    """Return the file that an entry point names, and the function, if it names one."""
    module, _, function = point.value.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except Exception:  # the package around the module is imported, and may raise anything
        spec = None
    if spec is None or spec.origin is None:
        raise InputError(
            f"the entry point {point.name!r} names a module that cannot be found: {module}",
            where=f"entry points of {_package(point)}",
        )
    return Path(spec.origin), function


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an installed package"


@cache
def available(kind: str) -> Mapping[str, Plugin]:
    """Return all plug-ins of a kind by name, ours first, then third parties'; `broken` ones too."""
    contract = kind_named(kind)
    found = {
        path.stem: _read_or_broken(kind, path.stem, contract.module(path.stem), path)
        for path in contract.files()
    }
    for point in entry_points(group=f"mousterian.{kind}"):
        if point.name in found:
            _log.warning(
                "%s %r of %s is left out: there is one of that name already; give it another name",
                *(kind, point.name, _package(point)),
            )
            continue
        module = point.value.partition(":")[0]
        found[point.name] = _read_or_broken(kind, point.name, module, point)
    return found


def working(kind: str) -> Mapping[str, Plugin]:
    """Return the plug-ins of a kind that can be used, by name."""
    return {name: plugin for name, plugin in available(kind).items() if not plugin.broken}


@cache
def find(kind: str, name: str) -> Plugin:
    """Return the plug-in of that name; a file with `members()` stands for all the names that it returns.

    Raises:
        InputError: no plug-in has that name (the message has the nearest one), or it is broken.
    """
    plugins = available(kind)
    if name in plugins:
        if plugins[name].broken:
            raise InputError(f"{plugins[name].label} cannot be used: {plugins[name].broken}")
        return plugins[name]
    names = set(plugins)
    for plugin in plugins.values():
        if "members" in plugin.parts:
            members = set(plugin.part("members")())
            if name in members:
                return replace(plugin, name=name, preset={"name": name})
            names |= members
    what, hint = kind_named(kind).singular, f"`mousterian list {kind}` shows what there is"
    raise unknown_name(what, name, names, hint=hint)
