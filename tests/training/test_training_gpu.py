"""What only a CUDA device can show: captured steps give what eager ones give, again and again."""

from __future__ import annotations

import pytest
import torch

from mousterian.data.loading import load_images
from mousterian.plugins.choice import Choice
from mousterian.training import acceleration, loop
from mousterian.training.feed import Stream
from mousterian.training.mixture import Mixture
from mousterian.training.models.cifar_resnet import build as resnet
from mousterian.training.models.speednet import build as speednet
from mousterian.training.recipes import recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def prepared(mode: str, name: str, seed: int = 0) -> tuple[loop.Normalised, loop.Task]:
    device = torch.device("cuda")
    mixture = Mixture.of(load_images(Choice("digits", {}), "train", None), device)
    shape = {"speedrun": {"batch_size": 100, "precision": "float32"}, "small": {}, "resnet110": {"crop": 2}}
    chosen = recipe(name, {"iterations": 20, **shape[name]})
    task = loop.Task(mixture, len(mixture), chosen, device, seed, acceleration=mode, key=name)
    torch.manual_seed(seed)
    network = speednet(10, (8, 8, 1), widths=(32, 64))
    return loop.prepare(network if name == "speedrun" else resnet(10, (8, 8, 1), name="resnet20"), task), task


def weights(model: loop.Normalised) -> torch.Tensor:
    return torch.cat([p.detach().flatten().float() for p in model.parameters()])


@pytest.mark.parametrize("name", ["speedrun", "small", "resnet110"])
def test_a_captured_step_trains_as_an_eager_one_does(name: str) -> None:
    acceleration.clear_cache()
    found = {}
    for mode in ("eager", "graph"):
        for seed in (0, 1, 0):
            model, task = prepared(mode, name, seed)
            loop.train(model, [Stream(task.mixture, task.recipe.batch_size)], task)
            found[mode, seed] = weights(model)
    (kept,) = acceleration._cache.values()
    assert kept._replay != kept._run_eagerly  # it was captured, not given up
    for seed in (0, 1):
        gap = (found["graph", seed] - found["eager", seed]).norm() / found["eager", seed].norm()
        assert gap < 0.02
