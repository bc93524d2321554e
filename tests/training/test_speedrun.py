"""Mixtures by index, streams, captured steps, Muon and the network of the fast recipe."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.image_set import ImageSet
from mousterian.data.loading import load_images
from mousterian.errors import InputError
from mousterian.plugins.choice import Choice
from mousterian.training import acceleration, augmentation, feed, loop
from mousterian.training.evaluations import accuracy, accuracy_of_views
from mousterian.training.feed import Stream
from mousterian.training.mixture import Mixture, resident
from mousterian.training.models.speednet import build
from mousterian.training.muon import orthogonalise
from mousterian.training.recipes import recipe

CPU = torch.device("cpu")


def digits(split: str = "train") -> ImageSet:
    return load_images(Choice("digits", {}), split, None)


def task(count: int = 40, **changes: object) -> loop.Task:
    chosen = recipe("speedrun", {"iterations": 5, "batch_size": 20, **changes})
    return loop.Task(Mixture.of(digits(), CPU).take(torch.arange(count)), count, chosen, CPU, 0)


def small(given: loop.Task) -> loop.Normalised:
    torch.manual_seed(0)
    return loop.prepare(build(10, (8, 8, 1), widths=(8, 12)), given)


def test_a_mixture_takes_each_image_from_its_own_array_and_copies_none() -> None:
    real, pool = digits(), digits("test")
    mixed = Mixture.of(real, CPU, np.array([5, 2, 9])) + Mixture.of(pool, CPU, np.arange(4))
    expected = np.concatenate([real.images[[5, 2, 9]], pool.images[:4]]).transpose(0, 3, 1, 2)
    assert np.array_equal(mixed.images(torch.arange(7)), expected)
    assert np.array_equal(mixed.take(torch.tensor([6, 0])).images(torch.arange(2)), expected[[6, 0]])
    assert mixed.labels.tolist() == [*real.labels[[5, 2, 9]], *pool.labels[:4]]
    assert mixed.arrays[0].data_ptr() == resident(real, CPU).data_ptr() == real.images.ctypes.data


def test_images_of_another_shape_are_refused() -> None:
    wide = ImageSet(np.zeros((2, 8, 9, 1), dtype=np.uint8), np.array([0, 1]), tuple("ab"))
    with pytest.raises(InputError, match="cannot mix images"):
        Mixture.of(digits(), CPU) + Mixture.of(wide, CPU)


def test_alternating_flips_show_each_image_both_ways_in_two_passes() -> None:
    given = task(20, crop=0, batch_size=20)
    preprocessing = feed.Preprocessing(torch.zeros(1), torch.ones(1), given.recipe)
    fed = feed.Feed(Stream(given.mixture, 20), preprocessing, lambda purpose: 7, torch.Generator())
    original = given.mixture.images(torch.arange(20)) / 255
    order = feed.Order(20, 20, 7)
    ways = []
    for _ in range(3):
        shown, back = fed.next()[0], order.next()[0].argsort()
        same = (shown[back] == original).flatten(1).all(1)
        mirrored = (shown[back] == original.flip(3)).flatten(1).all(1)
        assert (same ^ mirrored).all()
        ways.append(same)
    assert torch.equal(ways[0], ~ways[1]) and torch.equal(ways[0], ways[2])
    assert 0 < ways[0].sum() < 20


def test_batches_made_ahead_show_every_image_once_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed.Feed, "_steps_per_block", lambda self: 2)
    given = task(40, crop=0, flip=False)
    preprocessing = feed.Preprocessing(torch.zeros(1), torch.ones(1), given.recipe)
    fed, late = (
        feed.Feed(Stream(given.mixture, 20), preprocessing, lambda p: 7, torch.Generator()) for _ in "ab"
    )
    batches = [fed.next() for _ in range(5)]
    one_pass = torch.cat([targets for _, targets in batches[:2]])
    assert one_pass.sort().values.tolist() == given.mixture.labels.sort().values.tolist()
    late.skip(3)
    for images, targets in batches[3:]:
        again = late.next()
        assert torch.equal(again[0], images) and torch.equal(again[1], targets)


def test_blocks_of_an_accelerator_are_blended_batch_by_batch() -> None:
    # Mixup pairs an image with its neighbour in the batch; in a block of two batches none pairs across.
    given = task(8, mixup=1.0, batch_size=4, flip=False)
    preprocessing = feed.Preprocessing(torch.zeros(1), torch.ones(1), given.recipe)
    fed = feed.Feed(Stream(given.mixture, 4), preprocessing, lambda purpose: 0, torch.Generator())
    images, labels = torch.arange(8.0)[:, None, None, None].expand(8, 1, 2, 2), torch.arange(8)
    mixed, targets = fed._blended(images, labels, torch.Generator().manual_seed(1))
    assert targets.shape == (8, 10)
    assert (targets[:4, 4:] == 0).all() and (targets[4:, :4] == 0).all()
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets @ torch.arange(10.0))


def test_streams_have_their_own_modules_targets_and_losses() -> None:
    given = task(40, optimizer="sgd", learning_rate=0.1, precision="float32")
    model = loop.prepare(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)), given)
    own_norm = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), model.network[2])
    soft = functional.one_hot(given.mixture.labels, 10) * 0.8 + 0.02
    before = model.network[2].weight.detach().clone()
    asked: list[tuple[torch.Size, torch.dtype]] = []

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        asked.append((targets.shape, targets.dtype))
        return functional.mse_loss(outputs, targets)

    real, synthetic = given.mixture.take(torch.arange(20)), given.mixture.take(torch.arange(20, 40))
    loop.train(
        model,
        [
            Stream(real, 10),
            Stream(synthetic, 6, weight=0.5, targets=soft[20:], loss=loss, module=own_norm),
        ],
        given,
    )
    assert asked == [(torch.Size([6, 10]), torch.float32)] * 5
    assert not torch.equal(model.network[1].running_mean, own_norm[1].running_mean)
    assert own_norm[2].weight is model.network[2].weight
    assert not torch.equal(before, model.network[2].weight)
    assert not own_norm.training


def test_targets_of_another_number_are_refused() -> None:
    with pytest.raises(InputError, match="3 targets for the 40 images"):
        Stream(task(40).mixture, 8, targets=torch.zeros(3))


@pytest.mark.parametrize("optimizer", ["muon", "adamw", "sgd"])
def test_a_captured_step_is_kept_and_gives_each_trial_its_own_result(optimizer: str) -> None:
    # On CPU nothing is recorded, but weights go in and out and states are cleared as on an accelerator.
    rate = {"muon": 0.24, "adamw": 1e-3, "sgd": 0.05}[optimizer]
    acceleration.clear_cache()
    found = {}
    for mode in ("eager", "graph"):
        for count in (30, 40):
            plain = task(count, optimizer=optimizer, learning_rate=rate)
            given = loop.Task(**{**vars(plain), "acceleration": mode, "key": "same shape"})
            model = small(given)
            loop.train(model, [Stream(given.mixture, 20)], given)
            found[mode, count] = model.state_dict()
    assert len(acceleration._cache) == 1
    for count in (30, 40):
        eager, graph = found["eager", count], found["graph", count]
        assert all(torch.equal(eager[name], graph[name]) for name in eager)


def test_an_unknown_acceleration_is_refused_with_the_nearest() -> None:
    given = loop.Task(**{**vars(task()), "acceleration": "graf"})
    with pytest.raises(InputError, match="did you mean 'graph'"):
        loop.train(small(given), [Stream(given.mixture, 20)], given)


def test_orthogonalise_brings_singular_values_near_one_and_keeps_the_vectors() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(2, 6, 20)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalise(matrix, iterations=5)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6 and values.max() < 1.3
    aligned = left.mT @ found @ right.mT
    torch.testing.assert_close(aligned, torch.diag_embed(aligned.diagonal(dim1=1, dim2=2)), atol=0.02, rtol=0)
    torch.testing.assert_close(orthogonalise(matrix.mT), orthogonalise(matrix).mT)


def test_the_first_layer_whitens_patches_of_the_base_and_stays() -> None:
    given = task(40)
    model = small(given)
    images = augmentation.normalise(given.mixture.images(torch.arange(40)), model.mean, model.std)
    responses = functional.conv2d(images, model.network.whiten.weight).transpose(0, 1).flatten(1)
    half = responses[:4]
    torch.testing.assert_close(half, -responses[4:])
    covariance = half @ half.T / half.shape[1]
    torch.testing.assert_close(covariance, torch.eye(4), atol=0.02, rtol=0)
    before = model.network.whiten.weight.clone()
    loop.train(model, [Stream(given.mixture, 20)], given)
    assert torch.equal(before, model.network.whiten.weight)


def test_the_fast_recipe_learns_digits_from_few_images() -> None:
    given = task(300, iterations=40, batch_size=100, flip=False, crop=1)
    torch.manual_seed(0)
    model = loop.prepare(build(10, (8, 8, 1), widths=(32, 64)), given)
    loop.train(model, [Stream(given.mixture, 100)], given)
    plain = accuracy.evaluate(model, digits("test"), CPU)["top1"]
    mirrored = accuracy_of_views.evaluate(model, digits("test"), CPU, views="flip")["top1"]
    assert plain > 0.9
    assert mirrored < plain  # a mirrored digit is another one: such views are for images that have no side


@pytest.mark.parametrize("side", [3, 8, 28, 32, 96])
def test_the_network_fits_its_groups_to_the_image(side: int) -> None:
    network = build(5, (side, side, 1), widths=(4, 6, 8))
    assert network(torch.zeros(2, 1, side, side)).shape == (2, 5)
    assert len(network.groups) == {3: 1, 8: 2}.get(side, 3)


def test_images_too_small_for_the_network_are_refused() -> None:
    with pytest.raises(InputError, match="at least 3 pixels"):
        build(5, (2, 9, 1))


def test_views_are_weighted_as_said() -> None:
    class Mean(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([images[:, 0, 0, 0], images[:, 0, 0, 1]], 1)

    images = ImageSet(
        np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1), np.array([0], dtype=np.int64), ("a", "b")
    )
    model = loop.Normalised(Mean(), torch.zeros(1), torch.full((1,), 1 / 255))
    pixels = np.arange(9).reshape(3, 3)
    padded = np.pad(pixels, 1, mode="reflect")
    shown = [(pixels, 0.5), (padded[:3, :3], 0.25), (padded[2:, 2:], 0.25)]
    first = sum(w * 0.5 * (v[0, 0] + v[0, 2]) for v, w in shown)
    second = sum(w * v[0, 1] for v, w in shown)
    expected = float(np.log1p(np.exp(second - first)))
    assert accuracy_of_views.evaluate(model, images, CPU)["loss"] == pytest.approx(expected)


def test_a_small_mixture_gets_the_steps_of_the_whole_dataset() -> None:
    chosen = recipe("speedrun")
    assert [chosen.steps(n) for n in (100, 10_000, 50_000, 100_000)] == [250, 250, 250, 500]
