from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis import pools
from mousterian.synthesis.generators import _diffusion, ddpm, edm
from mousterian.synthesis.generators._diffusion_training import Training
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool

NAMES = ("left", "right")
SHAPE = (8, 8, 1)


def real(count: int = 20) -> ImageSet:
    labels = np.arange(count) % 2
    images = np.zeros((count, *SHAPE), dtype=np.uint8)
    images[labels == 0, :, :4] = 230
    images[labels == 1, :, 4:] = 230
    return ImageSet(images, labels, NAMES)


def identity(**changes: Any) -> PoolIdentity:
    options = {"channels": 8, "steps": 2, "sampling_steps": 2}
    own = PoolIdentity("edm", options, "", 0, "base", {"name": "made", "options": {}}, 0, 1.0, 20, 0)
    return replace(own, **changes)


def ensured(folder: Path, count: int, **changes: Any) -> Pool:
    pool = Pool(folder, identity(**changes), NAMES)
    pool.ensure(count, SHAPE, real, "cpu")
    return pool


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return ensured(tmp_path_factory.mktemp("pools"), 300)


def test_every_prefix_is_balanced_and_a_smaller_pool_is_a_prefix(made: Pool) -> None:
    large, small = made.read(300), made.read(7)
    assert np.array_equal(large.images[:7], small.images)
    assert small.labels.tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert small.synthetic.all()


def test_a_pool_extended_twice_equals_one_generated_at_once(made: Pool, tmp_path: Path) -> None:
    ensured(tmp_path, 10)
    extended = ensured(tmp_path, 300)
    assert np.array_equal(extended.read(300).images, made.read(300).images)


def test_extending_uses_the_saved_weights(made: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Training, "run", lambda self: pytest.fail("trained again"))
    made.ensure(600, SHAPE, real, "cpu")
    assert len(made.read(600)) == 600


def test_a_complete_pool_is_not_sampled_again(made: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "_make", lambda *a: pytest.fail("sampled again"))
    made.ensure(300, SHAPE, lambda: pytest.fail("read the real images"), "cpu")
    assert len(made.read(300)) == 300


def test_a_shard_has_each_images_class_and_seed_and_the_generator(made: Pool) -> None:
    with np.load(made.folder / "shard-00000.npz") as shard:
        assert set(shard.files) == {"images", "labels", "seeds", "generator"}
        assert len(set(shard["seeds"].tolist())) == len(shard["labels"])
        assert '"generator":"edm"' in str(shard["generator"])


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"n_base": 21},
        {"subset_seed": 1},
        {"trained_on": "upstream"},
        {"options": {}},
        {"stamp": "0"},
        {"imbalance": 2.0},
        {"n_upstream": 5},
        {"dataset": {"name": "other", "options": {}}},
    ],
)
def test_whatever_changes_the_images_changes_the_key(change: dict[str, Any]) -> None:
    assert identity(**change).key != identity().key


def test_a_corrupt_shard_is_reported_and_generated_again(tmp_path: Path) -> None:
    pool = ensured(tmp_path, 10)
    shard = pool.folder / "shard-00000.npz"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)
    with pytest.raises(InputError, match="cannot read a shard") as caught:
        pool.read(10)
    assert caught.value.where == str(shard)
    assert [path for path, _ in pools.verify(tmp_path)] == [shard]
    expected = ensured(tmp_path / "again", 10).read(10)
    aside = pool.set_damaged_aside()
    assert [path.name for path in aside] == ["shard-00000.npz.damaged"]
    assert aside[0].read_bytes() == content
    pool.ensure(10, SHAPE, real, "cpu")
    assert np.array_equal(pool.read(10).images, expected.images)
    assert not list(pools.verify(tmp_path))


def test_a_shard_of_another_pool_is_reported(tmp_path: Path) -> None:
    pool, other = ensured(tmp_path, 10), ensured(tmp_path, 10, seed=1)
    (pool.folder / "shard-00000.npz").write_bytes((other.folder / "shard-00000.npz").read_bytes())
    assert [(path.parent, fault) for path, fault in pools.verify(tmp_path)] == [
        (pool.folder, "not a shard of this pool: it comes from another generator")
    ]


class Grey:
    """A sampler with batches of 100 and prompts, which stops after `stop` batches."""

    batch = 100

    def __init__(self, stop: int = 10**9, most: int = 10**9) -> None:
        self.stop, self.most, self.batches = stop, most, list[int]()

    def sample(self, labels: Any, indices: Any, seeds: Any) -> Any:
        if len(self.batches) >= self.stop:
            raise KeyboardInterrupt
        self.batches.append(len(labels))
        if len(labels) > self.most:
            raise MemoryError("none left")
        return np.broadcast_to((seeds % 251).astype(np.uint8)[:, None, None, None], (len(labels), *SHAPE))

    def prompts(self, labels: Any, indices: Any) -> list[str]:
        return [f"{NAMES[label]} {index}" for label, index in zip(labels, indices, strict=True)]


def grey(folder: Path, sampler: Grey, monkeypatch: pytest.MonkeyPatch, count: int = 300) -> Pool:
    monkeypatch.setattr(Pool, "_sampler", lambda *a: sampler)
    return ensured(folder, count)


def test_an_interrupted_pool_loses_at_most_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = grey(tmp_path / "whole", Grey(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        grey(tmp_path, Grey(stop=2), monkeypatch)
    assert Pool(tmp_path, identity(), NAMES).count() == 0  # an incomplete shard is never read
    rest = Grey()
    pool = grey(tmp_path, rest, monkeypatch)
    assert rest.batches == [56, 100, 100, 56]
    assert np.array_equal(pool.read(512).images, whole.read(512).images)
    assert not (pool.folder / "batches").exists()


def test_a_damaged_batch_is_generated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyboardInterrupt):
        grey(tmp_path, Grey(stop=2), monkeypatch)
    first = min((Pool(tmp_path, identity(), NAMES).folder / "batches").iterdir())
    first.write_bytes(first.read_bytes()[:1000])
    rest = Grey()
    grey(tmp_path, rest, monkeypatch, 10)
    assert rest.batches == [100, 56]


def test_the_batch_is_halved_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Grey(most=30)
    pool = grey(tmp_path, short, monkeypatch, 10)
    assert short.batches == [100, 50, *[25] * 8, 25, 25, 6]  # the size that fits is remembered
    assert np.array_equal(pool.read(256).images, grey(tmp_path / "w", Grey(), monkeypatch).read(256).images)
    with pytest.raises(InputError, match="one image at a time"):
        grey(tmp_path / "none", Grey(most=0), monkeypatch)


def test_prompts_are_saved_with_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = grey(tmp_path, Grey(), monkeypatch)
    assert pool.prompts(3) == ["left 0", "right 0", "left 1"]
    assert len(pool.prompts(300)) == 300
    assert ensured_plain(tmp_path / "plain", monkeypatch).prompts(3) == []


def ensured_plain(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.delattr(Grey, "prompts")
    return grey(folder, Grey(), monkeypatch)


def _want_pool(folder: Path, log: Path) -> None:
    train = Training.run

    def logged(self: Training) -> Any:
        with log.open("a") as file:
            file.write("trained\n")
        return train(self)

    Training.run = logged  # type: ignore[method-assign]
    ensured(folder, 10)


def test_two_processes_that_need_one_pool_train_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    processes = [context.Process(target=_want_pool, args=(tmp_path, log)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert log.read_text() == "trained\n"


@pytest.mark.parametrize(("generator", "steps"), [(edm, 60), (ddpm, 150)])
def test_a_trained_generator_samples_the_requested_class(generator: Any, steps: int, tmp_path: Path) -> None:
    context = GeneratorContext(NAMES, SHAPE, 0, "cpu", tmp_path)
    sampler = generator.fit(real(), context, channels=16, steps=steps, batch_size=32, sampling_steps=8)
    labels = np.array([0, 1] * 8)
    images = sampler.sample(labels, np.arange(16) // 2, np.arange(16))
    leaning = images[:, :, :4].mean(axis=(1, 2, 3)) - images[:, :, 4:].mean(axis=(1, 2, 3))
    assert leaning[labels == 0].min() > 20
    assert leaning[labels == 1].max() < -20
    assert len({image.tobytes() for image in images}) == 16


def test_the_noise_of_an_image_does_not_depend_on_the_batch() -> None:
    together = _diffusion.noise(SHAPE, np.array([5, 6, 7]))
    assert np.array_equal(_diffusion.noise(SHAPE, np.array([6])), together[1:2])


def test_saved_weights_of_another_network_are_reported(tmp_path: Path) -> None:
    context = GeneratorContext(NAMES, SHAPE, 0, "cpu", tmp_path)
    edm.fit(real(), context, channels=8, steps=1)
    with pytest.raises(InputError, match="cannot be used") as caught:
        edm.fit(real(), context, channels=16, steps=1)
    assert "weights.safetensors" in caught.value.where


@pytest.mark.parametrize(("side", "millions"), [(8, 0.2), (32, 35.7)])
def test_the_size_of_ddpm_depends_on_the_image(side: int, millions: float) -> None:
    # 35.7 million parameters: Ho et al. 2020, Appendix B (unconditional CIFAR-10).
    network = ddpm.size_for(side).network((side, side, 3 if side == 32 else 1), 10)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, rel=0.25)
