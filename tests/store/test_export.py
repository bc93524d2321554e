"""A store of its own of some grids' rows: `mousterian store export`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from mousterian.__main__ import main
from mousterian.errors import InputError
from mousterian.store.export import export_trials
from mousterian.store.quality import QualityTable
from mousterian.store.rows import Store
from mousterian.trials import grid

ROWS = ROOT / "fits" / "study-fashion" / "rows"  # of two grids
GRID = ROOT / "grids" / "study-fashion.toml"


def keys(file: Path) -> set[str]:
    return {trial.key for trial in grid.read(file)[0]}


def test_a_grids_rows_and_the_quality_of_its_pools_are_copied(tmp_path: Path) -> None:
    found = export_trials(keys(GRID), ROWS, tmp_path / "new")
    asked = {trial.key for trial in grid.read(GRID)[0]}
    whole, copied = Store(ROWS).read(), Store(tmp_path / "new").read()
    assert asked < set(whole["trial"])
    pd.testing.assert_frame_equal(copied, whole[whole["trial"].isin(asked)].reset_index(drop=True))
    assert (found.trials, found.missing) == (len(asked), 0)
    there, here = (QualityTable(folder).read() for folder in (ROWS, tmp_path / "new"))
    pools = set(copied["pool"])
    pd.testing.assert_frame_equal(here, there[there["pool"].isin(pools)].reset_index(drop=True))
    assert found.measurements == here["measurement"].nunique() > 0
    assert list((tmp_path / "new").glob("quality/points/*.parquet"))
    assert not list(Store(tmp_path / "new").verify())


def test_the_same_rows_give_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_trials(keys(GRID), ROWS, tmp_path / name)
    one, two = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*.parquet")
        }
        for name in ("one", "two")
    )
    assert one == two


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_trials(keys(GRID), ROWS, tmp_path / "part")
    both = [str(GRID), str(ROOT / "grids" / "strategies-fashion.toml")]
    with pytest.raises(SystemExit) as ended:
        main(["store", "export", *both, "--store", str(tmp_path / "part"), "--out", str(tmp_path / "new")])
    assert not ended.value.code
    trials = Store(tmp_path / "part").read()["trial"].nunique()
    more = len({trial.key for name in both for trial in grid.read(Path(name))[0]}) - trials
    assert f"{trials} trials ({more} more are not in {tmp_path / 'part'})" in capsys.readouterr().out


def test_nothing_is_written_over_and_nothing_empty_is_made(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        export_trials(keys(GRID), ROWS, tmp_path / "there")
    with pytest.raises(InputError, match="run the grid first"):
        export_trials(keys(ROOT / "grids" / "quickstart.toml"), ROWS, tmp_path / "new")
    with pytest.raises(SystemExit) as ended:
        main(["store", "export", "--store", str(ROWS), "--out", str(tmp_path / "new")])
    assert ended.value.code == 2
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.txt"]
