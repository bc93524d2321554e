"""The reference pages, generated from the code when the site is built, so that they cannot differ from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from itertools import groupby

from sphinx.application import Sphinx

from mousterian.cli import app
from mousterian.cli.app import Argument
from mousterian.plugins import registry
from mousterian.plugins.contract import kinds
from mousterian.store.schema import COLUMNS, SCHEMA_VERSION
from mousterian.training import recipes


def commands() -> str:
    """Return every command with its arguments."""
    parts = []
    for command, functions in app.commands().items():
        for name, text in functions.items():
            function = app.function_of(command, name)
            arguments = app.arguments(function)
            title = command if command in functions else f"{command} {name}"
            usage = " ".join(
                ["mousterian", title, *(a.name for a in arguments if not a.name.startswith("-"))]
            )
            description = text.partition("\n\nParameters")[0]
            parts += [
                f"## `mousterian {title}`",
                description,
                f"```sh\n{usage} [options]\n```",
                _arguments(arguments),
            ]
    return "\n\n".join(parts)


def _arguments(arguments: list[Argument]) -> str:
    rows = [(f"`{a.name}`", a.default or "required", a.meaning) for a in arguments]
    return _table(("argument", "default", "meaning"), rows)


def columns() -> str:
    """Return every column of the store with its type and meaning, by group."""
    parts = [f"Version {SCHEMA_VERSION} of the columns."]
    for group, members in groupby(COLUMNS, key=lambda column: column.group):
        rows = [(f"`{column.name}`", column.type, column.meaning) for column in members]
        parts += [f"## {group.capitalize()}", _table(("column", "type", "meaning"), rows)]
    return "\n\n".join(parts)


def plugin_kinds() -> str:
    """Return every plug-in that ships with mousterian, with its options and its help."""
    parts = []
    for kind, about_kind in kinds().items():
        parts.append(f"## {kind.capitalize()}")
        for name, plugin in registry.working(kind).items():
            if not plugin.module.startswith("mousterian."):
                continue
            about = plugin.help.partition("\n\nArgs:")[0].partition("\n\nRaises:")[0]
            parts += [f"### {name} ({about_kind.singular})", _literal(about)]
            options = [
                (f"`{o.name}`", f"`{o.annotation}`", "required" if o.required else f"`{o.default!r}`")
                for o in plugin.options.values()
            ]
            parts += [_table(("option", "type", "default"), options)] if options else []
    return "\n\n".join(parts)


def recipe_rows() -> str:
    """Return the training recipes, each with the values that it sets."""
    rows = [
        (f"`{name}`", ", ".join(f"{key} {value}" for key, value in _values(name).items()))
        for name in recipes.names()
    ]
    return _table(("recipe", "values"), rows)


def _values(name: str) -> dict[str, object]:
    found = recipes.recipe(name).model_dump(mode="json", exclude_none=True)
    return {key: value for key, value in found.items() if key != "name"}


def _literal(text: str) -> str:
    """Return a docstring's prose with all markup escaped."""
    return (
        inspect.cleandoc(text)
        .replace("*", "\\*")
        .replace("_", "\\_")
        .replace("<", "&lt;")
        .replace("$", "\\$")
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# `<!-- NAME -->` in a page is replaced by what its function returns.
GENERATED: dict[str, Callable[[], str]] = {
    "commands": commands,
    "columns": columns,
    "plugins": plugin_kinds,
    "recipes": recipe_rows,
}


def _fill(app: Sphinx, page: str, source: list[str]) -> None:
    for name, write in GENERATED.items():
        marker = f"<!-- {name} -->"
        if marker in source[0]:
            source[0] = source[0].replace(marker, write())


def setup(app: Sphinx) -> dict[str, bool]:
    """Fill the reference pages as they are read."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
