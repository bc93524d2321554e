"""Each quality measure on cases whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mousterian.data.datasets import digits
from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.quality.kinds import MeasureContext, Points
from mousterian.quality.measures import (
    clip_score,
    diversity,
    domain_gap,
    fid,
    inception_score,
    kid,
    memorisation,
    precision_recall,
    subspace,
)
from mousterian.quality.measures._neighbours import balls_around, nearest
from mousterian.training.encoders import clip
from mousterian.training.feature_spaces import Output, Spaces
from mousterian.training.loop import Cost, Diverged


class GivenSpaces(Spaces):
    """Feature spaces with given outputs."""

    def __init__(self) -> None:
        super().__init__("cpu")
        self.given: dict[ImageSet, Output] = {}

    def outputs(self, images: ImageSet, name: str) -> Output:
        return self.given[images]


def blank(count: int, classes: int = 1) -> ImageSet:
    names = tuple(f"class {k}" for k in range(classes))
    return ImageSet(np.zeros((count, 4, 4, 1), np.uint8), np.arange(count) % classes, names)


def given(
    *features: NDArray[np.floating], classes: int = 1, probabilities: bool = False
) -> tuple[ImageSet, ImageSet, ImageSet, MeasureContext]:
    """Pool, real and test images with these features (or class probabilities)."""
    spaces = GivenSpaces()
    sets = [blank(len(part), classes) for part in features]
    for images, part in zip(sets, features, strict=True):
        values = part.astype(np.float32)
        spaces.given[images] = Output(values, values if probabilities else None)
    return *sets, MeasureContext(spaces)


def gaussian(mean: float, deviation: float, count: int = 4000, width: int = 3, seed: int = 0) -> NDArray:
    """Features whose sample mean and covariance are exactly those named."""
    raw = np.random.default_rng(seed).normal(size=(count, width))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return mean + deviation * white


@pytest.fixture(scope="module")
def real() -> ImageSet:
    # Shuffled: neighbours in the file are by the same writers.
    return digits.load("train", Path()).take(np.random.default_rng(0).permutation(1197))


@pytest.fixture(scope="module")
def held_out() -> ImageSet:
    return digits.load("test", Path())


def copied(images: ImageSet) -> ImageSet:
    return ImageSet(images.images, images.labels, images.class_names, np.ones(len(images), dtype=bool))


def noise(count: int, seed: int = 0) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    marks = np.ones(count, dtype=bool)
    return ImageSet(pixels, np.arange(count) % 10, tuple("0123456789"), marks)


def test_fid_of_two_gaussians_is_the_closed_form() -> None:
    # |m1 - m2|² + Σ (s1 - s2)², in three dimensions.
    pool, real, test, context = given(gaussian(2, 3), gaussian(0, 1, seed=1), gaussian(0, 1, seed=2))
    found = fid.measure(pool, real, test, context)
    assert found["fid"] == pytest.approx(3 * 2**2 + 3 * (3 - 1) ** 2, rel=1e-3)
    assert found["fid_of_test"] == pytest.approx(0, abs=1e-3)


def test_frechet_distance_of_covariances_that_do_not_commute() -> None:
    from scipy import linalg

    random = np.random.default_rng(0)
    one, other = (np.cov(random.normal(size=(9, 4)) @ random.normal(size=(4, 4)), rowvar=False) for _ in "12")
    direct = np.trace(one + other - 2 * linalg.sqrtm(one @ other).real)
    zero = np.zeros(4)
    assert fid.frechet((zero, one), (zero, other)) == pytest.approx(direct, rel=1e-9)


def test_frechet_distance_with_fewer_images_than_features() -> None:
    features = np.random.default_rng(0).normal(size=(5, 50)).astype(np.float32)
    assert fid.frechet(fid.gaussian(features), fid.gaussian(features)) == pytest.approx(0, abs=1e-6)


def test_inception_score_of_sure_and_even_answers_is_the_number_of_classes() -> None:
    sure, unsure = np.tile(np.eye(4), (25, 1)), np.full((100, 4), 0.25)
    pool, real, test, context = given(sure, unsure, unsure, probabilities=True)
    found = inception_score.measure(pool, real, test, context, splits=1)
    assert found["inception_score"] == pytest.approx(4)
    assert found["inception_score_of_test"] == pytest.approx(1)
    one_class = np.tile(np.eye(4)[:1], (100, 1))
    assert inception_score.score(one_class) == pytest.approx(1)


def test_inception_score_needs_a_space_with_classes() -> None:
    pool, real, test, context = given(*(np.ones((4, 2)),) * 3)
    with pytest.raises(InputError, match="classes"):
        inception_score.measure(pool, real, test, context)


def test_kid_is_unbiased_and_grows_with_the_distance() -> None:
    pool, real, test, context = given(gaussian(1, 1), gaussian(0, 1, seed=1), gaussian(0, 1, seed=2))
    found = kid.measure(pool, real, test, context, subsets=20, subset_size=500)
    assert abs(found["kid_of_test"]) < 0.05 < found["kid"]


def test_kernel_distance_by_hand() -> None:
    # Kernel (xy + 1)³ of 0, 0 and 1, 1: 1 within the zeros, 8 within the ones, 1 across.
    zeros, ones = np.zeros((2, 1)), np.ones((2, 1))
    assert kid.squared_discrepancy(zeros, ones) == pytest.approx(1 + 8 - 2 * 1)


def test_precision_and_recall_of_part_of_the_real_images_and_of_elsewhere() -> None:
    real = np.concatenate([gaussian(0, 1, 300, seed=1), gaussian(50, 1, 300, seed=2)])
    half = np.concatenate([gaussian(0, 1, 300, seed=3), gaussian(0, 1, 300, seed=4)])
    pool, real_set, test, context = given(half, real, real)
    one_mode = precision_recall.measure(pool, real_set, test, context)
    assert one_mode["precision"] > 0.9
    assert 0.4 < one_mode["recall"] <= 0.5 and one_mode["coverage"] <= 0.5
    pool, real_set, test, context = given(gaussian(-50, 1, 600), real, real)
    elsewhere = precision_recall.measure(pool, real_set, test, context)
    assert elsewhere == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_neighbours_in_blocks_are_those_of_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from mousterian.quality.measures import _neighbours

    random = np.random.default_rng(0)
    points, others = (random.normal(size=(n, 5)).astype(np.float32) for n in (40, 30))
    table = np.linalg.norm(points[:, None] - others[None], axis=2)
    monkeypatch.setattr(_neighbours, "_CELLS", 100)
    found = nearest(points, others, 2, "cpu")
    assert np.array_equal(found.positions, table.argsort(1)[:, :2])
    assert np.allclose(found.distances, np.sort(table, 1)[:, :2], atol=1e-5)
    own = nearest(points, points, 1, "cpu", same=True)
    assert (own.positions[:, 0] != np.arange(40)).all()
    inside = balls_around(points, others, np.full(30, 2.0, np.float32), "cpu")
    assert np.array_equal(inside, (table <= 2).sum(1))


def test_a_copied_pool_is_memorised_and_unseen_images_are_not(real: ImageSet, held_out: ImageSet) -> None:
    seen, unseen = real.take(np.arange(0, 600)), real.take(np.arange(600, 1197))
    context = MeasureContext(seen=seen)
    copies = memorisation.measure(copied(seen), real, held_out, context)
    assert copies["copies"] > 0.99 and copies["nearer_to_seen"] == 1 and copies["nearer_than_unseen"] == 1
    assert copies["seen_distance"] == 0 and copies["seen_images"] == 600
    fresh = memorisation.measure(copied(unseen), real, held_out, context)
    assert fresh["copies"] < 0.01
    assert 0.4 < fresh["nearer_to_seen"] < 0.6 and 0.4 < fresh["nearer_than_unseen"] < 0.6


def test_half_a_pool_of_copies_is_reported_as_half(real: ImageSet, held_out: ImageSet) -> None:
    seen = real.take(np.arange(300))
    mixed = copied(real.take(np.r_[0:150, 600:750]))
    assert memorisation.measure(mixed, real, held_out, MeasureContext(seen=seen))["copies"] == pytest.approx(
        0.5, abs=0.02
    )


def test_domain_gap_of_two_halves_of_the_real_images_and_of_noise(real: ImageSet, held_out: ImageSet) -> None:
    half, other = (real.take(np.arange(start, 1196, 2)) for start in (0, 1))
    saved: list[Points] = []
    same = domain_gap.measure(copied(half), other, held_out, MeasureContext(keep=saved.append), patches=0)
    # 300 held-out images: four standard errors.
    assert same["domain_accuracy"] == pytest.approx(0.5, abs=0.12)
    far = domain_gap.measure(noise(598), other, held_out, MeasureContext(keep=saved.append), patches=1)
    assert far["domain_accuracy"] > 0.99 and far["domain_accuracy_of_patches"] > 0.9
    assert [len(points.at) for points in saved] == [300, 300]
    assert saved[1].synthetic.sum() == 150


def test_patches_are_cut_from_their_own_image() -> None:
    images = ImageSet(np.arange(2 * 36, dtype=np.uint8).reshape(2, 6, 6, 1), np.array([0, 1]), ("a", "b"))
    patches = domain_gap.cut_patches(images, 3, 5, seed=1)
    assert patches.shape == (3, 3, 1) and patches.labels.tolist() == [0] * 5 + [1] * 5
    for patch, label in zip(patches.images[..., 0].astype(int), patches.labels, strict=True):
        top, left = divmod(patch[0, 0] - 36 * label, 6)
        assert np.array_equal(patch, images.images[label, top : top + 3, left : left + 3, 0])
    assert len({patch.tobytes() for patch in patches.images}) > 5


def test_the_same_subspace_and_one_at_right_angles() -> None:
    random = np.random.default_rng(0)
    flat = np.zeros((300, 6))
    flat[:, :2] = random.normal(size=(300, 2))
    pool, real, test, context = given(np.roll(flat, 3, axis=1), flat, flat)
    found = subspace.measure(pool, real, test, context, components=2)
    assert found["subspace_overlap"] == pytest.approx(0, abs=1e-9)
    assert found["largest_angle"] == pytest.approx(90)
    assert found["real_variance_in_synthetic"] == pytest.approx(0, abs=1e-9)
    assert found["subspace_overlap_of_test"] == pytest.approx(1)


def test_the_plot_separates_real_and_synthetic_points() -> None:
    saved: list[Points] = []
    pool, real, test, context = given(gaussian(9, 1, 50), gaussian(0, 1, 60), gaussian(0, 1, 40))
    pool.synthetic[:] = True
    subspace.measure(pool, real, test, MeasureContext(context.spaces, keep=saved.append), points=30)
    [points] = saved
    assert points.at.shape == (60, 2) and points.synthetic.sum() == 30
    middles = [points.at[points.synthetic == mark].mean(0) for mark in (True, False)]
    assert np.linalg.norm(middles[0] - middles[1]) == pytest.approx(9 * math.sqrt(3), rel=0.1)


def test_diversity_of_one_image_repeated_and_of_as_many_real_ones() -> None:
    real = gaussian(0, 1, 200, width=20, seed=1)
    repeated = np.tile(real[:2], (100, 1))
    pool, real_set, test, context = given(repeated, real, real, classes=2)
    collapsed = diversity.measure(pool, real_set, test, context)
    assert collapsed["diversity"] < 0.05
    assert set(collapsed) == {"diversity", "diversity_lowest", "diversity.class 0", "diversity.class 1"}
    pool, real_set, test, context = given(gaussian(0, 1, 200, width=20, seed=2), real, real, classes=2)
    assert diversity.measure(pool, real_set, test, context)["diversity"] == pytest.approx(1, abs=0.1)


def test_effective_number_of_images() -> None:
    assert diversity.effective_number(np.zeros(10)) == pytest.approx(5)  # five that share nothing
    assert diversity.effective_number(np.ones(10)) == pytest.approx(1)


def test_clip_score_uses_prompts_if_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    class Axes:
        """A CLIP with unit vectors: the axis of a text's last digit, and that of an image's first pixel."""

        def images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.eye(3, dtype=np.float32)[images[:, 0, 0, 0]]

        def texts(self, texts: list[str]) -> NDArray[np.float32]:
            return np.eye(3, dtype=np.float32)[[int(text[-1]) for text in texts]]

    monkeypatch.setattr(clip, "load", lambda *arguments: Axes())
    pool = ImageSet(
        np.array([0, 1, 2, 0], np.uint8)[:, None, None, None], np.array([0, 1, 0, 0]), tuple("012")
    )
    found = clip_score.measure(pool, pool, pool, MeasureContext(), weights="none")
    assert found == {"clip_score": 75, "clip_score_of_test": 75, "clip_right": 0.75}
    prompts = ("picture 0", "picture 1", "picture 2", "picture 0")
    found = clip_score.measure(pool, pool, pool, MeasureContext(prompts=prompts), weights="none")
    assert found["clip_score"] == 100


def test_a_domain_classifier_that_diverges_is_reported(
    real: ImageSet, held_out: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*arguments: object) -> None:
        raise Diverged("the loss was not finite at step 3", Cost(3, 3, 0.0))

    monkeypatch.setattr("mousterian.training.feature_networks.train", diverge)
    with pytest.raises(InputError, match=r"small_cnn by the recipe small diverged: .* step 3"):
        domain_gap.measure(copied(held_out), real, held_out, MeasureContext())


@pytest.mark.parametrize(
    ("measure", "options", "message"),
    [
        (inception_score, {"splits": 0}, "splits is 0"),
        (kid, {"subset_size": 1}, "subset_size"),
        (precision_recall, {"neighbours": 0}, "neighbours is 0"),
        (domain_gap, {"patch": 99}, "at most 8 pixels"),
        (domain_gap, {"held_out": 1.0}, "held_out"),
        (subspace, {"components": 0}, "one component"),
        (clip_score, {"template": "a photo", "weights": "x"}, "has no {}"),
    ],
)
def test_invalid_options_are_reported(
    measure: object, options: dict[str, object], message: str, real: ImageSet, held_out: ImageSet
) -> None:
    with pytest.raises(InputError, match=message):
        measure.measure(copied(held_out), real, held_out, MeasureContext(), **options)  # type: ignore[attr-defined]
