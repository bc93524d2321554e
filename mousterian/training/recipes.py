"""Recipes: optimiser, schedule, length and augmentation of a training run, as rows of one table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from mousterian.errors import InputError, InputErrors, nearest_or_all, unknown_name

Share = Annotated[float, Field(ge=0, le=1)]


class Recipe(BaseModel):
    """Training settings of a classifier: optimiser, schedule, length and augmentation.

    Exactly one of `epochs`, `iterations` and `iterations_by_size` sets the length; warm-up and milestones are
    fractions of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="row of the recipe table to start from")
    epochs: float | None = Field(None, gt=0, description="passes over the mixture")
    iterations: int | None = Field(None, gt=0, description="optimiser steps, whatever the mixture's size")
    iterations_by_size: tuple[tuple[int, int], ...] = Field(
        (), description="optimiser steps by the size of the mixture: pairs of a minimum size and steps"
    )
    batch_size: int = Field(128, gt=0, description="images per step; at most the size of the mixture")
    min_iterations: int = Field(
        0, ge=0, description="with epochs: minimum number of optimiser steps, however small the mixture"
    )
    optimizer: Literal["sgd", "adamw", "lamb", "muon"] = Field("sgd", description="optimiser")
    learning_rate: float = Field(0.1, gt=0, description="peak learning rate")
    side_learning_rate: float = Field(
        0.05, gt=0, description="with muon: learning rate of all parameters but filters, per image of a batch"
    )
    momentum: Share = Field(0.9, description="momentum of SGD")
    nesterov: bool = Field(False, description="Nesterov momentum for SGD")
    weight_decay: float = Field(1e-4, ge=0, description="weight decay on all parameters")
    schedule: Literal["constant", "cosine", "linear", "multistep"] = Field(
        "cosine", description="learning rate schedule"
    )
    warmup: Share = Field(0.0, description="fraction of the steps with a linear warm-up of the learning rate")
    warmup_iterations: int = Field(0, ge=0, description="warm-up in optimiser steps, in place of warmup")
    milestones: tuple[Share, ...] = Field(
        (0.5, 0.75), description="milestones of multistep, as fractions of the steps"
    )
    decay: Share = Field(0.1, description="factor of the learning rate at each milestone")
    crop: int = Field(4, ge=0, description="reflection padding for random crops, pixels; 0 is no crop")
    flip: bool | Literal["alternating"] = Field(
        True, description="horizontal flips: random, or alternating between passes"
    )
    resized_crop: Share = Field(
        0.0, description="random resized crops in place of crop: minimum fraction of the area; 0 is none"
    )
    rand_augment: int = Field(0, ge=0, le=30, description="magnitude of RandAugment (of 30); 0 is none")
    mixup: float = Field(0.0, ge=0, description="parameter of mixup's Beta distribution; 0 is no mixup")
    cutmix: float = Field(
        0.0, ge=0, description="the same for CutMix; with both, each batch gets one of them"
    )
    label_smoothing: Share = Field(0.0, description="label smoothing of the cross-entropy")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of convolutions and matrix products on accelerators; always float32 on a CPU"
    )
    devices: int = Field(
        1, ge=1, description="devices that train one trial data-parallel, each on an equal share of the batch"
    )

    @model_serializer(mode="wrap")
    def _as_in_version_1(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit fields of later versions that have their default, so that trials keep their hashes."""
        values: dict[str, Any] = serialise(self)
        for name in _ADDED:
            if name in values and getattr(self, name) == Recipe.model_fields[name].default:
                del values[name]
        return values

    def model_post_init(self, context: Any) -> None:
        """Refuse a recipe without exactly one length, or with batches too small for its devices."""
        if (self.epochs is not None) + (self.iterations is not None) + bool(self.iterations_by_size) != 1:
            raise ValueError("set exactly one of epochs and iterations (or iterations_by_size)")
        if self.devices > self.batch_size:
            raise ValueError(f"{self.devices} devices cannot share batches of {self.batch_size}")
        for sizes, steps in self.iterations_by_size:
            if sizes < 0 or steps < 1:
                raise ValueError("iterations_by_size holds pairs of images (0 or more) and steps (1 or more)")

    def steps(self, images: int) -> int:
        """Return the number of optimiser steps on a mixture of so many images."""
        if self.iterations is not None:
            return self.iterations
        if self.iterations_by_size:
            reached = [steps for size, steps in sorted(self.iterations_by_size) if size <= images]
            return reached[-1] if reached else min(self.iterations_by_size)[1]
        passes = math.ceil((self.epochs or 0) * images / min(self.batch_size, images))
        return max(1, self.min_iterations, passes)

    def learning_rate_at(self, step: int, steps: int, peak: float | None = None) -> float:
        """Return the learning rate of one step (0-based) out of `steps`; `peak` replaces the recipe's."""
        peak = self.learning_rate if peak is None else peak
        warm = min(self.warmup_iterations, steps) or round(self.warmup * steps)
        if step < warm:
            return peak * (step + 1) / warm
        if self.schedule == "multistep":
            return peak * self.decay ** sum(step >= share * steps for share in self.milestones)
        if self.schedule == "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
        if self.schedule == "linear":
            return peak * (1 - (step - warm) / max(1, steps - warm))
        return peak


# Fields that version 1 of trials did not have.
_ADDED = (
    "min_iterations", "side_learning_rate", "precision", "iterations_by_size", "warmup_iterations",
    "resized_crop", "rand_augment", "mixup", "cutmix", "devices",
)  # fmt: skip
_LENGTHS = ("epochs", "iterations", "iterations_by_size")

# Sources, by the prefix of the name. Dropout (0.25 for Diversify's ResNets) and stochastic depth (0.1,
# 0.2, 0.45 for DeiT-S, -B, -L) are options of models. If a paper does not state its crops, the row has those
# that are usual for its image size.
# resnet110, resnet50, vit_l16: Tables 7 and 8 and Appendix D of the main paper: CIFAR-10 and CIFAR-Half
#   (resnet110_small: CIFAR-Small), ImageNet-10 and -100, fine-tuning on CIFAR-10.
# diversify: Tables 5 and 6 and Appendix A of Diversify, don't fine-tune. Its Table 6 calls 0.8 and 1.0
#   probabilities of mixup and CutMix; in DeiT, which it follows, they are Beta parameters. low: few real
#   images per class; low_real: the same without synthetic ones; deit_b: also DeiT-L.
# bridged: Appendix A of Li et al., who choose the learning rate for each dataset from 0.1, 0.03, 0.01,
#   0.003, 0.001 (here the middle one), and train 100 epochs in the few-shot setting.
# he: A.7 of He et al.: zero-shot, few-shot (batches of 32 and 512 are options of the strategies),
#   pre-training on synthetic images of the same classes or of many (wide), and transfer to CIFAR-100.
# moco_v2: Chen et al. 2020, "Improved baselines with momentum contrastive learning", whose settings He et al.
#   use for pre-training without labels; from pre-trained weights they lower the learning rate to 0.003.
# clip_fine_tune: B.2 of Geng et al.
# small, fashion: this project's own, for small data on a CPU.
# speedrun follows the design of airbench94 with Muon (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a
# single GPU", and its repository) in ten epochs instead of eight. A mixture smaller than 50,000 images gets
# the 250 steps that ten epochs of CIFAR-10 have, on batches of 2,000 or the whole mixture: Muon's filters
# move by a fixed length per step, so training needs a number of steps, not of epochs.
_COLUMNS = (
    "optimizer", "learning_rate", "weight_decay", "batch_size", "schedule", "warmup", "crop", "flip",
)  # fmt: skip
# Table 7 of the main paper: optimiser steps by the size of the mixture.
_TABLE_7 = {"iterations_by_size": ((650, 10_000), (1_300, 30_000), (2_600, 60_000), (13_000, 120_000))}
_ROWS: dict[str, tuple[dict[str, Any], tuple[Any, ...]]] = {
    "small":           ({"iterations": 300},  ("adamw", 3e-3, 0.05,  64, "cosine",    0.1, 1, False)),
    "fashion":         ({"iterations": 1500}, ("adamw", 3e-3, 0.05, 128, "cosine",    0.1, 2, True)),
    "resnet110":       ({"epochs": 160},      ("sgd",   0.1,  1e-4, 128, "multistep", 0.0, 4, True)),
    "resnet110_small": ({"epochs": 320},      ("sgd",   0.1,  1e-4, 128, "multistep", 0.0, 4, True)),
    "resnet50":        (_TABLE_7,             ("sgd",   0.1,  1e-4, 192, "cosine",    0.1, 0, True)),
    "vit_l16":         ({"iterations": 10000}, ("sgd",  0.03, 0.0,  512, "cosine",   0.05, 0, True)),
    "diversify_resnet": ({"epochs": 130},     ("sgd",   3.2,  1e-4, 8192, "cosine", 5 / 130, 0, True)),
    "diversify_resnet_low": ({"epochs": 100}, ("sgd",   3.2,  1e-4, 8192, "cosine", 5 / 100, 0, True)),
    "diversify_resnet_low_real": ({"epochs": 100}, ("sgd", 0.88, 1e-4, 2048, "cosine", 5 / 100, 0, True)),
    "diversify_deit_s": ({"epochs": 300},     ("adamw", 4e-3, 0.05, 4096, "cosine", 5 / 300, 0, True)),
    "diversify_deit_b": ({"epochs": 300},     ("lamb",  3e-3, 0.05, 2048, "cosine", 5 / 300, 0, True)),
    "bridged_resnet":  ({"epochs": 150},      ("sgd",   0.01, 5e-4,  64, "cosine",    0.0, 0, True)),
    "bridged_vit":     ({"epochs": 150},      ("sgd",   0.01, 0.0,  128, "cosine",    0.0, 0, True)),
    "he_zero_shot":    ({"epochs": 30},       ("adamw", 2e-3, 0.1,  512, "cosine",    0.0, 0, False)),
    "he_few_mix":      ({"epochs": 30},       ("adamw", 1e-3, 0.1,  512, "cosine",    0.0, 0, False)),
    "he_few_phase":    ({"epochs": 30},       ("adamw", 2e-3, 0.1,  512, "cosine",    0.0, 0, False)),
    "he_pretrain":     ({"epochs": 90},       ("adamw", 1e-4, 0.9,  512, "cosine",    0.0, 0, True)),
    "he_pretrain_wide": ({"epochs": 90},      ("sgd",   0.2,  1e-4, 512, "multistep", 0.0, 0, True)),
    "moco_v2":         ({"epochs": 200},      ("sgd",  0.03, 1e-4, 256, "cosine",    0.0, 0, False)),
    "he_transfer":     ({"epochs": 200},      ("sgd",  3e-3,  5e-4, 128, "multistep", 0.0, 4, True)),
    "clip_fine_tune":  ({"epochs": 30},       ("adamw", 1e-5, 0.1,  512, "cosine",    0.0, 0, True)),
    "speedrun":        ({"epochs": 10},       ("muon", 0.24, 4e-5, 2000, "linear", 0.0, 2, "alternating")),
}  # fmt: skip
_IMAGENET: dict[str, Any] = {"resized_crop": 0.08}
_DIVERSIFY: dict[str, Any] = {"label_smoothing": 0.1, "rand_augment": 9, **_IMAGENET}
_MORE: dict[str, dict[str, Any]] = {
    "resnet50": _IMAGENET,
    "vit_l16": _IMAGENET,
    "diversify_resnet": _DIVERSIFY,
    "diversify_resnet_low": _DIVERSIFY,
    "diversify_resnet_low_real": _DIVERSIFY,
    "diversify_deit_s": {"mixup": 0.8, "cutmix": 1.0, **_DIVERSIFY},
    "diversify_deit_b": {"mixup": 0.8, "cutmix": 1.0, **_DIVERSIFY},
    "bridged_resnet": _IMAGENET,
    "bridged_vit": _IMAGENET,
    "he_pretrain": _IMAGENET,
    "he_pretrain_wide": {"milestones": (1 / 3, 2 / 3), **_IMAGENET},
    "he_transfer": {"milestones": (0.3, 0.6, 0.8), "decay": 0.2},
    "clip_fine_tune": {"warmup_iterations": 500},
    "speedrun": {"min_iterations": 250, "momentum": 0.85, "label_smoothing": 0.2, "precision": "bfloat16"},
}


def names() -> tuple[str, ...]:
    """Return the names of all recipes."""
    return tuple(_ROWS)


def recipe(name: str, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Return a recipe of the table, with some fields changed.

    Setting one of the lengths (`epochs`, `iterations`, `iterations_by_size`) replaces the row's.

    Raises:
        InputError: unknown recipe, unknown field, wrong type.
    """
    if name not in _ROWS:
        raise unknown_name("recipe", name, _ROWS, hint="`mousterian list recipes` shows them")
    changes = dict(changes or {})
    length, row = _ROWS[name]
    if changes.keys() & set(_LENGTHS):
        length = {}
    values = {"name": name, **length, **dict(zip(_COLUMNS, row, strict=True)), **_MORE.get(name, {})}
    try:
        return Recipe.model_validate(values | changes)
    except ValidationError as error:
        raise InputErrors(_explain(name, each) for each in error.errors()) from None


def _explain(name: str, error: Any) -> InputError:
    key = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = nearest_or_all(key, Recipe.model_fields, all_are="it has")
        return InputError(f"recipe {name!r} has no field {key!r}; {known}")
    subject = f"recipe {name!r}: {key}" if key else f"recipe {name!r}"
    return InputError(f"{subject}: {error['msg']}")
