"""Recipes say what the papers' tables say, and their optimisers and augmentations do it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputErrors
from mousterian.training import loop
from mousterian.training.feed import Feed, Preprocessing, Stream
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import Recipe, names, recipe

CPU = torch.device("cpu")


def squares(count: int) -> Mixture:
    """Grey squares on black, one class for each corner that they stand in."""
    images = np.zeros((count, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(count) % 4
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[row : row + 4, column : column + 4] = 40 + np.arange(3) * 60
    return Mixture.of(ImageSet(images, labels, tuple("abcd")), CPU)


def batch(seed: int = 0, **changes: Any) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = recipe("small", {"crop": 0, "flip": False, "batch_size": 16, **changes})
    mixture = squares(16)
    preprocessing = Preprocessing(torch.zeros(1, 3, 1, 1), torch.ones(1, 3, 1, 1), chosen)
    return Feed(Stream(mixture, 16), preprocessing, lambda _: 0, torch.Generator().manual_seed(seed)).next()


# Papers: Table 7 and 8 (main), Tables 5 and 6 (Diversify), Appendix A (Li), A.7 (He), B.2 (Geng).
@pytest.mark.parametrize(
    ("name", "images", "steps", "rates"),
    [
        ("resnet50", 650, 10_000, {999: 0.1, 1000: 0.1}),
        ("resnet50", 1_299, 10_000, {}),
        ("resnet50", 1_300, 30_000, {}),
        ("resnet50", 13_000, 120_000, {11_999: 0.1}),
        ("resnet50", 260_000, 120_000, {}),
        ("vit_l16", 50_000, 10_000, {499: 0.03}),
        ("diversify_resnet", 8192 * 156, 130 * 156, {5 * 156 - 1: 3.2}),
        ("diversify_deit_b", 2048 * 625, 300 * 625, {5 * 625 - 1: 0.003}),
        ("bridged_resnet", 6400, 150 * 100, {0: 0.01}),
        ("he_transfer", 128 * 10, 2000, {599: 3e-3, 600: 6e-4, 1200: 1.2e-4, 1600: 2.4e-5}),
        ("he_pretrain_wide", 512 * 10, 900, {299: 0.2, 300: 0.02, 600: 0.002}),
        ("clip_fine_tune", 512 * 100, 3000, {499: 1e-5, 0: 1e-5 / 500}),
    ],
)
def test_rows_are_as_printed(name: str, images: int, steps: int, rates: dict[int, float]) -> None:
    row = recipe(name)
    assert row.steps(images) == steps
    found = {step: row.learning_rate_at(step, steps) for step in rates}
    assert found == pytest.approx(rates)


def test_every_row_is_a_recipe() -> None:
    assert all(recipe(name).steps(1000) > 0 for name in names())


def test_values_that_are_not_used_leave_the_recipes_text_as_it_was() -> None:
    # Trials' hashes are of this text: what was added since must not show where it is not used.
    assert set(recipe("resnet110").model_dump(mode="json")) == {
        *("name", "epochs", "iterations", "batch_size", "optimizer", "learning_rate", "momentum", "nesterov"),
        *("weight_decay", "schedule", "warmup", "milestones", "decay", "crop", "flip", "label_smoothing"),
    }
    used = {"mixup": 0.2, "cutmix": 1.0, "rand_augment": 9, "resized_crop": 0.5, "warmup_iterations": 3}
    kept = recipe("resnet110", used).model_dump(mode="json")
    assert {name: kept[name] for name in used} == used
    for name in names():
        assert Recipe.model_validate(recipe(name).model_dump(mode="json")) == recipe(name)


def test_steps_by_size_are_pairs() -> None:
    with pytest.raises(InputErrors, match="pairs of images"):
        recipe("resnet50", {"iterations_by_size": [[650, 0]]})
    assert recipe("resnet50", {"epochs": 2}).steps(192) == 2


def test_mixup_blends_images_as_it_blends_labels() -> None:
    images, targets = batch(mixup=1.0)
    assert targets.shape == (16, 4)
    torch.testing.assert_close(targets.sum(1), torch.ones(16))
    corners = torch.stack([images[:, 1, r, c] for r in (0, 7) for c in (0, 7)], 1) * 255 / 100
    torch.testing.assert_close(corners, targets)


def test_cutmix_blends_labels_by_area() -> None:
    images, targets = batch(cutmix=1.0)
    assert ((targets > 0).sum(1) == 2).any()
    whole = set(torch.unique((images[:, 1] * 255).round()).tolist())
    assert whole <= {0.0, 100.0}  # pixels come from one image or the other, never from between


def test_with_both_a_batch_has_one_of_them() -> None:
    levels = [
        set(torch.unique((batch(seed, mixup=1.0, cutmix=1.0)[0][:, 1] * 255).round()).tolist())
        for seed in range(12)
    ]
    cut = [found <= {0.0, 100.0} for found in levels]
    assert any(cut) and not all(cut)


@pytest.mark.parametrize("changes", [{"resized_crop": 0.3}, {"rand_augment": 9}, {"mixup": 0.8}])
def test_augmentation_follows_from_its_generator_and_leaves_torchs_alone(changes: dict[str, Any]) -> None:
    before = torch.get_rng_state()
    first, again, other = batch(0, **changes), batch(0, **changes), batch(1, **changes)
    assert torch.equal(first[0], again[0]) and not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], batch(0)[0]) and first[0].shape == batch(0)[0].shape
    assert torch.equal(before, torch.get_rng_state())


def test_lamb_takes_steps_as_long_as_its_learning_rate_says() -> None:
    # Lamb scales each layer's step to the layer's norm: here every step has 0.01 of it.
    chosen = recipe(
        "small",
        {"optimizer": "lamb", "learning_rate": 0.01, "iterations": 1, "warmup": 0.0, "weight_decay": 0.05},
    )
    given = loop.Task(squares(16), 16, chosen, CPU, 0)
    torch.manual_seed(0)
    model = loop.prepare(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), given)
    weight = model.network[1].weight
    before = weight.detach().clone()
    loop.train(model, [Stream(given.mixture, 16)], given)
    assert float((weight.detach() - before).norm() / before.norm()) == pytest.approx(0.01, rel=1e-3)
