"""The kinds of plug-ins and what their modules must and may have, read from the rooms' `kinds.py` as text."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from mousterian.errors import unknown_name
from mousterian.plugins.kinds import plugin_kind

_PACKAGE = Path(__file__).parents[1]
# Contracts of `plugins/kinds.py` that a plug-in of any kind may fulfil.
_OF_EVERY_KIND = ("WithAddedOptions", "WithRevision", "WithNestedPlugins")


@dataclass(frozen=True)
class Contract:
    """One Protocol.

    Attributes:
        module, name: where it is, and its name.
        functions: names of its functions, in their order.
        constants: its properties, each with its type.
    """

    module: str
    name: str
    functions: tuple[str, ...]
    constants: Mapping[str, str]

    @property
    def parts(self) -> frozenset[str]:
        """Names of all that a module has that fulfils it."""
        return frozenset({*self.functions, *self.constants})


@dataclass(frozen=True)
class Kind:
    """One kind of plug-ins.

    Attributes:
        name: e.g. "strategies".
        singular: what messages call one of them.
        folder: where ours are, under the package.
        forms: contracts, one of which a plug-in fulfils; the first function of each is its entry.
        optional: contracts that it may fulfil besides.
    """

    name: str
    singular: str
    folder: Path
    forms: tuple[Contract, ...]
    optional: tuple[Contract, ...]

    @property
    def entries(self) -> dict[str, Contract]:
        """Entry function -> the contract that it belongs to."""
        return {form.functions[0]: form for form in self.forms}

    @property
    def parts(self) -> frozenset[str]:
        """Names of all that a plug-in's module must or may have."""
        return frozenset().union(*(each.parts for each in (*self.forms, *self.optional)))

    @property
    def constants(self) -> dict[str, str]:
        """Constants that a module must or may have, each with its type."""
        return {name: kind for each in (*self.forms, *self.optional) for name, kind in each.constants.items()}

    def module(self, name: str) -> str:
        """Return the module of our plug-in of that name."""
        return ".".join(("mousterian", *self.folder.parts, name))

    def files(self) -> list[Path]:
        """Return the files of our plug-ins, by name."""
        return sorted((_PACKAGE / self.folder).glob("[!_]*.py"))


@cache
def kinds() -> Mapping[str, Kind]:
    """Return all kinds, by name."""
    shared = _classes("plugins")
    every = tuple(shared[each][0] for each in _OF_EVERY_KIND)
    found: dict[str, Kind] = {}
    for room in sorted(path.parent.name for path in _PACKAGE.glob("*/kinds.py")):
        own = _classes(room)
        contracts = {name: contract for name, (contract, _) in (shared | own).items()}
        for contract, marks in own.values():
            for mark in marks:
                name, singular, folder, optional = _given(mark)
                kind = found.get(name) or Kind(name, singular, Path(room, folder), (), every)
                new = tuple(contracts[each] for each in optional if contracts[each] not in kind.optional)
                found[name] = replace(kind, forms=(*kind.forms, contract), optional=(*kind.optional, *new))
    return dict(sorted(found.items()))


def kind_named(name: str) -> Kind:
    """Return the kind of that name.

    Raises:
        InputError: there is none.
    """
    if name not in kinds():
        raise unknown_name("kind of plug-in", name, kinds())
    return kinds()[name]


def _classes(room: str) -> dict[str, tuple[Contract, list[ast.Call]]]:
    """Return the classes of a room's `kinds.py` as contracts, each with its `plugin_kind(...)` marks."""
    tree = ast.parse((_PACKAGE / room / "kinds.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            marks = [each for each in node.decorator_list if isinstance(each, ast.Call)]
            marks = [each for each in marks if ast.unparse(each.func) == plugin_kind.__name__]
            found[node.name] = (_contract(room, node), marks)
    return found


def _contract(room: str, node: ast.ClassDef) -> Contract:
    members = [each for each in node.body if isinstance(each, ast.FunctionDef)]
    constants = {
        each.name: ast.unparse(each.returns) for each in members if each.decorator_list and each.returns
    }
    functions = tuple(each.name for each in members if each.name not in constants)
    return Contract(f"mousterian.{room}.kinds", node.name, functions, constants)


def _given(mark: ast.Call) -> tuple[str, str, str, list[str]]:
    """Return what `plugin_kind` is given: name, singular, folder, and names of the optional contracts."""
    given = {word.arg: word.value for word in mark.keywords}
    optional = given.pop("optional", None)
    name: str = ast.literal_eval(mark.args[0])
    texts = {key: ast.literal_eval(value) for key, value in given.items()}
    singular, folder = texts.get("singular", name.removesuffix("s")), texts.get("folder", name)
    names = [ast.unparse(each) for each in optional.elts] if isinstance(optional, ast.Tuple) else []
    return name, singular, folder, names
