from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mousterian.errors import InputError
from mousterian.plugins import registry


def build(name: str, classes: int, shape: tuple[int, int, int], **options: object) -> torch.nn.Module:
    plugin = registry.find("models", name)
    return plugin.load()(classes, shape, **plugin.resolve(options), **plugin.preset)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("small_cnn", (8, 8, 1)),
        ("small_cnn", (32, 32, 3)),
        ("resnet20", (32, 32, 3)),
        ("resnet18", (32, 32, 3)),
        ("vit_tiny_patch16_224", (32, 32, 3)),
    ],
)
def test_models_give_a_logit_for_each_class(name: str, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    logits = build(name, 7, shape)(torch.zeros(2, channels, height, width))
    assert logits.shape == (2, 7)


@pytest.mark.parametrize(("name", "millions"), [("resnet20", 0.27), ("resnet56", 0.85), ("resnet110", 1.7)])
def test_cifar_resnets_have_the_papers_size(name: str, millions: float) -> None:
    # He et al. 2016, Table 6.
    parameters = sum(p.numel() for p in build(name, 10, (32, 32, 3)).parameters())
    assert parameters / 1e6 == pytest.approx(millions, abs=0.05)


def test_the_shortcut_keeps_the_features_that_it_has() -> None:
    from mousterian.training.models._residual import Block

    block = Block(16, 32).eval()
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    features = torch.rand(1, 16, 8, 8)
    out = block(features)
    assert torch.equal(out[:, 8:24], features[:, :, ::2, ::2])
    assert not out[:, :8].any() and not out[:, 24:].any()


def test_small_images_get_a_small_stem() -> None:
    network = build("resnet18", 10, (32, 32, 3))
    assert network.conv1.kernel_size == (3, 3)
    assert isinstance(network.maxpool, torch.nn.Identity)
    assert build("resnet18", 10, (32, 32, 3), small_stem=False).conv1.kernel_size == (7, 7)


def test_a_depth_that_the_family_does_not_have_is_refused() -> None:
    from mousterian.training.models.cifar_resnet import build as cifar

    with pytest.raises(InputError, match="no CIFAR ResNet"):
        cifar(10, (32, 32, 3), name="resnet33")


def test_dropout_and_stochastic_depth_are_of_training_alone() -> None:
    options = {"small_stem": False, "drop_rate": 0.25, "drop_path_rate": 0.5}
    network = build("test_vit", 7, (32, 32, 3), **options)
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(network.eval()(images), network(images))
    network.train()
    assert not torch.equal(network(images), network(images))
    rates = [layer.drop_prob for layer in network.modules() if type(layer).__name__ == "DropPath"]
    assert rates and max(rates) == 0.5 and network.head_drop.p == 0.25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "vgg11", "drop_path_rate": 0.1}, "leave out drop_path_rate"),
        ({"name": "resnet18", "drop_rate": 1.0}, "0 to less than 1, not 1.0"),
        ({"name": "resnet18", "pretrained": "none.safetensors"}, "no file of weights none.safetensors"),
    ],
)
def test_what_a_timm_model_cannot_do_is_refused(options: dict[str, object], message: str) -> None:
    from mousterian.training.models import timm

    with pytest.raises(InputError, match=message):
        timm.check((32, 32, 3), **options)


def test_weights_come_from_a_file_and_images_keep_the_statistics_of_pretraining(
    tmp_path: Path,
) -> None:
    from safetensors.torch import save_file

    from mousterian.training.models import timm

    trained = build("test_resnet", 1000, (32, 32, 3), small_stem=False)
    file = tmp_path / "weights.safetensors"
    save_file(trained.state_dict(), file)
    options = {"pretrained": str(file), "small_stem": False}
    network = build("test_resnet", 7, (32, 32, 3), **options)
    same = {
        name for name, value in network.state_dict().items() if torch.equal(value, trained.state_dict()[name])
    }
    assert same == set(trained.state_dict()) - {"fc.weight", "fc.bias"}
    assert [each.flatten().tolist() for each in network.statistics] == [[0.5] * 3] * 2
    stamp = timm.stamp(tmp_path, pretrained=str(file))
    file.write_bytes(b"other weights")
    assert stamp and stamp != timm.stamp(tmp_path, pretrained=str(file))
