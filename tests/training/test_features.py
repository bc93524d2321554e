"""Feature spaces: their names, and what they give."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file
from torch import nn

from mousterian.data.image_set import ImageSet
from mousterian.data.loading import dataset_named, dataset_text
from mousterian.errors import InputError
from mousterian.training import feature_networks, feature_spaces
from mousterian.training.encoders import clip
from mousterian.training.feature_spaces import Spaces, space_named, space_stamp
from mousterian.training.features import classifier, inception


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)


def test_pixels_are_shares_of_white(images: np.ndarray) -> None:
    found = feature_spaces.load("pixels")(images)
    assert found.dtype == np.float32 and found.shape == (5, 64)
    assert np.allclose(found * 255, images.reshape(5, -1))


def test_a_name_gives_the_options_in_their_order() -> None:
    plugin, options = space_named("timm:resnet18:weights/some.pth")
    assert (plugin.name, options) == ("timm", {"model": "resnet18", "weights": "weights/some.pth"})
    table = 'classifier:{"name":"image_folder","path":"pets:dogs"}:resnet20'
    assert space_named(table)[1] == {
        "dataset": '{"name":"image_folder","path":"pets:dogs"}',
        "model": "resnet20",
        "recipe": "",
    }


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pixel", "did you mean 'pixels'"),
        ("pixels:more", "too many parts"),
        ("timm", "needs the option 'model'"),
        ("classifier:digit", "did you mean 'digits'"),
        ("timm:resnet1888", "timm has no network"),
        ("timm:resnet18:nowhere.pth", "no weights here"),
        ("inception", "weights are not here"),
    ],
)
def test_a_space_that_is_not_there_is_named(name: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        feature_spaces.load(name, "cpu", tmp_path)


def test_a_dataset_with_options_is_written_as_it_is_read() -> None:
    assert dataset_text("digits", {}) == "digits"
    plugin, options = dataset_named('{name = "image_folder", path = "pets", size = 64}')
    assert (plugin.name, options["path"], options["size"]) == ("image_folder", "pets", 64)
    text = dataset_text(plugin.name, options)
    assert dataset_named(text)[1] == options
    with pytest.raises(InputError, match="not a table"):
        dataset_named("{name = digits")


def test_a_classifier_is_trained_once_and_its_kept_network_gives_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: np.ndarray
) -> None:
    monkeypatch.setattr(feature_networks, "recipe", _short)
    first = feature_spaces.load("classifier:digits", "cpu", tmp_path).outputs(images)
    assert first.features.shape == (5, 64) and first.probabilities is not None
    assert np.allclose(first.probabilities.sum(1), 1, atol=1e-5)
    monkeypatch.setattr(classifier, "trained", lambda *a, **k: pytest.fail("trained again"))
    again = feature_spaces.load("classifier:digits", "cpu", tmp_path).outputs(images)
    assert np.array_equal(first.features, again.features)
    [kept] = (tmp_path / "features").glob("*.safetensors")
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match="cannot be used") as caught:
        feature_spaces.load("classifier:digits", "cpu", tmp_path)
    assert str(kept) in str(caught.value)
    monkeypatch.undo()
    monkeypatch.setattr(feature_networks, "recipe", _short)
    kept.unlink()
    anew = feature_spaces.load("classifier:digits", "cpu", tmp_path).outputs(images)
    assert np.array_equal(first.features, anew.features)


def _short(name: str) -> object:
    from mousterian.training.recipes import recipe

    return recipe(name, {"iterations": 5})


def test_images_of_another_size_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_networks, "recipe", _short)
    extractor = feature_spaces.load("classifier:digits", "cpu", tmp_path)
    with pytest.raises(InputError, match=r"\(16, 16, 1\), those that the classifier learnt from \(8, 8, 1\)"):
        extractor(np.zeros((2, 16, 16, 1), np.uint8))


def test_timm_from_a_local_file(tmp_path: Path, images: np.ndarray) -> None:
    import timm

    torch.manual_seed(0)
    path = tmp_path / "tiny.safetensors"
    network = timm.create_model("test_resnet", pretrained=False).eval()
    save_file(network.state_dict(), path)
    name = f"timm:test_resnet:{path}"
    found = feature_spaces.load(name, "cpu", tmp_path).outputs(images)
    assert found.features.shape == (5, network.num_features)
    # A grey image is seen as its coloured twin.
    coloured = feature_spaces.load(name, "cpu", tmp_path).outputs(np.repeat(images, 3, axis=3))
    assert np.allclose(found.features, coloured.features)
    assert found.probabilities is not None and found.probabilities.shape == (5, 1000)
    stamp = space_stamp(name)
    path.write_bytes(b"other")
    assert stamp and space_stamp(name) != stamp
    with pytest.raises(InputError, match="cannot load the weights"):
        feature_spaces.load(name, "cpu", tmp_path)


def test_inception_is_only_what_the_standard_weights_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: np.ndarray
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"others")
    with pytest.raises(InputError, match="not the Inception weights that FID is defined with"):
        feature_spaces.load(f"inception:{path}", "cpu", tmp_path)

    class Network(nn.Module):
        def __init__(self, name: str, wanted: list[str], *, feature_extractor_weights_path: str) -> None:
            super().__init__()
            assert wanted == ["2048", "logits_unbiased"] and feature_extractor_weights_path == str(path)

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            assert images.dtype == torch.uint8 and images.shape[1:] == (3, 8, 8)
            return images.float().mean((2, 3)), torch.zeros(len(images), 1008)

    stub = types.ModuleType("stub")
    stub.FeatureExtractorInceptionV3 = Network  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", stub)
    monkeypatch.setattr(inception, "_SUM", space_stamp(f"inception:{path}")[:8])
    found = feature_spaces.load(f"inception:{path}", "cpu", tmp_path).outputs(images)
    assert found.features.shape == (5, 3) and found.probabilities is not None


@pytest.mark.slow
def test_torch_fidelitys_network_loads_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: np.ndarray
) -> None:
    """The real class, with random weights in the layout of the standard file."""
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path / "weights.pth"
    monkeypatch.setattr(module, "load_state_dict_from_url", lambda *a, **k: {})
    monkeypatch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    blank = module.FeatureExtractorInceptionV3("inception", ["2048"])
    monkeypatch.undo()
    torch.save(blank.state_dict(), path)
    monkeypatch.setattr(inception, "_SUM", space_stamp(f"inception:{path}")[:8])
    found = feature_spaces.load(f"inception:{path}", "cpu", tmp_path).outputs(images[:2])
    assert found.features.shape == (2, 2048)
    assert found.probabilities is not None and found.probabilities.shape == (2, 1008)


def test_a_set_is_looked_at_once(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = Spaces()
    whole = ImageSet(images, np.zeros(5, dtype=np.int64), ("one",))
    first = spaces.outputs(whole, "pixels")
    assert spaces.outputs(whole, "pixels") is first
    assert spaces.outputs(whole.take([0, 1]), "pixels").features.shape == (2, 64)


def test_values_that_are_not_finite_are_refused(images: np.ndarray) -> None:
    spaces = Spaces()
    broken = feature_spaces.Extractor(
        "pixels", lambda _: feature_spaces.Output(np.full((5, 2), np.nan, np.float32))
    )
    spaces._extractors["pixels"] = broken
    with pytest.raises(InputError, match="not finite"):
        spaces.outputs(ImageSet(images, np.zeros(5, dtype=np.int64), ("one",)), "pixels")


def test_out_of_memory_halves_the_batch_and_goes_on(images: np.ndarray) -> None:
    seen: list[int] = []

    def look(batch: torch.Tensor, most: int = 2) -> tuple[torch.Tensor, None]:
        seen.append(len(batch))
        if len(batch) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch.float().mean((2, 3)), None

    found = feature_networks.in_batches(look, images, "cpu", batch=4)
    assert seen == [4, 2, 2, 1]
    assert np.allclose(found.features, images.astype(np.float32).mean((1, 2)))
    with pytest.raises(InputError, match="features of one image"):
        feature_networks.in_batches(lambda batch: look(batch, 0), images, "cpu")
    with pytest.raises(RuntimeError, match="another"):
        feature_networks.in_batches(
            lambda batch: (_ for _ in ()).throw(RuntimeError("another")), images, "cpu"
        )


def test_clip_from_a_local_folder(tmp_path: Path, images: np.ndarray) -> None:
    folder = tiny.clip(tmp_path)
    found = feature_spaces.load(f"clip:local-dir:{folder}", "cpu", tmp_path)(images)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.array_equal(found, clip.load(f"local-dir:{folder}", "", "cpu").images(images))
