"""Pools of text-to-image generators, as grids use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from conftest import TINY_GRID

from mousterian.data.image_set import ImageSet
from mousterian.plugins import registry
from mousterian.synthesis.generators._text_to_image import TextToImage
from mousterian.synthesis.pool_identity import BASE, ELSEWHERE, PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.trials import grid

pytest.importorskip("transformers")

NAMES, SHAPE = ("night snake", "crane"), (8, 8, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline(tmp_path_factory.mktemp("pipeline"))


def pool(folder: Path, generator: str, trained_on: str, **options: object) -> Pool:
    plugin = registry.find("generators", generator)
    resolved = plugin.resolve(options)
    stamp = plugin.stamp(folder, resolved)
    dataset = {"name": "d", "options": {}}
    identity = PoolIdentity(generator, resolved, stamp, 0, trained_on, dataset, 0, 1.0, 0, 0)
    return Pool(folder, identity, NAMES)


def real() -> ImageSet:
    images = np.random.default_rng(0).integers(0, 256, (4, *SHAPE), dtype=np.uint8)
    return ImageSet(images, np.array([0, 1, 0, 1]), NAMES)


def test_a_pool_stores_the_prompt_of_every_image(model: Path, tmp_path: Path) -> None:
    prompts = {"name": "templates", "count": 5}
    made = pool(tmp_path, "stable_diffusion", ELSEWHERE, model=str(model), steps=1, prompts=prompts)
    made.ensure(10, SHAPE, lambda: pytest.fail("read the real images"), "cpu")
    texts = made.prompts(20)
    assert made.read(10).images.shape == (10, *SHAPE)
    assert all(NAMES[place % 2] in text for place, text in enumerate(texts))
    assert texts[0] == texts[10] != texts[2] and len(set(texts)) == 10


def test_memory_that_runs_out_halves_the_batch_and_loses_nothing(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"model": str(model), "steps": 1, "rendering": {"batch": 64}}
    whole = pool(tmp_path / "whole", "stable_diffusion", ELSEWHERE, **options)
    whole.ensure(8, SHAPE, real, "cpu")
    sizes: list[int] = []
    generated = TextToImage._run

    def called(self: TextToImage, labels: np.ndarray, indices: np.ndarray, seeds: np.ndarray) -> object:
        sizes.append(len(labels))
        if len(labels) > 20:
            raise torch.OutOfMemoryError("out of memory")
        return generated(self, labels, indices, seeds)

    monkeypatch.setattr(TextToImage, "_run", called)
    halved = pool(tmp_path / "halved", "stable_diffusion", ELSEWHERE, **options)
    halved.ensure(8, SHAPE, real, "cpu")
    assert sizes[:3] == [64, 32, 16]
    difference = halved.read(256).images.astype(int) - whole.read(256).images
    assert np.abs(difference).max() <= 1  # rounding depends on the batch size


@pytest.mark.parametrize(
    ("generator", "options"),
    [("real_guidance", {"strength": 0.5, "steps": 2}), ("style_inversion", {"iterations": 2, "steps": 1})],
)
def test_generators_that_use_s_base_make_pools(
    generator: str, options: dict[str, float], model: Path, tmp_path: Path
) -> None:
    made = pool(tmp_path, generator, BASE, model=str(model), **options)
    made.ensure(4, SHAPE, real, "cpu")
    assert made.read(4).labels.tolist() == [0, 1, 0, 1] and len(made.prompts(4)) >= 4


def test_a_grid_takes_prompts_as_names_and_as_tables(model: Path, tmp_path: Path) -> None:
    head = TINY_GRID.partition("[generator]")[0]
    path = tmp_path / "grid.toml"
    path.write_text(
        f'{head}\n[generator]\nname = "stable_diffusion"\nmodel = "{model}"\nsteps = 1\n'
        'prompts = ["class_name", {name = "templates", count = 3}]\nguidance = [2, 7.5]\n'
    )
    trials, _ = grid.read(path)
    chosen = [trial.generator for trial in trials if trial.generator]
    assert {choice.trained_on for choice in chosen} == {ELSEWHERE}
    assert len({choice.text for choice in chosen}) == 4 and all(choice.stamp for choice in chosen)
