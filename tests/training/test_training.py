from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.training import augmentation, feed, loop
from mousterian.training.evaluations.accuracy import evaluate
from mousterian.training.feed import Stream
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import names, recipe

CPU = torch.device("cpu")


def stripes(count: int, seed: int = 0) -> ImageSet:
    """Two classes that a linear model separates: horizontal and vertical stripes, with noise."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    images = random.integers(0, 60, (count, 8, 8, 1), dtype=np.uint8)
    images[labels == 0, ::2] += 150
    images[labels == 1, :, ::2] += 150
    return ImageSet(images, labels, ("horizontal", "vertical"))


def task(mixture: ImageSet, n_base: int | None = None, seed: int = 0, **changes: object) -> loop.Task:
    chosen = recipe("small", {"crop": 0, **changes})
    return loop.Task(Mixture.of(mixture, CPU), n_base or len(mixture), chosen, CPU, seed)


def linear(given: loop.Task) -> loop.Normalised:
    torch.manual_seed(0)
    return loop.prepare(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), given)


def streams(images: Mixture, batch: int = 16, weight: float = 1.0) -> list[Stream]:
    return [Stream(images, batch, weight)]


def test_training_learns_and_counts_what_it_saw() -> None:
    given = task(stripes(40), iterations=60, batch_size=16)
    model = linear(given)
    cost = loop.train(model, streams(given.mixture), given)
    assert evaluate(model, stripes(50, seed=1), CPU)["top1"] > 0.95
    assert (cost.steps, cost.images_seen) == (60, 960)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    weights = []
    for seed in (0, 0, 1):
        given = task(stripes(40), seed=seed, iterations=5)
        model = linear(given)
        loop.train(model, streams(given.mixture), given)
        weights.append(next(model.parameters()).detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_every_image_is_seen_once_before_any_is_seen_twice() -> None:
    order = feed.Order(size=10, batch=4, seed=0)
    drawn = torch.cat([order.next()[0] for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    assert drawn[:10].tolist() != drawn[10:].tolist()


def test_a_stream_of_weight_zero_changes_nothing() -> None:
    given = task(stripes(40), iterations=5, weight_decay=0.0)
    alone, beside = linear(given), linear(given)
    loop.train(alone, streams(given.mixture), given, steps=5)
    loop.train(
        beside,
        [*streams(given.mixture), *streams(Mixture.of(stripes(40, seed=9), CPU), weight=0.0)],
        given,
        steps=5,
    )
    assert torch.equal(next(alone.parameters()), next(beside.parameters()))


def test_the_loss_is_the_weighted_sum_of_the_streams_means() -> None:
    given = task(
        stripes(40),
        iterations=1,
        optimizer="sgd",
        learning_rate=1.0,
        momentum=0.0,
        weight_decay=0.0,
        warmup=0.0,
        schedule="constant",
    )
    moved = []
    for weight in (1.0, 0.5):
        model = linear(given)
        before = next(model.parameters()).detach().clone()
        loop.train(model, streams(given.mixture, batch=40, weight=weight), given)
        moved.append(next(model.parameters()).detach() - before)
    torch.testing.assert_close(moved[1], 0.5 * moved[0])


def test_a_training_that_diverges_says_at_which_step() -> None:
    given = task(stripes(40), iterations=20, optimizer="sgd", learning_rate=1e38, warmup=0.0)
    with pytest.raises(loop.Diverged, match=r"not finite at step [23] of 20") as caught:
        loop.train(linear(given), streams(given.mixture), given)
    assert caught.value.cost.steps == 20


def test_weights_that_overflow_at_the_last_step_are_seen() -> None:
    given = task(stripes(40), iterations=1, optimizer="sgd", learning_rate=3e38, weight_decay=1.0, warmup=0.0)
    model = linear(given)
    with torch.no_grad():
        next(model.parameters()).mul_(100)
    with pytest.raises(loop.Diverged, match="a weight is not finite"):
        loop.train(model, streams(given.mixture), given)


def test_an_empty_stream_is_refused() -> None:
    given = task(stripes(40))
    with pytest.raises(InputError, match="no images"):
        loop.train(linear(given), streams(Mixture.of(stripes(0), CPU)), given)


def test_statistics_come_from_the_base_alone() -> None:
    base, bright = stripes(20), stripes(20)
    bright.images[:] = 255
    mixed = ImageSet(
        np.concatenate([base.images, bright.images]), np.concatenate([base.labels] * 2), base.class_names
    )
    assert torch.equal(linear(task(mixed, n_base=20)).mean, linear(task(base)).mean)


def test_evaluation_counts() -> None:
    class Fixed(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[3.0, 2, 1, 0, 0, 0, 0], [0, 0, 5, 0, 0, 0, 0], [9, 0, 0, 0, 0, 0, 0.0]])

    images = ImageSet(np.zeros((3, 2, 2, 1), dtype=np.uint8), np.array([1, 2, 6]), tuple("abcdefg"))
    found = evaluate(loop.Normalised(Fixed(), torch.zeros(1), torch.ones(1)), images, CPU)
    assert (found["correct"], found["total"]) == (1, 3)
    assert found["top1"] == pytest.approx(1 / 3)
    assert found["per_class"][1:3] == [0.0, 1.0]
    assert found["top5"] >= 2 / 3


def test_crop_shifts_by_at_most_the_padding_and_reflects() -> None:
    image = torch.arange(64, dtype=torch.uint8).reshape(1, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    crops = augmentation.random_crop(image.expand(200, 1, 8, 8).float(), 1, generator)
    padded = torch.nn.functional.pad(image.float(), (1, 1, 1, 1), mode="reflect")
    allowed = {
        tuple(padded[0, 0, r : r + 8, c : c + 8].flatten().tolist()) for r in range(3) for c in range(3)
    }
    assert {tuple(crop.flatten().tolist()) for crop in crops} == allowed


def test_flip_mirrors_about_half() -> None:
    images = torch.arange(4.0).reshape(1, 1, 1, 4).expand(1000, 1, 1, 4)
    flipped = augmentation.random_flip(images, torch.Generator().manual_seed(0))
    mirrored = (flipped[:, 0, 0, 0] == 3).float().mean()
    assert 0.4 < mirrored < 0.6
    assert {tuple(row.tolist()) for row in flipped[:, 0, 0]} == {(0, 1, 2, 3), (3, 2, 1, 0)}


def test_the_papers_recipes() -> None:
    # Tables 7 and 8 and Appendix D of the main paper.
    full, small = recipe("resnet110"), recipe("resnet110_small")
    assert (full.epochs, small.epochs) == (160, 320)
    assert full.steps(50_000) == 160 * 50_000 / 128
    rates = [full.learning_rate_at(step, 160) for step in (0, 79, 80, 119, 120, 159)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert (full.momentum, full.weight_decay, full.optimizer) == (0.9, 1e-4, "sgd")


def test_warm_up_and_cosine() -> None:
    row = recipe("small", {"warmup": 0.1, "learning_rate": 1.0})
    rates = [row.learning_rate_at(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(1.0)
    assert rates[-1] < 0.01


def test_a_length_given_replaces_the_tables() -> None:
    assert recipe("small", {"epochs": 3}).iterations is None
    assert recipe("resnet110", {"iterations": 7}).steps(999) == 7
    assert set(names()) >= {"small", "resnet110"}
