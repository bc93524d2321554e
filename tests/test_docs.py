"""The documentation is true: commands print what stands there, Python runs, the reference is whole."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from pathlib import Path

import pytest
import reference
from conftest import ROOT

from mousterian.__main__ import main
from mousterian.cli import app
from mousterian.plugins import registry, spec
from mousterian.store.schema import COLUMNS
from mousterian.trials import grid

sys.path.insert(0, str(ROOT / "docs"))

PAGES = sorted((ROOT / "docs").rglob("*.md"))
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
        assert program == "mousterian"
        with pytest.raises(SystemExit):
            main(arguments)
        out, err = capsys.readouterr()
        printed = (out + err).translate(_LOOKS)
        told = f"{page.name}: $ {command}\nprints\n{printed}\nand the page says\n{expected}"
        assert doctest.OutputChecker().check_output(expected.translate(_LOOKS), printed, LIKE), told


@pytest.mark.parametrize(
    "page", [page for page in PAGES if ">>> " in page.read_text()], ids=lambda page: page.stem
)
def test_a_pages_doctests_hold(page: Path) -> None:
    done = doctest.testfile(str(page), module_relative=False)
    assert done.attempted > 0 and done.failed == 0


@pytest.mark.parametrize("module", ["plugins.differences", "answers.numbers", "errors"])
def test_a_modules_doctests_hold(module: str) -> None:
    done = doctest.testmod(__import__(f"mousterian.{module}", fromlist=["x"]))
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
    for kind in spec.KINDS:
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
