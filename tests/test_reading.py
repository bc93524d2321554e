"""Nothing that is read can run code or write outside its place."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from mousterian.cli.commands import fit
from mousterian.data import cache
from mousterian.errors import InputError
from mousterian.fitting import arms
from mousterian.synthesis import shards
from mousterian.synthesis.generators import precomputed
from mousterian.synthesis.kinds import GeneratorContext

PACKAGE = ROOT / "mousterian"
# Calls that run what they read, whatever their arguments.
ALWAYS = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "dill.load", "joblib.load", "marshal.load"),
    *("yaml.load", "yaml.unsafe_load", "pd.read_pickle", "pandas.read_pickle", "torch.hub.load", "exec"),
    "shutil.unpack_archive",
}
# Calls that do unless told not to: the argument that tells them, and its value.
UNLESS: dict[str, tuple[str, object]] = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "extractall": ("filter", "data"),
    "extract": ("filter", "data"),
}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def dangers(path: Path) -> list[str]:
    """Return the calls of a file that could run, or write anywhere, what it reads."""
    found = []
    for name, call in calls(path):
        if name in ALWAYS:
            found.append(f"{path.name}:{call.lineno} {name}")
        wanted = UNLESS.get(name) or UNLESS.get(name.rpartition(".")[2] if "extract" in name else name)
        given = {k.arg: ast.literal_eval(k.value) for k in call.keywords if wanted and k.arg == wanted[0]}
        if wanted and given.get(wanted[0]) != wanted[1]:
            found.append(f"{path.name}:{call.lineno} {name} without {wanted[0]}={wanted[1]!r}")
    return found


def test_no_file_of_the_house_runs_what_it_reads() -> None:
    assert [danger for path in PACKAGE.rglob("*.py") for danger in dangers(path)] == []


def test_the_search_finds_what_it_is_for(tmp_path: Path) -> None:
    bad = [
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "archive.extractall(folder)",
        "tarfile.open(x).extract(name)",
    ]
    good = [
        "torch.load(x, weights_only=True)",
        "np.load(x, allow_pickle=False)",
        "archive.extractall(folder, filter='data')",
        "archive.extractfile(name)",
        "json.load(x)",
    ]
    (tmp_path / "bad.py").write_text("\n".join(bad))
    (tmp_path / "good.py").write_text("\n".join(good))
    assert len(dangers(tmp_path / "bad.py")) == len(bad)
    assert dangers(tmp_path / "good.py") == []


class Bomb:
    """Touches a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def bomb(folder: Path, *names: str) -> tuple[Path, Path]:
    """Return an .npz whose arrays touch a file when unpickled, and that file."""
    path, target = folder / "bomb.npz", folder / "touched"
    np.savez(path, **{name: np.array([Bomb(target)], dtype=object) for name in names})
    np.load(path, allow_pickle=True)[names[0]]
    target.unlink()  # it does go off where pickles are let in
    return path, target


def test_pickles_in_pools_and_datasets_do_not_go_off(tmp_path: Path) -> None:
    path, target = bomb(tmp_path, "images", "labels", "class_names")
    with pytest.raises(cache.DAMAGE):
        shards.read(path)
    with pytest.raises(InputError, match="damaged"):
        cache.read(path)
    with pytest.raises(InputError, match="not a readable"):
        precomputed.load(GeneratorContext(("a", "b"), (8, 8, 1), 0, "cpu", tmp_path), path=str(path))
    assert not target.exists()


def test_pickled_weights_do_not_go_off(tmp_path: Path) -> None:
    import torch

    from mousterian.synthesis.generators import _diffusion

    weights, target = tmp_path / "weights.safetensors", tmp_path / "touched"
    torch.save({"weight": Bomb(target)}, weights)
    torch.load(io.BytesIO(weights.read_bytes()), weights_only=False)
    target.unlink()
    with pytest.raises(InputError, match="cannot be used"):
        _diffusion._read(torch.nn.Linear(1, 1), weights)
    assert not target.exists()


def test_names_in_a_foreign_table_lead_to_no_other_folder(tmp_path: Path) -> None:
    cells = [(n, r, s) for n in (100, 200) for r, s in ((0, 0), (n, 0), (0, n), (0, 2 * n))]
    rows = pd.DataFrame(cells, columns=["n_base", "n_real_plus", "n_syn_plus"])
    rows["accuracy"] = 0.5 + 0.05 * np.log(rows.sum(axis=1) / 100)
    names = ["../../outside", "/absolute", "..", ".hidden/x", "a\\b\0c"]
    tables = [arms.Arm(name, {}, rows) for name in names]
    saved = fit._fit_and_save(tables, tmp_path / "in" / "fits", surface="additive", bootstrap=20, seed=0)
    assert {path.parent for _, path in saved} == {tmp_path / "in" / "fits"}
    assert [json.loads(path.read_text())["name"] for _, path in saved] == names
    assert set(tmp_path.rglob("*.json")) == {path for _, path in saved}
