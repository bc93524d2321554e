from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis import language_models
from mousterian.synthesis.generators import real_guidance, stable_diffusion, unambiguous
from mousterian.synthesis.generators._text_to_image import Rendering, TextToImage, native_size
from mousterian.synthesis.kinds import GeneratorContext

pytest.importorskip("transformers")

NAMES = ("night snake", "crane")
LABELS, INDICES, SEEDS = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), np.array([5, 6, 7, 8])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def context(tmp_path: Path) -> GeneratorContext:
    return GeneratorContext(NAMES, (12, 12, 3), 0, "cpu", tmp_path / "pool")


@pytest.fixture
def real() -> ImageSet:
    coarse = np.random.default_rng(0).integers(0, 256, (6, 3, 3, 3), dtype=np.uint8)
    return ImageSet(coarse.repeat(4, axis=1).repeat(4, axis=2), np.array([0, 1, 0, 1, 0, 1]), NAMES)


def test_each_image_depends_on_its_prompt_and_seed_alone(model: Path, context: GeneratorContext) -> None:
    sampler = stable_diffusion.load(context, model=str(model), steps=2, rendering={"batch": 3})
    images = sampler.sample(LABELS, INDICES, SEEDS)
    assert images.shape == (4, 12, 12, 3) and images.dtype == np.uint8
    alone = sampler.sample(LABELS[2:3], INDICES[2:3], SEEDS[2:3])
    assert np.abs(alone[0].astype(int) - images[2]).max() <= 1  # rounding depends on the batch size
    assert not np.array_equal(images[0], images[2])  # another seed
    other = sampler.sample(LABELS[1:2], INDICES[:1], SEEDS[:1])
    assert not np.array_equal(other[0], images[0])  # another prompt
    assert sampler.prompts(LABELS, INDICES) == ["a photo of a night snake", "a photo of a crane"] * 2


def test_guidance_steps_size_and_scheduler_reach_the_pipeline(model: Path, context: GeneratorContext) -> None:
    def drawn(**options: Any) -> np.ndarray:
        return stable_diffusion.load(context, model=str(model), **options).sample(LABELS, INDICES, SEEDS)

    first = drawn(steps=2)
    assert np.array_equal(first, drawn(steps=2))
    changed: list[dict[str, Any]] = [
        {"guidance": 1.5},
        {"steps": 4},
        {"size": 32},
        {"rendering": {"scheduler": "UniPCMultistepScheduler"}},
        {"rendering": {"negative": "blue"}},
    ]
    for options in changed:
        assert not np.array_equal(first, drawn(**({"steps": 2} | options))), options
    sliced = drawn(steps=2, rendering={"attention_slicing": True, "dtype": "float32", "offload": "model"})
    assert np.abs(sliced.astype(int) - first).max() <= 1


def test_prompts_take_turns_and_are_kept_with_the_pool(model: Path, context: GeneratorContext) -> None:
    table = {"name": "templates", "count": 3}
    sampler = stable_diffusion.load(context, model=str(model), prompts=table, steps=1)
    texts = sampler.prompts(np.zeros(7, dtype=int), np.arange(7))
    assert len(set(texts)) == 3 and texts[:3] == texts[3:6] and all("night snake" in text for text in texts)
    saved = json.loads((context.folder / "prompts.json").read_text())
    assert saved[0] == texts[:3]
    (context.folder / "prompts.json").write_text(json.dumps([["kept"], ["kept"]]))
    again = stable_diffusion.load(context, model=str(model), prompts=table, steps=1)
    assert again.prompts(LABELS, INDICES) == ["kept"] * 4


def test_stable_diffusion_3_generates_from_prompts_and_from_real_images(
    context: GeneratorContext, real: ImageSet, tmp_path: Path
) -> None:
    model = tiny.pipeline3(tmp_path / "sd3")
    sampler = stable_diffusion.load(context, model=str(model), steps=2)
    images = sampler.sample(LABELS, INDICES, SEEDS)
    assert images.shape == (4, 12, 12, 3) and native_size(sampler.pipeline) == 16
    assert not np.array_equal(images[0], images[2])
    guided = real_guidance.fit(real, context, model=str(model), steps=4, strength=0.5)
    assert guided.sample(LABELS, INDICES, SEEDS).shape == (4, 12, 12, 3)


def test_grey_datasets_get_grey_images(model: Path, tmp_path: Path) -> None:
    context = GeneratorContext(NAMES, (8, 8, 1), 0, "cpu", tmp_path)
    sampler = stable_diffusion.load(context, model=str(model), steps=1)
    assert sampler.sample(LABELS, INDICES, SEEDS).shape == (4, 8, 8, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "nowhere/at-all"}, "cannot be loaded"),
        ({"rendering": {"batches": 2}}, "did you mean 'batch'"),
        ({"rendering": {"dtype": "float8"}}, "did you mean 'float32'"),
        ({"rendering": {"batch": 0}}, "1 or more"),
        ({"rendering": {"offload": True}}, "is not str"),
        ({"rendering": {"scheduler": "DDIM"}}, "DDIMScheduler"),
        ({"prompts": "template"}, "did you mean 'templates'"),
        ({"prompts": {"count": 3}}, "has no name"),
        ({"prompts": {"name": "templates", "count": 0}}, "count"),
        ({"prompts": {"name": "class_name", "text": ""}}, "no option 'text'"),
    ],
)
def test_wrong_options_are_named(
    model: Path,
    context: GeneratorContext,
    options: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=message):
        stable_diffusion.load(context, **({"model": str(model), "steps": 1} | options))


def test_a_folder_without_weights_is_named(tmp_path: Path, context: GeneratorContext) -> None:
    folder = tiny.pipeline(tmp_path / "pipeline")
    next((folder / "unet").glob("*.safetensors")).unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        stable_diffusion.load(context, model=str(folder), steps=1)


def test_images_that_a_safety_checker_blanks_are_generated_again(context: GeneratorContext) -> None:
    calls: list[list[int]] = []

    class Checked:
        """A pipeline that blanks the second image of its first call."""

        def __call__(self, prompt: list[str], generator: list[torch.Generator], output_type: str) -> Any:
            calls.append([one.initial_seed() for one in generator])
            images = torch.ones(len(prompt), 3, 12, 12)
            flagged = [len(calls) == 1 and index == 1 for index in range(len(prompt))]
            images[torch.tensor(flagged)] = 0
            return type("Made", (), {"images": images, "nsfw_content_detected": flagged})

    sampler = TextToImage(Checked(), [["a"], ["b"]], context, Rendering(), {})
    assert sampler.sample(LABELS, INDICES, SEEDS).min() == 255
    assert calls[0] == [5, 6, 7, 8] and len(calls) == 2 and len(calls[1]) == 1 and calls[1][0] != 6


def test_real_guidance_starts_at_the_papers_time_steps() -> None:
    shots = {1: 0.50, 2: 0.40, 3: 0.40, 4: 0.35, 8: 0.20, 16: 0.15, 500: 0.15}
    assert {count: real_guidance.strength_for(count) for count in shots} == shots


def test_real_guidance_noises_the_class_s_real_images_to_the_time_step_of_its_strength(
    model: Path, context: GeneratorContext, real: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = real_guidance.fit(real, context, model=str(model), steps=20, strength=0.35, guidance=1.0)
    given = sampler.inputs(np.array([0, 1, 0]), np.array([0, 4, 3]))["image"]
    assert given.shape == (3, 3, 16, 16)
    # Class 0 has the images 0, 2, 4 and class 1 the images 1, 3, 5; index 3 begins anew, 4 is the second.
    assert torch.equal(given[0], given[2])
    means = [real.images[row].mean() / 255 for row in (0, 3, 0)]
    assert given.mean(dim=(1, 2, 3)).tolist() == pytest.approx(means, abs=0.02)
    seen: list[tuple[str, float]] = []
    scheduler, network = sampler.pipeline.scheduler, sampler.pipeline.unet
    noised, denoised = scheduler.add_noise, network.forward

    def add_noise(latents: torch.Tensor, noise: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        seen.append(("noised", float(steps[0])))
        return noised(latents, noise, steps)

    def forward(latents: torch.Tensor, step: torch.Tensor, **more: Any) -> Any:
        seen.append(("denoised", float(step)))
        return denoised(latents, step, **more)

    monkeypatch.setattr(scheduler, "add_noise", add_noise)
    monkeypatch.setattr(network, "forward", forward)
    sampler.sample(LABELS, INDICES, SEEDS)
    # 7 of 20 steps of 50 each are left: from t = 301 of 1000 (steps count from 1) down to 1.
    assert seen == [("noised", 301.0), *(("denoised", float(t)) for t in range(301, 0, -50))]


def test_real_guidance_reports_what_it_cannot_do(
    model: Path, context: GeneratorContext, real: ImageSet
) -> None:
    with pytest.raises(InputError, match="no real image"):
        real_guidance.fit(real.take([0, 2]), context, model=str(model))
    with pytest.raises(InputError, match="leaves no step") as caught:
        real_guidance.fit(real, context, model=str(model), steps=2, strength=0.1)
    assert "steps = 10" in caught.value.hint


def test_a_name_s_meaning_is_decided_by_the_real_images_and_stands_in_the_prompts(
    model: Path, context: GeneratorContext, real: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("open_clip")
    requests: list[str] = []

    class Dictionary:
        def reply(self, request: str, *, seed: int) -> str:
            requests.append(request)
            return "1. a lifting machine\n2. a long-legged bird"

    monkeypatch.setattr(language_models, "load", lambda given: Dictionary())
    options = {"model": str(model), "language": "any", "clip": f"local-dir:{tiny.clip(tmp_path / 'clip')}"}
    sampler = unambiguous.fit(real, context, steps=1, **options)
    texts = sampler.prompts(LABELS, INDICES)
    meanings = {f"a photo of a crane, {meaning}" for meaning in ("a lifting machine", "a long-legged bird")}
    assert (
        texts[1] in meanings and texts[0].startswith("a photo of a night snake, a l") and len(requests) == 2
    )
    again = unambiguous.fit(real, context, steps=1, **options)
    assert again.prompts(LABELS, INDICES) == texts and len(requests) == 2  # saved with the pool
    assert sampler.sample(LABELS, INDICES, SEEDS).shape == (4, 12, 12, 3)
