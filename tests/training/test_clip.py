from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from torchvision.transforms import v2

from mousterian.data.resizing import cropped, to_array, to_tensor, with_channels
from mousterian.errors import InputError
from mousterian.training.encoders import clip

pytest.importorskip("open_clip")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def pictures() -> np.ndarray:
    """Return smooth images: no method of resizing agrees with another on noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)
    return coarse.repeat(6, axis=1).repeat(6, axis=2)


def test_vectors_have_unit_length_and_depend_on_content_alone(folder: Path, pictures: np.ndarray) -> None:
    loaded = clip.load(f"local-dir:{folder}", "", "cpu")
    images, texts = loaded.images(pictures), loaded.texts(["a cat", "a dog", "a cat"])
    assert images.shape == (5, 16) and texts.shape == (3, 16) and images.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.concatenate([images, texts]), axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(texts[0], texts[2])
    assert np.abs(texts[0] - texts[1]).max() > 1e-3
    np.testing.assert_allclose(loaded.images(pictures[2:3])[0], images[2], atol=1e-5)


def test_images_are_seen_as_open_clip_itself_prepares_them(folder: Path, pictures: np.ndarray) -> None:
    import open_clip
    from PIL import Image

    loaded = clip.load(f"local-dir:{folder}", "", "cpu")
    network, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        theirs = network.eval().encode_image(torch.stack([prepare(Image.fromarray(p)) for p in pictures]))
    theirs = torch.nn.functional.normalize(theirs, dim=-1).numpy()
    # They round the resized image to whole numbers, we do not: the same up to that.
    assert (loaded.images(pictures) * theirs).sum(1).min() > 0.998


def test_a_grey_image_is_the_same_as_its_three_equal_channels(folder: Path, pictures: np.ndarray) -> None:
    loaded = clip.load(f"local-dir:{folder}", "", "cpu")
    grey = pictures[..., :1]
    np.testing.assert_array_equal(loaded.images(grey), loaded.images(np.repeat(grey, 3, axis=3)))


@pytest.mark.parametrize(
    ("model", "weights", "message"),
    [
        ("RN5", "openai", "RN50"),
        ("RN50", "", "no weights are given"),
        ("RN50", "nowhere/clip.pt", "no such file"),
        ("RN50", "no-such-tag", "no-such-tag"),
        ("local-dir:nowhere", "", "nowhere"),
    ],
)
def test_unavailable_weights_are_named(model: str, weights: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        clip.load(model, weights, "cpu")
    assert "open_clip" in caught.value.hint


def test_a_folder_without_weights_is_never_used_with_random_ones(tmp_path: Path) -> None:
    tiny.clip(tmp_path)
    (tmp_path / "open_clip_model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot be loaded"):
        clip.load(f"local-dir:{tmp_path}", "", "cpu")


def test_resizing_agrees_with_torchvision_and_keeps_the_centre(pictures: np.ndarray) -> None:
    pixels = to_tensor(pictures, "cpu")
    ours = cropped(pixels, 16, 16)
    resize = v2.Resize(16, interpolation=v2.InterpolationMode.BICUBIC, antialias=True)
    theirs = v2.CenterCrop(16)(resize(pixels)).clamp(0, 1)
    assert (ours - theirs).abs().max() < 1e-4
    assert cropped(pixels, 30, 60).shape == (5, 3, 30, 60)
    np.testing.assert_array_equal(to_array(pixels), pictures)
    grey = with_channels(pixels, 1)
    assert grey.shape == (5, 1, 48, 36)
    torch.testing.assert_close(with_channels(with_channels(grey, 3), 1), grey)
