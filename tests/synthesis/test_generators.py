"""Resuming interrupted trainings, running out of memory, diverging losses, and the samplers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from mousterian.data.image_set import ImageSet
from mousterian.data.sample_sheet import sheet
from mousterian.errors import InputError
from mousterian.synthesis.generators import ddpm, edm
from mousterian.synthesis.generators._diffusion_training import CHECKPOINT, LOSSES, Training
from mousterian.synthesis.generators._edm_augmentation import augmented
from mousterian.synthesis.generators._training_preview import SHEET, Preview
from mousterian.synthesis.kinds import GeneratorContext, sampler_inputs
from mousterian.training import checkpoint

NAMES = ("left", "right")
SHAPE = (8, 8, 1)
STEPS = 5
TINY = {"channels": 8, "batch_size": 8, "flip": True}


def real(count: int = 20) -> ImageSet:
    labels = np.arange(count) % 2
    images = np.zeros((count, *SHAPE), dtype=np.uint8)
    images[labels == 0, :, :4] = 230
    images[labels == 1, :, 4:] = 230
    return ImageSet(images, labels, NAMES)


def context(folder: Path) -> GeneratorContext:
    return GeneratorContext(NAMES, SHAPE, 0, "cpu", folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(folder / "weights.safetensors")
    return found


class InterruptionError(Exception):
    """The training is interrupted."""


@pytest.fixture
def dropout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use dropout in small networks, so that its random state has to be restored."""
    for module in (edm, ddpm):
        row = module.SIZES["8"].changed(dropout=0.2)
        monkeypatch.setattr(module, "SIZES", {**module.SIZES, "8": row})


@pytest.mark.usefixtures("dropout")
@pytest.mark.parametrize("generator", [edm, ddpm])
def test_a_training_interrupted_after_any_step_resumes_bit_for_bit(
    generator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator.fit(real(), context(tmp_path / "whole"), steps=STEPS, **TINY)
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    advance = Training._advance
    for cut in range(1, STEPS):

        def interrupt(self: Training, at: int = cut) -> None:
            if self.step == at:
                raise InterruptionError
            advance(self)

        folder = tmp_path / str(cut)
        monkeypatch.setattr(Training, "_advance", interrupt)
        with pytest.raises(InterruptionError):
            generator.fit(real(), context(folder), steps=STEPS, **TINY)
        assert (folder / CHECKPOINT).exists()
        assert not (folder / "weights.safetensors").exists()
        began = []
        monkeypatch.setattr(Training, "_advance", lambda self, b=began: (b.append(self.step), advance(self)))
        generator.fit(real(), context(folder), steps=STEPS, **TINY)
        assert began == list(range(cut, STEPS))
        whole = weights(tmp_path / "whole")
        assert all(torch.equal(value, whole[name]) for name, value in weights(folder).items())
        assert (folder / LOSSES).read_text() == (tmp_path / "whole" / LOSSES).read_text()
        # It drew a sample sheet after every step, the uninterrupted one none: they do not affect the result.
        assert (folder / SHEET).exists() and not (tmp_path / "whole" / SHEET).exists()
        assert not (folder / CHECKPOINT).exists()


@pytest.mark.parametrize("generator", [edm, ddpm])
def test_the_sample_sheet_of_a_training_shows_the_pool_if_it_ended_now(
    generator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(Preview, "due", lambda self: True)
    made = generator.fit(real(), context(tmp_path), steps=STEPS, sampling_steps=3, **TINY)
    first = sampler_inputs(np.arange(24), len(NAMES), 0)
    images = ImageSet(made.sample(*first), first.labels, NAMES)
    assert (tmp_path / SHEET).read_bytes() == sheet(images)


def test_sample_sheets_take_a_small_share_of_a_training_and_never_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Sampler:
        def sample(self, *arguments: Any) -> Any:
            raise MemoryError("none left")

    clock = iter([0.0, 10.0, 12.0, 111.0, 112.0])
    preview = Preview(lambda network: Sampler(), context(tmp_path))
    monkeypatch.setattr(
        "mousterian.synthesis.generators._training_preview.time.perf_counter", lambda: next(clock)
    )
    assert preview.due()
    preview.draw(torch.nn.Identity())  # took 2 seconds, so the next is due after 100
    assert [preview.due(), preview.due()] == [False, True]
    assert "no sample sheet" in caplog.text and "one image at a time" in caplog.text
    assert not (tmp_path / SHEET).exists()


def test_the_losses_of_a_training_are_saved_and_fall(tmp_path: Path) -> None:
    reports: list[tuple[str, int, int, str]] = []
    watched = GeneratorContext(NAMES, SHAPE, 0, "cpu", tmp_path, lambda *report: reports.append(report))
    edm.fit(real(), watched, steps=60, channels=16, batch_size=32)
    rows = np.loadtxt(tmp_path / LOSSES, delimiter=",", skiprows=1)
    assert rows[:, 0].tolist() == list(range(1, 61))
    assert rows[-10:, 1].mean() < rows[:10, 1].mean() / 2
    assert reports[-1][:3] == ("training", 60, 60)


def test_the_batch_is_halved_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss, sizes = edm._loss, []

    def short_of_memory(network: Any, images: Any, labels: Any, random: Any) -> Any:
        sizes.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return loss(network, images, labels, random)

    monkeypatch.setattr(edm, "_loss", short_of_memory)
    edm.fit(real(), context(tmp_path), steps=2, **TINY)
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]
    monkeypatch.setattr(edm, "_loss", lambda *a: (_ for _ in ()).throw(MemoryError("none left")))
    with pytest.raises(InputError, match="one image at a time"):
        edm.fit(real(), context(tmp_path / "none"), steps=2, **TINY)


def test_a_loss_that_is_not_finite_is_reported_and_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    loss = ddpm._loss
    monkeypatch.setattr(ddpm, "_loss", lambda *a, **k: loss(*a, **k) * float("nan"))
    with pytest.raises(InputError, match="the loss is nan at step 1") as caught:
        ddpm.fit(real(), context(tmp_path), steps=3, **TINY)
    assert "learning_rate" in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_heun_is_karras_algorithm_1_and_of_second_order() -> None:
    # For normal data with standard deviation 2, the denoiser and the end of the trajectory are known.
    spread = 2.0

    def denoise(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return images * spread**2 / (spread**2 + sigma**2)

    start = torch.ones(1, 1, 1, 1)
    exact = edm.SIGMA_MAX * spread / np.sqrt(spread**2 + edm.SIGMA_MAX**2)
    errors = [abs(edm.heun(denoise, start, steps).item() - exact) for steps in (9, 18, 36)]
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3
    levels = edm.sigmas(18)
    assert levels[0].item() == pytest.approx(80)
    assert levels[-2].item() == pytest.approx(0.002)
    assert levels[-1] == 0


@pytest.mark.parametrize(
    ("generator", "sampler", "steps"),
    [(edm, "dpm_solver", 8), (edm, "heun", 8), *((ddpm, s, 12) for s in ("ddim", "dpm_solver", "unipc"))],
)
def test_every_sampler_generates_the_requested_class(
    generator: Any, sampler: str, steps: int, trained: dict[Any, Path]
) -> None:
    made = generator.fit(
        real(), context(trained[generator]), channels=16, sampler=sampler, sampling_steps=steps
    )
    labels = np.array([0, 1] * 4)
    images = made.sample(labels, np.arange(8) // 2, np.arange(8))
    leaning = images[:, :, :4].mean(axis=(1, 2, 3)) - images[:, :, 4:].mean(axis=(1, 2, 3))
    assert leaning[labels == 0].min() > 20
    assert leaning[labels == 1].max() < -20


def test_ancestral_noise_is_each_images_own(trained: dict[Any, Path]) -> None:
    made = ddpm.fit(real(), context(trained[ddpm]), channels=16, sampler="ancestral", sampling_steps=4)
    labels, seeds = np.array([0, 1, 0]), np.array([5, 6, 7])
    together = made.sample(labels, np.arange(3), seeds)
    alone = made.sample(labels[1:2], np.arange(1), seeds[1:2])
    assert np.abs(together[1:2].astype(int) - alone).max() <= 1  # rounding depends on the batch size


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Path]:
    folders = {module: tmp_path_factory.mktemp(module.__name__) for module in (edm, ddpm)}
    edm.fit(real(), context(folders[edm]), channels=16, steps=60, batch_size=32)
    ddpm.fit(real(), context(folders[ddpm]), channels=16, steps=150, batch_size=32)
    return folders


def test_presets_are_the_papers_rows() -> None:
    assert edm.size_for(32) == edm.SIZES["cifar10"]
    assert edm.size_for(32).steps * edm.size_for(32).batch_size == pytest.approx(200e6, rel=0.03)
    assert ddpm.size_for(32).learning_rate == 2e-4
    for module in (edm, ddpm):
        passes = [
            module.SIZES[name].steps * module.SIZES[name].batch_size / images
            for name, images in (("cifar10", 50_000), ("cifar_half", 25_000), ("cifar_small", 5_000))
        ]
        assert passes == pytest.approx([passes[0]] * 3)


def test_conditions_describe_the_augmentation() -> None:
    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    flipped, conditions = augmented(images, 0.0, torch.Generator().manual_seed(0))
    flips = conditions[:, 0] == 1
    assert 16 < int(flips.sum()) < 48
    expected = torch.where(flips[:, None, None, None], images.flip(3), images)
    assert torch.allclose(flipped, expected, atol=1e-5)
    assert not conditions[:, 1:].any()
    _, conditions = augmented(images, 1.0, torch.Generator().manual_seed(0))
    assert (conditions[:, 1:] != 0).float().mean() > 0.95


def test_augmentation_does_not_leak_into_the_samples(tmp_path: Path) -> None:
    """A flipped image looks like one of the other class; the samples are still of their own."""
    made = edm.fit(real(), context(tmp_path), channels=16, steps=400, batch_size=32, augment=0.12)
    labels = np.arange(40) % 2
    samples = made.sample(labels, np.arange(40), np.arange(40)).astype(float)
    brighter_left = samples[:, :, :4].mean((1, 2, 3)) > samples[:, :, 4:].mean((1, 2, 3))
    assert ((labels == 0) == brighter_left).mean() > 0.9


def test_augmented_weights_of_older_versions_are_read(tmp_path: Path) -> None:
    """Older versions called the conditioning `told`, also in the keys of its weights."""
    options = {"channels": 8, "steps": 3, "augment": 0.12, "sampling_steps": 2}
    image = np.zeros(1, dtype=np.int64)
    expected = edm.fit(real(), context(tmp_path), **options).sample(image, image, image)
    old = {name.replace("conditioning.", "told."): value for name, value in weights(tmp_path).items()}
    assert "told.classes.weight" in old
    save_file(old, tmp_path / "weights.safetensors")
    assert np.array_equal(edm.fit(real(), context(tmp_path), **options).sample(image, image, image), expected)


@pytest.mark.parametrize("generator", [edm, ddpm])
def test_a_network_on_patches_generates_whole_images(generator: Any, tmp_path: Path) -> None:
    made = generator.fit(real(), context(tmp_path), channels=8, steps=3, patch=2)
    assert made.network.unet.config.sample_size == (4, 4)
    assert made.sample(np.arange(2), np.arange(2), np.arange(2)).shape == (2, *SHAPE)
    with pytest.raises(InputError, match="cannot be divided into patches of 3"):
        generator.fit(real(), context(tmp_path / "three"), steps=3, patch=3)
