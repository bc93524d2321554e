"""What tests share: a tiny grid on real digits, and where things lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# One thread in every process: with more, small tensors run slower beside any other load.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

ROOT = Path(__file__).parent.parent

TINY_GRID = """
dataset = "digits"
n_base = [20, 40]
r_real = [1]
r_syn = [2]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 4, batch_size = 16}
training_seeds = [0, 1]

[generator]
name = "edm"
channels = 8
steps = 2
sampling_steps = 2
"""


# One pool of one generator, whose table comes last, so that a line more is an option of it.
POOL_GRID = """
dataset = "digits"
n_base = [30]
r_syn = [2]
model = {name = "small_cnn", width = 4}
recipe = {name = "small", iterations = 2, batch_size = 16}
training_seeds = [0]

[[generator]]
name = "edm"
channels = 8
steps = 2
sampling_steps = 2
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip slow tests unless `-m` asks for some tests by their marks."""
    if config.getoption("markexpr"):
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: run on demand with -m slow"))


@pytest.fixture
def tiny_grid(tmp_path: Path) -> Path:
    """Return the path of a grid file of 12 trials that take a moment each."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_GRID)
    return path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """Return a function that runs the command line and gives its exit code, output and errors."""
    from mousterian.__main__ import main  # not before the threads are set

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return call
