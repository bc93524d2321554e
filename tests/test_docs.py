"""The documentation is true: commands print what it shows, Python runs, the reference is complete."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import reference
from conftest import ROOT

from mousterian import __version__
from mousterian.__main__ import main
from mousterian.cli import app
from mousterian.plugins import registry
from mousterian.plugins.contract import kinds
from mousterian.store.schema import COLUMNS
from mousterian.trials import grid

sys.path.insert(0, str(ROOT / "docs"))

PAGES = sorted((ROOT / "docs").rglob("*.md"))
PACKAGE = ROOT / "mousterian"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TOP = {"benchmarks", "docs", "fits", "grids", "mousterian", "reports", "tests"}
PROSE = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/RESULTS.md"))]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.M | re.S)
LIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Drawn lines and the spaces that keep a unit beside its number are looks, not content.
_LOOKS = str.maketrans({"─": " ", "\u202f": " ", "\xa0": " "})


def commands(page: Path) -> list[tuple[str, str]]:
    """Return each command of a page's console blocks and what it says is printed (`...`: anything)."""
    found = []
    for block in CONSOLE.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, printed = part.partition("\n")
            found.append((command, printed))
    return found


EXECUTED = [page for page in PAGES if commands(page)]


@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_its_commands_print(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("fits", "grids"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    for command, expected in commands(page):
        program, *arguments = shlex.split(command, comments=True)
        if program == "cat":  # a file that the page makes
            Path(arguments[0]).write_text(expected, encoding="utf-8")
            continue
        assert program == "mousterian"
        with pytest.raises(SystemExit):
            main(arguments)
        out, err = capsys.readouterr()
        printed = (out + err).translate(_LOOKS)
        difference = f"{page.name}: $ {command}\nprints\n{printed}\nand the page says\n{expected}"
        assert doctest.OutputChecker().check_output(expected.translate(_LOOKS), printed, LIKE), difference


@pytest.mark.parametrize(
    "page", [page for page in PAGES if ">>> " in page.read_text()], ids=lambda page: page.stem
)
def test_a_pages_doctests_hold(page: Path) -> None:
    done = doctest.testfile(str(page), module_relative=False)
    assert done.attempted > 0 and done.failed == 0


@pytest.mark.parametrize("path", [p for p in SOURCES if ">>> " in p.read_text()], ids=lambda path: path.stem)
def test_a_modules_doctests_hold(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    done = doctest.testmod(import_module(module))
    assert done.attempted > 0 and done.failed == 0


def test_the_reference_has_every_command_and_option() -> None:
    text = reference.commands()
    for verb, functions in app.commands().items():
        for name in functions:
            assert f"## `mousterian {verb if verb in functions else f'{verb} {name}'}`" in text
            for argument in app.arguments(app.function_of(verb, name)):
                assert f"| `{argument.name}` |" in text and argument.meaning.replace("|", "\\|") in text


def test_the_reference_has_every_column() -> None:
    text = reference.columns()
    assert [c.name for c in COLUMNS if f"| `{c.name}` | {c.type} | {c.meaning} |" not in text] == []


def test_the_reference_has_every_plugin_and_recipe() -> None:
    text = reference.plugin_kinds()
    for kind in kinds():
        for name, plugin in registry.working(kind).items():
            assert f"### {name} (" in text or not plugin.module.startswith("mousterian.")
    assert "| `resnet110` |" in reference.recipe_rows()


def test_every_generated_page_has_its_place() -> None:
    text = "".join(page.read_text() for page in PAGES)
    assert [name for name in reference.GENERATED if text.count(f"<!-- {name} -->") != 1] == []


def test_every_page_is_reached_from_the_index_and_every_link_leads_somewhere() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in PAGES:
        name = page.relative_to(ROOT / "docs").with_suffix("").as_posix()
        assert name == "index" or re.search(
            rf"^{name}$", index.replace("[aqs]*", "answers\nquality\nsurvival"), re.M
        ), name
        for link in re.findall(r"\{doc\}`([^`]*)`", page.read_text()):
            assert (page.parent / f"{link}.md").exists(), f"{page.name} names {link}"


def test_the_readme_names_every_page_that_solves_a_task() -> None:
    text = (ROOT / "README.md").read_text()
    pages = [page.relative_to(ROOT).as_posix() for page in PAGES if page.parent.name in {"docs", "howto"}]
    assert [page for page in pages if f"]({page})" not in text and page != "docs/index.md"] == []
    assert [link for link in re.findall(r"\]\(([^)#:]*)\)", text) if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/howto/own-images.md"])
def test_the_grid_files_shown_are_grid_files(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = next(t for t in re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(), re.S) if "n_base" in t)
    Path("my.toml").write_text(text)
    trials, _ = grid.read(Path("my.toml"))
    assert {trial.n_base for trial in trials} == {1000, 4000}
    assert {"resnet18"} <= {trial.model.name for trial in trials}


def test_contributing_draws_the_package_as_it_is() -> None:
    tree = re.search(r"```text\nmousterian/\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.S)
    assert tree
    rooms = dict(re.findall(r"^  (\w+)/ +(.+)$", tree[1], re.M))
    assert set(rooms) == {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    starred = {f"{room}/{folder}" for room, text in rooms.items() for folder in re.findall(r"(\w+)\*", text)}
    assert starred == {kind.folder.as_posix() for kind in kinds().values()}
    root = re.findall(r"^  (\w+\.py) ", tree[1], re.M)
    assert sorted(root) == sorted(path.name for path in PACKAGE.glob("*.py"))


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_files_and_modules_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w/])(\w+)((?:/[\w-]+)+\.(?:py|toml|md|html|json|svg))\b", text)
    named = {top + rest for top, rest in paths if top in TOP or (PACKAGE / top).is_dir()}
    assert {path for path in named if not (ROOT / path).exists() and not (PACKAGE / path).exists()} == set()
    for module, names in re.findall(r"^from (mousterian[\w.]*) import ([\w, ]+)", text, re.M):
        assert all(hasattr(import_module(module), name) for name in names.split(", ")), module


def test_tests_named_for_what_a_grid_survives_exist() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "survival.md").read_text(encoding="utf-8")))
    assert named - {path.stem for path in (ROOT / "tests").rglob("test_*.py")} == set()


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
