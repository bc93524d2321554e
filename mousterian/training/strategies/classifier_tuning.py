"""Classifier tuning: CLIP's encoder frozen, a head initialised from class names tuned (He et al. 2023)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from mousterian.errors import InputError
from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.mixture import Mixture
from mousterian.training.strategies._batch_norms import FrozenNorms, batch_norms, frozen
from mousterian.training.strategies._sources import longest_steps, real, synthetic
from mousterian.training.strategies._text_heads import check_texts, scores, soft_targets, start_from_texts
from mousterian.training.strategy_checks import TrainingSetup, check_batch, check_synthetic, check_weight


def check(
    setup: TrainingSetup,
    *,
    prompt: str,
    soft: float,
    temperature: float,
    real_batch: int,
    syn_batch: int,
    weight: float,
    share: float,
) -> None:
    """Refuse class names that are no words, models without a text encoder, and invalid values."""
    if not 0 <= soft <= 1 or not temperature > 0:
        raise InputError(f"soft is a share, 0 to 1, and temperature above 0, not {soft} and {temperature}")
    check_batch(real_batch or None, syn_batch)
    if not real_batch:
        check_synthetic(setup, "a real_batch of 0")
    if not 0 <= share <= 1:
        raise InputError(f"share is the trainable fraction of the parameters, 0 to 1, not {share}")
    check_weight("weight", weight)
    check_texts(setup, prompt)


def train(
    model: Normalised,
    task: Task,
    *,
    prompt: str = "a photo of a {}",
    soft: float = 0.0,
    temperature: float = 2.0,
    real_batch: int = 32,
    syn_batch: int = 512,
    weight: float = 1.0,
    share: float = 0.0,
    first: Literal["both", "synthetic", "real"] = "both",
    freeze_bn: bool = True,
) -> Cost:
    """Tune a head initialised from the class names, on a frozen encoder with frozen batch norms.

    Each step has a batch of real and one of synthetic images; the loss is the sum of their means, and the
    length is that of `two_stream`. Alternatively the sources are trained on in turn, as in `phase_wise`.

    Args:
        prompt: text of a class, with {} for its name.
        soft: share of the soft-target cross-entropy on CLIP's own scores (0.5 in the paper's SCE).
        temperature: divisor of these scores.
        real_batch: real images per step, at most all of them; 0 leaves them out: the paper's zero-shot
            setting.
        syn_batch: synthetic images per step; at most all of them.
        weight: weight of the synthetic images' mean loss; the real ones' is 1.
        share: fraction of all parameters that is trained besides the head: the last whole tensors of the
            encoder up to it, never those of batch norms (the paper's Table 3).
        first: both: mixed training; else the source of the first of two phases (the paper's Table 7).
        freeze_bn: keep the pre-trained statistics of batch norms (the paper's Table 6).
    """
    start_from_texts(model.network, task.mixture.class_names, prompt)
    trainable = {id(each) for each in tuned(model.network, share)}
    others = [p for p in model.parameters() if p.requires_grad and id(p) not in trainable]
    module = FrozenNorms(model) if freeze_bn else None
    streams = [
        Stream(images, size, part, targets=_targets(model, images, soft, temperature), module=module)
        for images, size, part in ((real(task), real_batch, 1.0), (synthetic(task), syn_batch, weight))
        if len(images) and size
    ]
    with frozen(others):
        return _trained(model, streams, task, first)


def _trained(model: Normalised, streams: list[Stream], task: Task, first: str) -> Cost:
    """Train on all streams at each step, or on one stream after the other."""
    if first != "both":
        cost = Cost(0, 0, 0.0)
        for stream in sorted(streams, key=lambda each: _source(each) != first):
            recipe = task.recipe.model_copy(update={"batch_size": stream.batch})
            cost += run(model, [stream], task, recipe=recipe, stage=_source(stream))
        return cost
    return run(model, streams, task, steps=longest_steps(task, streams))


def _source(stream: Stream) -> str:
    return "synthetic" if bool(stream.mixture.synthetic[0]) else "real"


def _targets(model: Normalised, images: Mixture, soft: float, temperature: float) -> Tensor | None:
    """Return labels softened by CLIP's scores, or None for plain labels."""
    if not soft:
        return None
    return soft_targets(images.labels, scores(model, images), temperature, soft)


def tuned(network: nn.Module, share: float) -> list[nn.Parameter]:
    """Return the parameters of the head, and the last of the others up to a share of all parameters."""
    head = list(network.get_submodule("head").parameters())
    excluded = {id(each) for each in head}
    excluded |= {id(each) for norm in batch_norms(network) for each in norm.parameters()}
    budget = share * sum(each.numel() for each in network.parameters())
    found = []
    for parameter in reversed([each for each in network.parameters() if id(each) not in excluded]):
        budget -= parameter.numel()
        if budget < 0:
            break
        found.append(parameter)
    return [*head, *found]
