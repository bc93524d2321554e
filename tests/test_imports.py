from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TINY_GRID

PACKAGE = ROOT / "mousterian"
HEAVY = ("torch", "pandas", "scipy", "seaborn", "torchvision", "diffusers")

# DESIGN, "Who may import whom": what each part of the house may import of the rest of it.
SMALL = {"errors", "seeds"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "seeds": set(),
    "apart": set(),
    "clock": set(),
    "images": {"errors"},
    "optiontypes": set(),
    "plugins": {"optiontypes", "errors"},
    "locks": {"errors"},
    "schema": set(),
    "trialfiles": {"schema", "errors"},
    "store": {"schema", "trialfiles", "locks", "errors"},
    "decoding": {"errors"},
    "subsets": SMALL,
    "training": {"images", "store", *SMALL},
    "features": {"clip", "memory", "resizing", "plugins", "images", "datasets", "training", "store", *SMALL},
    "quality": {"features", "clip", "training", "images", "store", *SMALL},
    "qualityfiles": {"store", *SMALL},
    "options": {"plugins", *SMALL},
    "subjects": {
        "features",
        "filtering",
        "scorefiles",
        "generators",
        "pools",
        "supply",
        "trial",
        "subsets",
        "images",
        "datasets",
        *SMALL,
    },
    "measuring": {
        "console",
        "quality",
        "qualityfiles",
        "features",
        "options",
        "provenance",
        "subjects",
        "supply",
        "trial",
        "plugins",
        *SMALL,
    },
    "provenance": SMALL,
    "memory": {"errors"},
    "shards": {"store"},
    "attempt": {"evaluations", "memory", "plugins", "images", "training", *SMALL},
    "resizing": set(),
    "clip": {"resizing", *SMALL},
    "sentences": SMALL,
    "language": {"datasets", "store", "locks", *SMALL},
    "prompts": {"language", *SMALL},
    "datasets": {"images", "store", "plugins", "decoding", *SMALL},
    "generators": {
        "images",
        "decoding",
        "resizing",
        "clip",
        "language",
        "prompts",
        "plugins",
        "memory",
        "sheets",
        "training",
        "store",
        *SMALL,
    },
    "models": {"clip", "resizing", *SMALL},
    "strategies": {"sentences", "training", "images", *SMALL},
    "evaluations": {
        "features",
        "clip",
        "resizing",
        "optiontypes",
        "plugins",
        "datasets",
        "training",
        "images",
        *SMALL,
    },
    "pools": {"shards", "memory", "locks", "plugins", "images", "store", "generators", *SMALL},
    "filters": {"features", "clip", "images", *SMALL},
    "scorefiles": {"store", *SMALL},
    "filtering": {
        "scorefiles",
        "filters",
        "generators",
        "pools",
        "plugins",
        "images",
        "locks",
        "store",
        *SMALL,
    },
    "supply": {
        "filtering",
        "generators",
        "pools",
        "plugins",
        "subsets",
        "images",
        "datasets",
        *SMALL,
    },
    "orphan": set(),
    "devices": {"attempt", "supply", "memory", "training", *SMALL},
    "rows": {"supply", "schema", "provenance", "store"},
    "trial": {
        "supply",
        "filtering",
        "scorefiles",
        "attempt",
        "devices",
        "rows",
        "pools",
        "store",
        *SMALL,
    },
    "executors": {
        "options",
        "supply",
        "rows",
        "trial",
        "training",
        "store",
        "locks",
        "plugins",
        "estimate",
        "devices",
        "orphan",
        *SMALL,
    },
    "gridfile": SMALL,
    "checking": {"plugins", "images", "pools", "supply", "trial", "training", *SMALL},
    "choices": {"executors", "gridfile", "pools", "plugins", "trial", "training", *SMALL},
    "grid": {
        "choices",
        "checking",
        "datasets",
        "subsets",
        "executors",
        "gridfile",
        "options",
        "supply",
        "rows",
        "trial",
        "pools",
        "store",
        "plugins",
        "training",
        *SMALL,
    },
    "rerunning": {"console", "grid", "gridfile", "schema", "store", "trial", *SMALL},
    "sheets": {"images"},
    "looking": {
        "console",
        "filtering",
        "samples",
        "scorefiles",
        "pools",
        "sheets",
        "store",
        "subjects",
        "supply",
        *SMALL,
    },
    "generating": {
        "clock",
        "console",
        "datasets",
        "executors",
        "filtering",
        "generators",
        "grid",
        "looking",
        "plugins",
        "pools",
        "store",
        "subjects",
        "supply",
        "trial",
        *SMALL,
    },
    "commandline": {"plugins", *SMALL},
    "console": set(),
    "progress": {"clock", "executors"},
    "estimate": {"attempt", "supply", "trial", "plugins", "store", "training", "generators", *SMALL},
    "sweep": {
        "apart",
        "clock",
        "console",
        "grid",
        "progress",
        "estimate",
        "trial",
        "store",
        "executors",
        *SMALL,
    },
    "exporting": {"errors", "grid", "qualityfiles", "store"},
    "listing": {"apart", "console", "options", "plugins", "schema", "store", "datasets", "training", *SMALL},
    "surfaces": {"fitting", *SMALL},
    "fitting": {"apart", "surfaces", "plugins", "store", *SMALL},
    "published": SMALL,
    "equivalence": {"fitting", "surfaces", "published", "plugins", "store", *SMALL},
    "planning": {"suggestion", "equivalence", "fitting", *SMALL},
    "wording": {"plugins", "equivalence", "fitting", *SMALL},
    "javascript": {"plugins", *SMALL},
    "report_answers": {"javascript", "figures", "wording", "equivalence", "fitting", *SMALL},
    "report_tables": {"figures", "wording", "equivalence", "fitting", *SMALL},
    "figures": {
        "wording",
        "planning",
        "published",
        "equivalence",
        "fitting",
        "qualityfiles",
        "store",
        *SMALL,
    },
    "printing": {"figures", "options", "plugins", "equivalence", "store", *SMALL},
    "report_store": {"clock", "figures", "wording", "equivalence", *SMALL},
    "report_arms": {
        "report_answers",
        "report_store",
        "report_tables",
        "figures",
        "wording",
        "equivalence",
        "fitting",
        "plugins",
        *SMALL,
    },
    "samplefiles": {"report_store", "store", *SMALL},
    "samples": {"samplefiles", "report_store", "sheets", "images", "pools", "subjects", "supply", *SMALL},
    "reporting": {
        "report_arms",
        "report_store",
        "wording",
        "report_answers",
        "report_tables",
        "figures",
        "planning",
        "equivalence",
        "fitting",
        "plugins",
        "store",
        *SMALL,
    },
    "publishing": {
        "answers",
        "console",
        "equivalence",
        "fitting",
        "reporting",
        "samples",
        "tablefiles",
        *SMALL,
    },
    "suggestion": {"equivalence", "fitting", *SMALL},
    "tablefiles": {"equivalence", "fitting", "options", "published", "store", *SMALL},
    "watching": {
        "console",
        "grid",
        "figures",
        "wording",
        "equivalence",
        "fitting",
        "store",
        *SMALL,
    },
    "answers": {
        "tablefiles",
        "wording",
        "console",
        "reporting",
        "planning",
        "equivalence",
        "fitting",
        "published",
        *SMALL,
    },
}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    """Parts of the house that a file imports anywhere when it runs, also inside functions."""
    found = set()
    tree = ast.parse(path.read_text())
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mousterian":
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            found.update(names)
        elif isinstance(node, ast.Import):
            found.update(a.name.split(".")[1] for a in node.names if a.name.startswith("mousterian."))
    return found - {"__version__"}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_only_where_the_design_allows(path: Path) -> None:
    part = part_of(path)
    if part in {"__main__", "__init__", "verbs"}:
        return
    assert imported_parts(path) - {part} <= ALLOWED[part]


def test_nothing_imports_main() -> None:
    assert not [path for path in PACKAGE.rglob("*.py") if "__main__" in imported_parts(path)]


def loaded_by(code: str) -> set[str]:
    """Names of the heavy packages that a fresh Python has loaded after running `code`."""
    check = f"{code}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    return set(ast.literal_eval(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    code = f"import mousterian.__main__ as m\ntry:\n    m.main(['{argument}'])\nexcept SystemExit: pass"
    assert loaded_by(code) == set()


def test_planning_a_grid_does_not_import_torch(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY_GRID.replace('"small_cnn", width = 4', '"resnet110"'))
    code = f"from pathlib import Path\nfrom mousterian import grid\nassert grid.read(Path({str(path)!r}))[0]"
    assert "torch" not in loaded_by(code)


@pytest.mark.parametrize("module", ["equivalence", "planning", "reporting", "published"])
def test_right_of_the_store_nothing_imports_torch(module: str) -> None:
    assert not loaded_by(f"import mousterian.{module}") & {"torch", "torchvision", "diffusers"}
