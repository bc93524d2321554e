"""What the modules of models, strategies, evaluations and feature spaces have.

Ours are the files of `models/`, `strategies/`, `evaluations/` and `features/`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mousterian.data.image_set import ImageSet, TrialImages
from mousterian.plugins.kinds import WithMembers, WithStamp, plugin_kind
from mousterian.training.feature_spaces import Output
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.observer import Observer
from mousterian.training.strategy_checks import TrainingSetup


class ModelWithCheck(Protocol):
    """A model that cannot be built for every image size or with every value of its options."""

    def check(self, shape: tuple[int, int, int], /, *args: Any, **options: Any) -> None:
        """Refuse what cannot be built, before a grid makes anything.

        Args:
            shape: height, width and channels of one image.
            options: those of the plug-in's options that the function names.

        Raises:
            InputError: what is wrong, and what to do instead.
        """
        ...


@plugin_kind("models", optional=(WithStamp, WithMembers, ModelWithCheck))
class ModelPlugin(Protocol):
    """A classifier."""

    def build(self, classes: int, shape: tuple[int, int, int], /, *args: Any, **options: Any) -> nn.Module:
        """Return a network of images (N, C, H, W) float32 with logits (N, classes).

        Images are normalised by the channel statistics of S_base before they reach it. A pre-trained network
        with statistics of its own has them as `statistics`: mean and standard deviation, each a tensor
        (1, C, 1, 1). A network that sets its first layer from images has `initialise_from(images)`, called
        once before training with the normalised images of S_base.

        Args:
            classes: number of classes.
            shape: height, width and channels of one image.
            options: the plug-in's own.

        Raises:
            InputError: it cannot be built so.
        """
        ...


class StrategyWithCheck(Protocol):
    """A strategy that cannot train every mixture, recipe or model."""

    def check(self, setup: TrainingSetup, /, *args: Any, **options: Any) -> None:
        """Refuse what it cannot train, before a grid makes anything.

        Args:
            setup: the sizes of the mixture, the recipe, and the model.
            options: those of the plug-in's options that the function names.

        Raises:
            InputError: what is wrong, and what to do instead.
        """
        ...


@plugin_kind("strategies", singular="strategy", optional=(WithStamp, WithMembers, StrategyWithCheck))
class StrategyPlugin(Protocol):
    """How a mixture is trained on."""

    def train(self, model: Normalised, task: Task, /, *args: Any, **options: Any) -> Cost:
        """Train the model in place and return what that took.

        All training goes through `mousterian.training.loop.train`, once for each stage, so that acceleration,
        checkpoints and several devices work.

        Args:
            model: of images (N, C, H, W) uint8, on `task.device`.
            task: the mixture, the recipe, the seed and the device.
            options: the plug-in's own.

        Raises:
            Diverged: a loss or a weight is not finite, which is a result.
        """
        ...


class EvaluationWithCheck(Protocol):
    """An evaluation that cannot score every dataset."""

    def check(self, images: TrialImages, /, *args: Any, **options: Any) -> None:
        """Refuse what it cannot score, before a grid makes anything.

        Args:
            images: the dataset's, before any is drawn for training: without S_base, additions and pool.
            options: those of the plug-in's options that the function names.

        Raises:
            InputError: what is wrong, and what to do instead.
        """
        ...


@plugin_kind("evaluations", optional=(WithStamp, WithMembers, EvaluationWithCheck))
class EvaluationPlugin(Protocol):
    """A score of a trained classifier on the test images."""

    def evaluate(
        self, model: Normalised, images: ImageSet, device: torch.device, /, *args: Any, **options: Any
    ) -> Mapping[str, Any]:
        """Return the store's result columns that it has values for; it leaves the model as it is.

        Args:
            model: of images (N, C, H, W) uint8, trained, on `device`, set to evaluation.
            images: test images.
            device: where to evaluate.
            options: the plug-in's own.

        Returns:
            Column -> value: `top1` (0 to 1), with `correct` and `total` (images) where it is a share of them;
            `evaluation_set` where the images are not the dataset's test images; others of the group
            "result" (`mousterian list columns`); and `predictions`, a `store.predictions.Predictions`, where
            it predicts a class of each image: kept in the row's side file.
        """
        ...


@plugin_kind("evaluations", optional=(WithStamp, WithMembers, EvaluationWithCheck))
class TrialEvaluationPlugin(Protocol):
    """A score of a trained classifier that needs its training images too."""

    def evaluate_trial(
        self, model: Normalised, images: TrialImages, device: torch.device, /, *args: Any, **options: Any
    ) -> Mapping[str, Any]:
        """Return result columns as `evaluate` does, from all images of the trial."""
        ...


@plugin_kind("evaluations", optional=(WithStamp, WithMembers, EvaluationWithCheck))
class ObservingEvaluationPlugin(Protocol):
    """An evaluation while the classifier trains."""

    def observe(self, images: TrialImages, device: torch.device, /, *args: Any, **options: Any) -> Observer:
        """Return an object that is shown the model after steps of its choice, and has the result columns.

        Training must be the same with it, bit for bit.
        """
        ...


@plugin_kind("features", singular="feature space", optional=(WithStamp,))
class FeatureSpacePlugin(Protocol):
    """A space in which images are compared, for quality measures and filters."""

    def load(
        self, device: str, data_dir: Path, /, *args: Any, **options: Any
    ) -> Callable[[NDArray[np.uint8]], Output]:
        """Return a function of images (N, H, W, C) uint8 that gives their features (N, D) float32.

        Where the space belongs to a classifier, it gives class probabilities (N, K) float32 too.

        Args:
            device: torch device name.
            data_dir: folder of the datasets, where a network that is trained here may be kept.
            options: the plug-in's own, all of them texts: in the name of a space, such as
                "timm:resnet18:PATH", they follow in their order.

        Raises:
            InputError: weights that are missing or do not fit, with what to do.
        """
        ...
