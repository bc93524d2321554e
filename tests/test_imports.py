"""The rules of the house: which room imports which, no cycles, no private modules, a closed root."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import ROOT, TINY_GRID

from mousterian.cli.app import commands

PACKAGE = ROOT / "mousterian"
HEAVY = ("torch", "pandas", "scipy", "seaborn", "torchvision", "diffusers")

# Arrows run down: a room imports rooms before it in its wing; every room may import `store` and the base.
LEFT = ("plugins", "data", "training", "synthesis", "quality", "trials", "executors", "cli")
RIGHT = ("plugins", "fitting", "answers", "reporting", "cli")
BASE = {"errors", "files", "seeds"}
ROOMS = {*LEFT, *RIGHT, "store"}
ABOVE = {"__init__", "__main__", "api"}  # they may import rooms, and no room imports them
MAY = {room: {*BASE, "store"} for room in ROOMS - {"plugins"}} | {"store": BASE, "plugins": BASE}
for wing in (LEFT, RIGHT):
    for place, room in enumerate(wing):
        MAY[room] = MAY[room] | set(wing[:place])
MAY |= {"errors": set(), "seeds": {"errors"}, "files": {"errors"}, "__main__": {"cli", "errors"}}
MAY |= {"api": MAY["reporting"] | {"reporting"}, "__init__": {"api"}}

FILES = {path.relative_to(ROOT): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in FILES}


def imports(path: Path) -> set[str]:
    """Return the package's modules that a file imports, also inside functions and under TYPE_CHECKING."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mousterian":
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in named}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "mousterian"}
    return found


def room_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


ARROWS = {
    ".".join(name.with_suffix("").parts).removesuffix(".__init__"): imports(path)
    for name, path in FILES.items()
}


@pytest.mark.parametrize("module", ARROWS)
def test_a_file_imports_what_its_room_may(module: str) -> None:
    here = room_of(module)
    strangers = {each for each in ARROWS[module] if room_of(each) not in MAY[here] | {here}}
    assert strangers - {"mousterian"} == set()  # the version alone
    private = {each for each in ARROWS[module] if "._" in each and room_of(each) != here}
    assert private == set()


def test_there_are_no_import_cycles() -> None:
    try:
        TopologicalSorter(ARROWS).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_package_has_its_rooms_and_nothing_else_at_its_root() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    files = {path.stem for path in PACKAGE.glob("*.py")}
    assert (folders, files) == (ROOMS, ABOVE | BASE)


def loaded_by(code: str) -> set[str]:
    """Return the heavy packages that a new Python process has loaded after running `code`."""
    check = f"{code}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


COMMANDS = [
    [name] if name in functions else [group, name]
    for group, functions in commands().items()
    for name in functions
]


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], *([*each, "--help"] for each in COMMANDS)], ids=" ".join
)
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"import mousterian.__main__ as m\ntry:\n    m.main({arguments})\nexcept SystemExit: pass"
    assert loaded_by(code) == set()


def test_planning_a_grid_does_not_import_torch(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY_GRID.replace('"small_cnn", width = 4', '"resnet110"'))
    code = "from pathlib import Path\nfrom mousterian.trials import grid\n"
    code += f"assert grid.read(Path({str(path)!r}))[0]"
    assert "torch" not in loaded_by(code)


# Without torch: fitting, planning and reporting from a table, plug-ins and the store.
FREE_ROOMS = {"plugins", "store", "fitting", "answers", "reporting", "api"}
TORCH_FREE = sorted(module for module in ARROWS if room_of(module) in FREE_ROOMS)


def test_right_of_the_store_nothing_imports_torch() -> None:
    names = ", ".join(repr(module) for module in TORCH_FREE)
    code = f"from importlib import import_module\nfor each in ({names}): import_module(each)"
    assert not loaded_by(code) & {"torch", "torchvision", "diffusers"}
