from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis.generators import _textual_inversion, style_inversion
from mousterian.synthesis.generators._text_to_image import Rendering, load_pipeline
from mousterian.synthesis.kinds import GeneratorContext

pytest.importorskip("transformers")

NAMES = ("night_snake", "crane")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pipeline(tmp_path_factory.mktemp("pipeline"))


@pytest.fixture
def context(tmp_path: Path) -> GeneratorContext:
    return GeneratorContext(NAMES, (12, 12, 3), 0, "cpu", tmp_path / "pool")


@pytest.fixture
def real() -> ImageSet:
    images = np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), dtype=np.uint8)
    return ImageSet(images, np.array([0, 1, 0, 1, 0, 1]), NAMES)


def settings(**changes: object) -> _textual_inversion.InversionSettings:
    made = style_inversion._style(["night snake", "crane"], 6, 2, 0.1)
    return replace(made, **changes)


def vector(pipeline: object, token: str = "<dataset-style>") -> torch.Tensor:
    number = pipeline.tokenizer.convert_tokens_to_ids(token)
    return pipeline.text_encoder.get_input_embeddings().weight[number].detach().clone()


def trained(
    model: Path, real: ImageSet, context: GeneratorContext, given: _textual_inversion.InversionSettings
) -> object:
    pipeline = load_pipeline(str(model), Rendering(), "cpu")
    _textual_inversion.learn_tokens(pipeline, real, given, context)
    return pipeline


def test_only_the_new_token_is_learnt_and_it_lowers_the_loss(
    model: Path, context: GeneratorContext, real: ImageSet
) -> None:
    before = load_pipeline(str(model), Rendering(), "cpu")
    table = before.text_encoder.get_input_embeddings().weight.detach().clone()
    given = settings(iterations=60)
    after = trained(model, real, context, given)
    torch.testing.assert_close(after.text_encoder.get_input_embeddings().weight[: len(table)], table)
    for part in ("unet", "vae", "text_encoder"):
        for name, value in getattr(before, part).state_dict().items():
            if "token_embedding" not in name:
                assert torch.equal(value, getattr(after, part).state_dict()[name]), name
    untrained = trained(
        model, real, replace(context, folder=context.folder / "other"), settings(iterations=0)
    )
    style = table[after.tokenizer.convert_tokens_to_ids("style")]
    torch.testing.assert_close(vector(untrained), style)

    def mean_loss(pipeline: object) -> float:
        with torch.no_grad():
            draws = (torch.Generator().manual_seed(seed) for seed in range(40))
            return float(
                np.mean([float(_textual_inversion.loss(pipeline, real, given, draw, 16)) for draw in draws])
            )

    assert mean_loss(after) < mean_loss(untrained)


def test_an_interrupted_training_resumes_bit_for_bit(
    model: Path, context: GeneratorContext, real: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = vector(trained(model, real, context, settings()))
    monkeypatch.setattr(_textual_inversion, "CHECKPOINT_EVERY", 2)
    calls = []
    inner = _textual_inversion.loss

    def cut(*given: object) -> torch.Tensor:
        calls.append(given)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return inner(*given)

    other = replace(context, folder=context.folder / "cut")
    monkeypatch.setattr(_textual_inversion, "loss", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(model, real, other, settings())
    assert torch.equal(vector(trained(model, real, other, settings())), whole)
    assert len(calls) == 6 + 2  # steps 0 to 5, the last interrupted; then steps 4 and 5: 4 of 6 were saved
    assert torch.equal(vector(trained(model, real, other, settings())), whole) and len(calls) == 8


def test_by_class_each_token_learns_from_its_class_alone(
    model: Path, context: GeneratorContext, real: ImageSet
) -> None:
    given = style_inversion._by_class(["night snake", "crane"], 4, 2, 0.1)
    start = trained(model, real, replace(context, folder=context.folder / "a"), replace(given, iterations=0))
    only = trained(model, real.take([0, 2, 4]), context, given)
    assert not torch.equal(vector(only, "<class-0>"), vector(start, "<class-0>"))
    assert torch.equal(vector(only, "<class-1>"), vector(start, "<class-1>"))


def test_the_papers_iterations_and_prompts() -> None:
    style = style_inversion._style(["crane"] * 100, 0, 4, 5e-4)
    assert (style.iterations, style.prompts[0]) == (20_000, "A crane photo in the style of <dataset-style>")
    assert style_inversion._by_class(["crane"] * 100, 0, 4, 5e-4).iterations == 500_000


def test_style_inversion_generates_with_the_learnt_token(
    model: Path, context: GeneratorContext, real: ImageSet
) -> None:
    sampler = style_inversion.fit(real, context, model=str(model), iterations=2, steps=1)
    labels, indices, seeds = np.array([0, 1]), np.array([0, 0]), np.array([1, 2])
    assert sampler.prompts(labels, indices)[0] == "A night snake photo in the style of <dataset-style>"
    first = sampler.sample(labels, indices, seeds)
    again = style_inversion.fit(real, context, model=str(model), iterations=2, steps=1)
    np.testing.assert_array_equal(again.sample(labels, indices, seeds), first)


def test_errors_name_what_cannot_be_learnt(model: Path, context: GeneratorContext, real: ImageSet) -> None:
    pipeline = load_pipeline(str(model), Rendering(), "cpu")
    pipeline.text_encoder_2 = pipeline.text_encoder
    with pytest.raises(InputError, match="cannot be learnt for"):
        _textual_inversion.learn_tokens(pipeline, real, settings(), context)
    context.folder.mkdir(parents=True)
    (context.folder / "tokens.safetensors").write_bytes(b"broken")
    with pytest.raises(InputError, match="saved tokens cannot be used"):
        trained(model, real, context, settings())
    (context.folder / "tokens.safetensors").unlink()
    with pytest.raises(InputError, match="diverged at step"):
        trained(model, real, context, settings(learning_rate=1e30))
