"""The prompts of a pool: written once by a prompt maker and saved with the images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, first_of
from mousterian.files import write_atomically
from mousterian.plugins import registry
from mousterian.plugins.spec import Plugin
from mousterian.synthesis.kinds import GeneratorContext

COUNT = 200  # prompts per class by default; He et al.'s number of sentences


def pool_prompts(
    given: str | Mapping[str, Any], context: GeneratorContext, class_names: Sequence[str] | None = None
) -> list[list[str]]:
    """Return the prompts of each class: those saved in the pool's folder, or new ones, which are saved.

    Args:
        given: a prompt maker's name, or a table with `name`, `count` (prompts per class) and its options.
        context: classes, seed and folder.
        class_names: names to write prompts from; None for the context's.

    Raises:
        InputError: an unknown prompt maker or option, or a class without prompts.
    """
    saved = saved_prompts(context)
    if saved is not None:
        return saved
    names = tuple(class_names or context.class_names)
    prompts = _made(given, names, context.seed)
    missing = [name for name, texts in zip(names, prompts, strict=True) if not texts]
    if missing:
        raise InputError(f"no prompts were written for {first_of(missing)}", where=f"prompts {given}")
    context.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(context), json.dumps(prompts, indent=1, ensure_ascii=False).encode())
    return prompts


def saved_prompts(context: GeneratorContext) -> list[list[str]] | None:
    """Return the prompts saved in the pool's folder; None if there are none yet.

    Raises:
        InputError: they cannot be read.
    """
    path = _path(context)
    try:
        texts: list[list[str]] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise InputError(
            f"the pool's prompts cannot be read ({error})", where=str(path), hint="delete the pool's folder"
        ) from error
    return texts


def _path(context: GeneratorContext) -> Path:
    return context.folder / "prompts.json"


def prompts_revisions(*, prompts: str | Mapping[str, Any]) -> list[int]:
    """Return the revision of the code of a prompt maker, given as for `pool_prompts`."""
    plugin, options, _ = _maker(prompts)
    return [plugin.revision(options)]


def _made(given: str | Mapping[str, Any], names: tuple[str, ...], seed: int) -> list[list[str]]:
    plugin, options, count = _maker(given)
    made: list[list[str]] = plugin.load()(names, count, seed, **options, **plugin.preset)
    return made


def _maker(given: str | Mapping[str, Any]) -> tuple[Plugin, dict[str, Any], int]:
    """Return a prompt maker, its options, and how many prompts a class to ask of it."""
    table = {"name": given} if isinstance(given, str) else dict(given)
    name, count = table.pop("name", None), table.pop("count", COUNT)
    if not isinstance(name, str):
        raise InputError("the table of prompts has no name", hint='give e.g. prompts = {name = "templates"}')
    if not isinstance(count, int) or count < 1:
        raise InputError(f"count must be a positive integer, not {count!r}", where=f"prompts {name}")
    plugin = registry.find("prompts", name)
    return plugin, plugin.resolve(table), count
