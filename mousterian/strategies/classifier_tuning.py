"""CLIP's encoder frozen, only a head that starts from the class names is tuned (He et al. 2023)."""

from __future__ import annotations

from mousterian.errors import InputError
from mousterian.strategies._norms import FrozenNorms
from mousterian.strategies._sources import real, synthetic
from mousterian.strategies._texts import check_texts, scores, soft_targets, start_from_texts
from mousterian.training.loop import Cost, Normalised, Stream, Task
from mousterian.training.loop import train as run
from mousterian.training.proposal import Proposal


def check(
    proposal: Proposal, *, prompt: str, soft: float, temperature: float, real_batch: int, syn_batch: int
) -> None:
    """Refuse class names that are no words, models without texts, and values that mean nothing."""
    if not 0 <= soft <= 1 or not temperature > 0:
        raise InputError(f"soft is a share, 0 to 1, and temperature above 0, not {soft} and {temperature}")
    if min(real_batch, syn_batch) < 1:
        raise InputError(f"a batch has at least one image, not {min(real_batch, syn_batch)}")
    check_texts(proposal, prompt)


def train(
    model: Normalised,
    task: Task,
    *,
    prompt: str = "a photo of a {}",
    soft: float = 0.0,
    temperature: float = 2.0,
    real_batch: int = 32,
    syn_batch: int = 512,
) -> Cost:
    """Tune a head that starts from the class names, on a frozen encoder with frozen batch norms.

    Each step takes a batch of real and one of synthetic images; the loss is the sum of their means. The
    length is counted as in `two_stream`.

    Args:
        prompt: text of a class, {} standing for its name.
        soft: share of the soft-target cross-entropy on CLIP's own scores (0.5 in the paper's SCE).
        temperature: that these scores are divided by.
        real_batch: real images a step; never more than there are.
        syn_batch: synthetic images a step; never more than there are.
    """
    start_from_texts(model.network, task.mixture.class_names, prompt)
    head = set(model.network.get_submodule("head").parameters())
    frozen = [p for p in model.parameters() if p.requires_grad and p not in head]
    through, streams, steps = FrozenNorms(model), [], 1
    for images, size in ((real(task), real_batch), (synthetic(task), syn_batch)):
        if len(images):
            said = scores(model, images) if soft else None
            targets = None if said is None else soft_targets(images.labels, said, temperature, soft)
            streams.append(Stream(images, size, targets=targets, through=through))
            batch = streams[-1].batch
            steps = max(steps, task.recipe.model_copy(update={"batch_size": batch}).steps(len(images)))
    for parameter in frozen:
        parameter.requires_grad_(False)
    cost = run(model, streams, task, steps=steps)
    for parameter in frozen:
        parameter.requires_grad_(True)
    return cost
