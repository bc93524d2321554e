"""Cells that differ only by options are distinguished, in the store's list and in a dry run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import TINY_GRID

from mousterian.cli.commands import data
from mousterian.cli.commands import list as list_command
from mousterian.cli.commands import store as store_command
from mousterian.cli.commands._grid_plan import _cells
from mousterian.store.rows import Store
from mousterian.store.schema import COLUMNS
from mousterian.trials import grid


def row(trial: str, width: int, top1: float) -> dict[str, object]:
    """Return a trial's row, with a value of the right type in every column."""
    values = {"string": "x", "int32": 2, "int64": 10, "float64": 0.5, "list<float64>": [0.5]}
    found: dict[str, object] = {column.name: values[column.type] for column in COLUMNS}
    options = {column.name: "{}" for column in COLUMNS if column.name.endswith("_options")}
    model = json.dumps({"width": width, "depth": 1})
    return (
        found
        | options
        | {"trial": trial, "cell": trial, "model_options": model, "top1": top1, "status": "done"}
    )


def test_the_store_lists_the_options_in_which_cells_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path)
    for trial, width, top1 in (("a" * 16, 4, 0.5), ("b" * 16, 8, 0.75)):
        store.write([row(trial, width, top1)])
    store_command.ls(store=tmp_path, json=True)
    cells = json.loads(capsys.readouterr().out)
    assert [(each["model_options"], each["top1"]) for each in cells] == [("width=4", 0.5), ("width=8", 0.75)]
    assert "recipe_options" not in cells[0]
    store_command.ls(store=tmp_path)
    shown = capsys.readouterr().out
    assert "width=4" in shown and "depth" not in shown


def test_a_dry_run_lists_the_options_in_which_cells_differ(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(TINY_GRID.replace("width = 4", "width = [4, 8]"))
    cells = _cells(grid.plan(grid.read(path)[0], Store(tmp_path / "store")))
    assert {each["model_options"] for each in cells} == {"width=4", "width=8"}
    assert not {"recipe_options", "dataset_options"} & set(cells[0])
    path.write_text(TINY_GRID)
    assert "model_options" not in _cells(grid.plan(grid.read(path)[0], Store(tmp_path / "store")))[0]


def test_columns_are_listed_with_their_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    list_command.list_("columns", json=True)
    columns = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in columns] == [column.name for column in COLUMNS]
    list_command.list_("columns")
    assert "real images added to S_base" in capsys.readouterr().out


def test_a_dataset_with_a_required_option_is_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    for split in ("train", "val"):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "1.png")
    data.data("image_folder", option=[f"path={tmp_path / 'pets'}", "size=8"], data_dir=tmp_path, json=True)
    assert "cat" in capsys.readouterr().out
