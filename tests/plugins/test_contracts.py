"""Every plug-in fulfils the Protocols of its kind: mypy says so, and says so of no module that does not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from conftest import ROOT
from examples import EXAMPLES, PAGE, write_package

from mousterian.plugins import registry
from mousterian.plugins import source as plugin_source
from mousterian.plugins.contract import Contract, kinds
from mousterian.plugins.spec import Plugin

CACHE = ROOT / ".mypy_cache" / "plugins"  # of its own, as it has no function's body
# Modules that break a contract, each with the Protocol that it breaks.
WRONG = {
    "DatasetPlugin": "def load(split: str, *, path: str) -> str: return path",
    "ModelPlugin": "def build(classes: int, shape: str, *, width: int = 8) -> None: ...",
    "StrategyPlugin": "def training() -> None: ...",
    "ObservingEvaluationPlugin": "def observe(images: object, device: object) -> object: return images",
    "WithStamp": "def stamp(data_dir: int, *, path: str) -> str: return path",
    "WithMembers": "def members() -> int: return 3",
    "FigureWithPlace": "PLACE = 'first'",
    "SurfacePlugin": "def accuracy(n_base: float, *, a: float) -> float: return a",
    "NonparametricBaseline": "REFEREE = 1.5",
}


def contracts_of(plugin: Plugin) -> list[Contract]:
    """Return the Protocols that a plug-in's module has to fulfil."""
    kind = kinds()[plugin.kind]
    return [kind.entries[plugin.function], *(each for each in kind.optional if each.parts & plugin.parts)]


def mypy(*modules: str, path: Path) -> str:
    """Return what mypy prints of modules; what they import is read for its types alone."""
    named = [word for module in modules for word in ("-m", module)]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--follow-imports=silent", f"--cache-dir={CACHE}", *named],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": os.pathsep.join([str(path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_mypy_accepts_every_plug_in_as_its_protocols_and_no_module_that_breaks_one(tmp_path: Path) -> None:
    package = write_package(tmp_path)
    plugins = [plugin for kind in kinds() for plugin in registry.working(kind).values()]
    for kind, (name, _) in EXAMPLES.items():
        plugins.append(plugin_source.read(kind, name, f"my_package.{name}", package / f"{name}.py"))
    checks = [(plugin.module, contract) for plugin in plugins for contract in contracts_of(plugin)]
    right = len(checks)
    known = {each.name: each for kind in kinds().values() for each in (*kind.forms, *kind.optional)}
    for protocol, text in WRONG.items():
        (package / f"wrong_{protocol}.py").write_text(text)
        checks.append((f"my_package.wrong_{protocol}", known[protocol]))
    lines = [
        f"import {module}; import {contract.module}; _{number}: {contract.module}.{contract.name} = {module}"
        for number, (module, contract) in enumerate(checks)
    ]
    (tmp_path / "checked_plugins.py").write_text("\n".join(lines))
    examples = [f"my_package.{name}" for name, _ in EXAMPLES.values()]
    printed = mypy("checked_plugins", *examples, path=tmp_path)
    refused = [int(line) - 1 for line in re.findall(r"checked_plugins\.py:(\d+): error: Incompat", printed)]
    assert [checks[line] for line in refused] == checks[right:], printed
    assert printed.count(" error: ") == len(refused), printed  # none in the examples


def test_the_page_about_own_plug_ins_shows_every_protocol() -> None:
    text = PAGE.read_text()
    for kind in kinds().values():
        for each in (*kind.forms, *kind.optional):
            path = each.module.replace(".", "/")
            shown = f"{{literalinclude}} ../../{path}.py\n:language: python\n:pyobject: {each.name}\n"
            assert shown in text, each.name
