"""The prompts of a pool: written once by a prompt maker and kept beside the images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mousterian.errors import InputError, first_of
from mousterian.files import write_atomically
from mousterian.plugins import registry
from mousterian.synthesis.kinds import GeneratorContext

COUNT = 200  # prompts a class where the table does not say; He et al.'s number of sentences


def written(
    given: str | Mapping[str, Any], context: GeneratorContext, class_names: Sequence[str] | None = None
) -> list[list[str]]:
    """Return the prompts of each class: those kept in the pool's folder, or new ones, which are kept.

    Args:
        given: a prompt maker's name, or a table with `name`, `count` (prompts a class) and its options.
        context: classes, seed and folder.
        class_names: names that prompts are to be written from; the context's if not given.

    Raises:
        InputError: an unknown prompt maker or option, or a class without prompts.
    """
    there = kept(context)
    if there is not None:
        return there
    names = tuple(class_names or context.class_names)
    prompts = _made(given, names, context.seed)
    without = [name for name, texts in zip(names, prompts, strict=True) if not texts]
    if without:
        raise InputError(f"no prompts were written for {first_of(without)}", where=f"prompts {given}")
    context.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(_path(context), json.dumps(prompts, indent=1, ensure_ascii=False).encode())
    return prompts


def kept(context: GeneratorContext) -> list[list[str]] | None:
    """Return the prompts kept in the pool's folder, None if there are none yet.

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


def _made(given: str | Mapping[str, Any], names: tuple[str, ...], seed: int) -> list[list[str]]:
    table = {"name": given} if isinstance(given, str) else dict(given)
    name, count = table.pop("name", None), table.pop("count", COUNT)
    if not isinstance(name, str):
        raise InputError("the table of prompts has no name", hint='give e.g. prompts = {name = "templates"}')
    if not isinstance(count, int) or count < 1:
        raise InputError(f"count must be a whole number of prompts, not {count!r}", where=f"prompts {name}")
    plugin = registry.find("prompts", name)
    made: list[list[str]] = plugin.load()(names, count, seed, **plugin.resolve(table), **plugin.preset)
    return made
