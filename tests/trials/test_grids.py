"""The grid files of the papers: each can be planned as it stands, and a tiny variant of it runs."""

from __future__ import annotations

import io
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from conftest import ROOT

from mousterian.data.datasets import digits
from mousterian.fitting import published
from mousterian.store.rows import Store
from mousterian.synthesis import language_models
from mousterian.trials import checks, grid
from mousterian.trials.run import run_and_save
from mousterian.trials.settings import Settings

pytest.importorskip("open_clip")
pytest.importorskip("diffusers")

PAPERS = ("mousterian", "he2023", "geng2024", "diversify", "li2024")
FILES = sorted(path for path in (ROOT / "grids").glob("*.toml") if path.stem.split("-")[0] in PAPERS)
NAMES = ("night", "crane", "snake", "lake", "hill", "photo", "style", "blue", "red", "an owl")
by_name = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def test_there_is_a_file_for_each_paper() -> None:
    assert {path.stem.split("-")[0] for path in FILES} == set(PAPERS)


@by_name
def test_a_file_is_planned_as_it_stands_and_states_its_cost(path: Path, tmp_path: Path) -> None:
    trials, _ = grid.read(path, data_dir=tmp_path)
    assert trials and any(each.n_syn_plus for each in trials)
    head = re.match(r"(#.*\n)+", path.read_text(encoding="utf-8"))
    assert head and f"grids/{path.name}" in head[0]
    assert all(
        word in head[0] for word in ("NOT RUN", "Cost:", "estimated", "Data", "eights", "Compare with:")
    )
    for name in re.findall(r"published:([\w/-]+)", head[0]):
        assert name in published.names()
    assert max(map(len, head[0].splitlines())) <= 130


class Tiny:
    """Makes a grid file tiny: embedded images, models of a few random weights, two steps a training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = self._images()
        self.clip = {"model": f"local-dir:{tiny.clip(folder / 'clip')}", "weights": ""}
        self.pipeline = str(tiny.pipeline(folder / "pipeline"))
        self.retrieved = self._captioned()
        self.weights = {name: self._weights(name) for name in ("test_resnet", "test_vit")}

    def _images(self) -> dict[str, Any]:
        splits = {}
        for split, count in (("train", 14), ("test", 3)):
            found = digits.load(split, self.folder)
            chosen = np.concatenate([np.flatnonzero(found.labels == label)[:count] for label in range(10)])
            large = found.images[chosen].repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)
            splits |= {f"{split}_images": large, f"{split}_labels": found.labels[chosen]}
        np.savez(self.folder / "words.npz", class_names=np.array(NAMES), **splits)
        np.savez(self.folder / "made.npz", images=splits["train_images"], labels=splits["train_labels"])
        return {"name": "npz", "path": str(self.folder / "words.npz")}

    def _captioned(self) -> str:
        from PIL import Image

        random = np.random.default_rng(0)
        cells = []
        for _ in range(3 * len(NAMES)):
            file = io.BytesIO()
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file, "PNG")
            cells.append({"bytes": file.getvalue(), "path": ""})
        captions = [f"{name}, a picture" for name in NAMES] * 3
        pd.DataFrame({"image": cells, "text": captions}).to_parquet(self.folder / "captioned.parquet")
        return str(self.folder / "captioned.parquet")

    def _weights(self, name: str) -> str:
        import timm
        from safetensors.torch import save_file

        size = {"img_size": 32} if name == "test_vit" else {}
        file = self.folder / f"{name}.safetensors"
        save_file(timm.create_model(name, **size).state_dict(), file)
        return str(file)

    def grid(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return the file's values made tiny, with the same keys and every strategy."""
        made = {**values, "training_seeds": [0], **self._sizes(values)}
        made["dataset"] = self._dataset(values["dataset"])
        made["model"] = [self._model(each) for each in tables(values["model"])][-1:]
        made["strategy"] = [self._strategy(each) for each in tables(values.get("strategy", "joint"))]
        made["recipe"] = [self._recipe(each) for each in tables(values["recipe"])]
        made["evaluation"] = [self._evaluation(each) for each in tables(values.get("evaluation", "accuracy"))]
        made["generator"] = [self._generator(each) for each in tables(values["generator"])]
        if "imbalance" in values:
            made["imbalance"] = 2
        return made

    def _sizes(self, values: dict[str, Any]) -> dict[str, Any]:
        kinds = {
            tuple(sorted(key for key, count in cell.items() if count)) for cell in values.get("cell", [])
        }
        small = {"n_base": 20, "n_real_plus": 10, "n_syn_plus": 10}
        if kinds:
            return {"cell": [{key: small[key] for key in kind} for kind in sorted(kinds)]}
        return {key: [small[key]] for key in small if key in values}

    def _dataset(self, given: Any) -> dict[str, Any]:
        unseen = tables(given)[0].get("unseen_classes", [])
        return {**self.data, "unseen_classes": NAMES[-2:]} if unseen else self.data

    def _model(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] == "clip":
            return {"name": "clip", **self.clip}
        if given["name"] == "resnet110":
            return {"name": "resnet20"}
        name = "test_resnet" if given["name"].startswith("resnet") else "test_vit"
        pretrained = {"pretrained": self.weights[name]} if "pretrained" in given else {}
        return {**given, "name": name, "small_stem": False, **pretrained}

    def _strategy(self, given: dict[str, Any]) -> dict[str, Any]:
        if given["name"] == "pretrain_transfer":
            length = {"iterations": 2, "batch_size": 8}
            return {
                **given,
                "queue": 16,
                "pretraining": {"name": given.get("pretraining", "he_pretrain"), **length},
            }
        return {key: last(value) for key, value in given.items()}

    @staticmethod
    def _recipe(given: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in given.items() if key != "epochs"}
        return {**kept, "iterations": 2, "batch_size": 8}

    def _evaluation(self, given: dict[str, Any]) -> dict[str, Any]:
        if "dataset" in given:
            return {**given, "dataset": self.data}
        if given["name"] == "clip_zero_shot":
            return {"name": "clip_zero_shot", "clip": self.clip["model"], "weights": ""}
        return {**given, "few": 1, "many": 2} if given["name"] == "class_groups" else given

    def _generator(self, given: dict[str, Any]) -> dict[str, Any]:
        small: dict[str, dict[str, Any]] = {
            "precomputed": {"path": str(self.folder / "made.npz")},
            "retrieval": {
                "path": self.retrieved,
                "clip": self.clip["model"],
                "weights": "",
                "threshold": -1.0,
            },
            "ddpm": {"preset": "", "channels": 8, "layers": 1, "steps": 1, "sampling_steps": 1},
            "style_inversion": {"model": self.pipeline, "steps": 1, "iterations": 1},
            "real_guidance": {"model": self.pipeline, "steps": 2, "strength": 0.5},
            "unambiguous": {
                "model": self.pipeline,
                "steps": 1,
                "clip": self.clip["model"],
                "weights": "",
                "size": 16,
            },
            "stable_diffusion": {"model": self.pipeline, "steps": 1},
        }
        made = {**given, **small[{"edm": "ddpm"}.get(given["name"], given["name"])]}
        if given["name"] == "retrieval":
            made["duplicate"] = 1.0
        if "prompts" in made:
            made["prompts"] = [{**each, "count": 2} for each in tables(made["prompts"])]
        if "guidance" in made:
            made["guidance"] = last(made["guidance"])
        if "filter" in made:
            made["filter"] = [self._filter(each) for each in tables(made["filter"])]
        return made

    def _filter(self, given: dict[str, Any]) -> dict[str, Any]:
        # Random weights distinguish no classes: a fixed share would always drop the same ones.
        if given["name"] == "clip_confidence":
            return {"name": "clip_confidence", **self.clip, "threshold": 1e-9}
        return {"name": given["name"], "margin": -1.5}


def tables(given: Any) -> list[dict[str, Any]]:
    """Return entries of a grid file as tables with a name."""
    entries = given if isinstance(given, list) else [given]
    return [{"name": each} if isinstance(each, str) else each for each in entries]


def last(value: Any) -> Any:
    """Return the last of several numbers, and other values unchanged."""
    several = isinstance(value, list) and all(isinstance(each, float) for each in value)
    return value[-1] if several else value


def toml(value: Any) -> str:
    """Return a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@pytest.fixture(scope="module")
def made_tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace language models by three lines: one names every class, with four aspects; two are short."""

    class Model:
        def reply(self, request: str, *, seed: int) -> str:
            scene = f"{' '.join(NAMES)} by sea number {seed % 7} | a dune | dusk | close"
            return f"{scene}\nsome thing\nother place"

    monkeypatch.setattr(language_models, "load", lambda given: Model())


@by_name
def test_a_tiny_variant_runs_from_grid_file_to_rows(
    path: Path, made_tiny: Tiny, scripted: None, tmp_path: Path
) -> None:
    values = made_tiny.grid(tomllib.loads(path.read_text(encoding="utf-8")))
    small = tmp_path / path.name
    small.write_text("\n".join(f"{key} = {toml(value)}" for key, value in values.items()))
    trials, source = grid.read(small, data_dir=made_tiny.folder)
    checks.check_sizes(trials, source, made_tiny.folder)
    settings = Settings(tmp_path / "store", made_tiny.folder, "cpu", path.stem)
    for each in trials:
        run_and_save(each, settings)
    rows = Store(settings.store).read()
    assert set(rows["status"]) == {"done"} and set(rows["trial"]) == {each.key for each in trials}
    assert rows[["top1", "leep", "curve_top1"]].notna().any(axis=1).all()
    full, _ = grid.read(path, data_dir=tmp_path)
    assert {each.strategy.name for each in trials} == {each.strategy.name for each in full}
    generators = {each.generator.name for each in full if each.generator}
    assert set(rows["generator"]) - {""} == generators
