"""Mixtures of real digits and inverted ones in place of synthetic ones, and small classifiers of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from mousterian.data.image_set import ImageSet
from mousterian.data.loading import load_images
from mousterian.plugins.choice import Choice
from mousterian.training import loop
from mousterian.training.mixture import Mixture
from mousterian.training.recipes import recipe

CPU = torch.device("cpu")


def task(n_real: int, n_synthetic: int, **changes: Any) -> loop.Task:
    """Return a task on real digits and inverted ones, so that a batch's images show their source."""
    digits = load_images(Choice("digits", {}), "train", None)
    real, other = digits.take(np.arange(n_real)), digits.take(np.arange(200, 200 + n_synthetic))
    mixture = Mixture.of(real, CPU)
    if n_synthetic:
        inverted = ImageSet(
            255 - other.images, other.labels, other.class_names, np.ones(n_synthetic, dtype=bool)
        )
        mixture = mixture + Mixture.of(inverted, CPU)
    length = {} if "epochs" in changes else {"iterations": 3}
    values = {"crop": 0, "batch_size": 16, **length, **changes}
    return loop.Task(mixture, n_real, recipe("small", values), CPU, 0)


def convolutional(given: loop.Task) -> loop.Normalised:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)]
    return loop.prepare(nn.Sequential(*layers), given)


def linear(given: loop.Task) -> loop.Normalised:
    torch.manual_seed(0)
    return loop.prepare(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), given)
