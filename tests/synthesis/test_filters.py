"""Filters: what each keeps, nesting of filtered pools, and grids that use filters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from conftest import POOL_GRID

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError, InputErrors
from mousterian.executors.jobs import jobs_of
from mousterian.store.rows import Store
from mousterian.synthesis import filtering
from mousterian.synthesis.filter_scores import FilterSpec
from mousterian.synthesis.filtering import Filtered, FilterInputs
from mousterian.synthesis.filters import clip_confidence, duplicates, real_features
from mousterian.synthesis.filters._threshold import all_but_lowest
from mousterian.synthesis.kinds import FilterContext
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.trials import grid
from mousterian.trials import images as trial_images
from mousterian.trials.rows import identity_columns
from mousterian.trials.settings import Settings

NAMES = ("dark", "light", "red")
SHAPE = (8, 8, 3)


def painted(values: Any, labels: Any) -> ImageSet:
    """Return one grey image for each value."""
    grey = np.asarray(values, dtype=np.uint8)[:, None, None, None]
    return ImageSet(np.broadcast_to(grey, (len(grey), *SHAPE)).copy(), np.asarray(labels), NAMES)


def context(test: ImageSet | None = None, earlier: ImageSet | None = None, block: int = 4) -> FilterContext:
    def of_test() -> ImageSet:
        assert test is not None
        return test

    return FilterContext("cpu", None, block, lambda: earlier, of_test)


REAL = painted([10, 20, 200, 210, 100, 110], [0, 0, 1, 1, 2, 2])


def test_real_features_keeps_what_is_closer_to_its_own_class() -> None:
    images = painted([15, 205, 15, 55], [0, 1, 1, 2])
    keep, score = real_features.score(images, REAL, context())
    assert keep.tolist() == [True, True, False, False]
    assert score[0] == pytest.approx((85 - 5) / (85 + 5))
    assert score[3] == pytest.approx((35 - 45) / 80)
    assert score[2] < -0.9


def test_real_features_needs_real_images_of_every_class() -> None:
    with pytest.raises(InputError, match="2 of 3 classes"):
        real_features.score(REAL, REAL.take([0, 2]), context())


def test_distances_to_classes_are_the_direct_ones() -> None:
    random = np.random.default_rng(0)
    points, others = (random.normal(size=(n, 5)).astype(np.float32) + 100 for n in (40, 30))
    labels = np.arange(30) % 3
    direct = np.sqrt(((points[:, None] - others) ** 2).sum(2))
    expected = np.stack([direct[:, labels == k].min(1) for k in range(3)], axis=1)
    assert real_features.distance_to_classes(points, others, labels) == pytest.approx(expected, rel=1e-4)


def test_exact_copies_of_test_images_and_of_earlier_images_are_dropped() -> None:
    images = painted([1, 2, 1, 3, 4], [0, 0, 0, 0, 0])
    keep, score = duplicates.score(images, REAL, context(painted([2], [1]), painted([4], [0])))
    assert keep.tolist() == [True, False, False, True, False]
    assert score.tolist() == [64, 0, 0, 64, 0]
    inside = duplicates.score(images, REAL, context(), against_test=False)
    assert inside.keep.tolist() == [True, True, False, True, True]


def test_near_copies_are_found_at_other_brightness() -> None:
    random = np.random.default_rng(0)
    one, two = (np.kron(random.integers(40, 200, (8, 9, 1)), np.ones((4, 4, 3))) for _ in range(2))
    brighter = one * 1.1 + 5
    images = ImageSet(np.stack([one, brighter, two]).astype(np.uint8), np.zeros(3, dtype=int), NAMES)
    exact = duplicates.score(images, REAL, context(), against_test=False)
    assert exact.keep.all()
    near = duplicates.score(images, REAL, context(), against_test=False, distance=5)
    assert near.keep.tolist() == [True, False, True]
    of_test = duplicates.score(images, REAL, context(images.take([2])), distance=5, within_pool=False)
    assert of_test.keep.tolist() == [True, True, False]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{tiny.clip(tmp_path_factory.mktemp('clip') / 'clip')}"


def test_clip_confidence_is_the_probability_of_the_images_own_class(clip_folder: str) -> None:
    from mousterian.training.encoders import clip

    images = painted([0, 100, 200, 250, 30], [0, 1, 2, 0, 1])
    keep, score = clip_confidence.score(images, REAL, context(), model=clip_folder)
    loaded = clip.load(clip_folder, "", "cpu")
    logits = (
        loaded.scale * loaded.images(images.images) @ loaded.texts([f"a photo of a {n}" for n in NAMES]).T
    )
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert score == pytest.approx(chances[np.arange(5), images.labels], rel=1e-4)
    assert keep.tolist() == (score >= 1 / 3).tolist()
    dropped = clip_confidence.score(images, REAL, context(), model=clip_folder, drop=0.25)
    assert np.flatnonzero(~dropped.keep).tolist() == [int(np.argmin(score[:4]))]  # one of each block of 4
    with pytest.raises(InputError, match="not both"):
        clip_confidence.score(images, REAL, context(), model=clip_folder, drop=0.2, threshold=0.5)
    assert clip_confidence.stamp(Path(), model=clip_folder, weights="")
    assert not clip_confidence.stamp(Path(), model="RN50", weights="openai")


def test_the_lowest_fraction_of_each_block_is_dropped() -> None:
    scores = np.array([3.0, 1, 2, 4, 0, 9, 8, 7])
    assert np.flatnonzero(~all_but_lowest(scores, 0.25, 4)).tolist() == [1, 4]
    with pytest.raises(InputError, match="below 1"):
        all_but_lowest(scores, 1.0, 4)


IDENTITY = PoolIdentity("made", {}, "", 0, "elsewhere", {"name": "made", "options": {}}, 0, 1.0, 0, 0)
DARK = FilterSpec("real_features", {"features": "pixels", "margin": 0.0, "drop": 0.0}, "", {"n_base": 6})
INPUTS = FilterInputs(lambda: REAL, lambda: REAL, "cpu", None)


class ClassBlind:
    """Generates a random grey with one pixel of another colour, whatever the class."""

    def __init__(self, limit: int = 10**9) -> None:
        self.limit = limit

    def sample(self, labels: Any, indices: Any, seeds: Any) -> Any:
        images = painted(seeds % 251, labels).images
        images[:, 0, 0] = (seeds[:, None] // np.array([251, 63_001, 15_813_251])) % 256
        return images


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pool]:
    def made(folder: str = "pools", sampler: Any = None) -> Pool:
        monkeypatch.setattr(Pool, "_sampler", lambda *a: sampler or ClassBlind())
        return Pool(tmp_path / folder, IDENTITY, NAMES)

    return made


def filtered(pool: Pool, count: int, *specs: FilterSpec) -> Filtered:
    found = Filtered(pool, specs or (DARK,))
    found.ensure(count, lambda n: pool.ensure(n, SHAPE, lambda: REAL, "cpu"), INPUTS)
    return found


def test_a_filtered_pool_is_nested_in_turns_of_the_classes_and_topped_up(pool: Callable[..., Pool]) -> None:
    small = filtered(pool(), 9).read(9)
    large_pool = pool("others")
    large = filtered(large_pool, 300)
    assert large_pool.count() > 300  # more images replace those that the filter dropped
    images = large.read(300)
    assert images.labels.tolist() == [0, 1, 2] * 100
    assert images.synthetic.all()
    assert np.array_equal(images.images[:9], small.images)
    assert real_features.score(images, REAL, context()).keep.all()
    shares = large.retention()
    assert [share.class_name for share in shares] == list(NAMES)
    assert all(100 <= share.kept < share.images for share in shares)


def test_saved_scores_do_not_depend_on_how_the_pool_was_extended(pool: Callable[..., Pool]) -> None:
    once, twice = pool("once"), pool("twice")
    filtered(once, 300, DARK, FilterSpec("duplicates", {"distance": 0}, "", {}))
    for count in (9, 150, 300):
        filtered(twice, count, DARK, FilterSpec("duplicates", {"distance": 0}, "", {}))
    for path in sorted((once.folder / "filters").glob("*.parquet")):
        other = pq.read_table(twice.folder / "filters" / path.name)
        table = pq.read_table(path)
        length = min(len(table), len(other))
        assert length >= 300
        assert table.slice(0, length).equals(other.slice(0, length))
        assert table["position"].to_pylist() == list(range(len(table)))


def test_saved_scores_are_reused_and_damaged_ones_computed_again(
    pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pool()
    good = filtered(one, 9).read(9)
    calls: list[int] = []
    score = real_features.score
    monkeypatch.setattr(
        real_features, "score", lambda images, *a, **k: (calls.append(len(images)), score(images, *a, **k))[1]
    )
    filtered(one, 9)
    assert not calls
    (one.folder / "filters" / f"{DARK.key}.parquet").write_bytes(b"nothing")
    assert np.array_equal(filtered(one, 9).read(9).images, good.images)
    assert calls == [258]


def test_an_error_names_the_class_with_too_few_images(
    pool: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"real_features\): dark \(\d+ of 40\)"):
        filtered(pool(sampler=ClassBlind(limit=130)), 120)
    monkeypatch.setattr(filtering, "MAX_OVERSAMPLING", 2)
    strict = FilterSpec("real_features", {"features": "pixels", "margin": 0.999, "drop": 0.0}, "", {})
    with pytest.raises(InputError, match="of 774 scored") as caught:
        filtered(pool("strict"), 300, strict)
    assert "less strict" in caught.value.hint


def trials_of(folder: Path, line: str) -> list[Any]:
    path = folder / "grid.toml"
    path.write_text(POOL_GRID + line)
    return [trial for trial in grid.read(path)[0] if trial.n_syn_plus]


def test_a_filter_makes_another_trial_of_the_same_pool(tmp_path: Path) -> None:
    plain, half, chain = (
        trials_of(tmp_path, line)[0]
        for line in (
            "",
            'filter = {name = "real_features", drop = 0.5}',
            'filter = ["duplicates", {name = "real_features", drop = 0.5}]',
        )
    )
    assert len({plain.key, half.key, chain.key}) == 3
    assert plain.pool() == half.pool() == chain.pool()
    written = [
        json.loads(identity_columns(each)["generator_options"]).get("filter") for each in (plain, half)
    ]
    (filtered,) = written[1]
    assert (written[0], filtered["name"], filtered["drop"]) == (None, "real_features", 0.5)
    settings = Settings(tmp_path / "store", None, "cpu", "test")
    jobs = jobs_of([plain, half, chain], settings)
    assert len({job.key for job in jobs[:3]}) == 3
    assert [job.needs for job in jobs[3:]] == [job.key for job in jobs[:3]]


def test_a_grid_trains_on_what_its_filter_keeps(tmp_path: Path) -> None:
    from mousterian.trials.run import run_and_save

    one = trials_of(tmp_path, 'filter = {name = "real_features", drop = 0.5}')[0]
    settings = Settings(tmp_path / "store", None, "cpu", "test")
    run_and_save(one, settings)
    assert Store(settings.store).holds(one.key)
    used = trial_images.images_of(one, settings).synthetic
    whole = trial_images.pool_of(one, settings)
    assert used is not None and whole is not None
    everything = whole.read(whole.count())
    table = pq.read_table(next((whole.folder / "filters").glob("*.parquet")))
    kept = everything.take(np.flatnonzero(table["keep"].to_numpy()))
    for label in range(10):
        mine = used.images[used.labels == label]
        assert np.array_equal(mine, kept.images[kept.labels == label][: len(mine)])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('filter = "real_feature"', "did you mean 'real_features'"),
        ('filter = {name = "real_features", dorp = 0.2}', "did you mean 'drop'"),
        ("filter = {drop = 0.2}", "'name' is missing"),
    ],
)
def test_a_wrong_filter_is_named_with_its_place(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputErrors, match=message):
        trials_of(tmp_path, line)


def test_another_revision_of_a_filter_has_scores_of_its_own() -> None:
    later = replace(DARK, revision=2)
    assert "revision" not in DARK.text and later.key != DARK.key
    assert [FilterSpec.parse(each.text) for each in (DARK, later)] == [DARK, later]
