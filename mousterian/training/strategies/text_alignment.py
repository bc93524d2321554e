"""Image embeddings aligned with class texts, for zero-shot on unseen classes (main paper, 3.3.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mousterian.errors import InputError, unknown_name
from mousterian.training.encoders import sentences
from mousterian.training.feed import Stream
from mousterian.training.loop import Cost, Normalised, Task
from mousterian.training.loop import train as run
from mousterian.training.strategies._heads import head_of
from mousterian.training.strategies._joint_space import aligned, joint
from mousterian.training.strategy_checks import TrainingSetup, check_prompt


def check(
    setup: TrainingSetup,
    *,
    encoder: str,
    prompt: str,
    descriptions: Mapping[str, str] | None,
    dimensions: int,
    centred: bool,
    temperature: float,
) -> None:
    """Refuse classes without distinct texts, a missing encoder, and a model without a head."""
    if dimensions < 2 or not 0 < temperature < float("inf"):
        raise InputError(
            f"dimensions is 2 or more and temperature above 0, not {dimensions} and {temperature}"
        )
    texts = _texts(setup.class_names, prompt, descriptions or {})
    twice = [text for place, text in enumerate(texts) if text in texts[:place]]
    if twice:
        raise InputError(
            f"two classes have the same text, {twice[0]!r}, so they cannot be distinguished",
            hint="give each class its own in `descriptions`",
        )
    head_of(setup.network(), len(setup.class_names))
    sentences.resolve(encoder)


def train(
    model: Normalised,
    task: Task,
    *,
    encoder: str = "minilm",
    prompt: str = "a photo of a {}",
    descriptions: dict[str, str] | None = None,
    dimensions: int = 512,
    centred: bool = False,
    temperature: float = 0.07,
) -> Cost:
    """Train an image encoder to match frozen embeddings of the classes' texts.

    The loss is one minus the cosine of an image's vector and its class's text. An image is assigned to the
    class with the nearest text, including classes without an image in the mixture: see the evaluation
    `unseen_classes`, and a dataset's key of that name. Real and synthetic images are one shuffled set.

    Args:
        encoder: of the texts: minilm, a folder of a sentence-transformers model, or a hub's name.
        prompt: text of a class, with {} for its name or description.
        descriptions: texts to use for {} instead of the name, by class name.
        dimensions: of the joint space.
        centred: subtract the mean of the classes' vectors, so that only their differences remain.
        temperature: divisor of the cosines in the logits; the loss does not depend on it.
    """
    names = task.mixture.class_names
    texts = torch.from_numpy(
        sentences.vectors(encoder, tuple(_texts(names, prompt, descriptions or {}))).copy()
    )
    space = joint(texts, dimensions, centred=centred)
    model.network = aligned(model.network, len(names), space, temperature, task.training_seed)
    stream = Stream(task.mixture, task.recipe.batch_size, loss=_cosine_loss(temperature))
    return run(model, [stream], task)


def stamp(data_dir: Path, *, encoder: str) -> str:
    """Return a fingerprint of the encoder's folder; arguments as for `train`."""
    return sentences.stamp(encoder, data_dir)


def _texts(names: Sequence[str], prompt: str, descriptions: Mapping[str, str]) -> list[str]:
    """Return one text per class.

    Raises:
        InputError: the prompt has no {}, a description is of no class, or a class has no words.
    """
    for name in descriptions:
        if name not in names:
            raise unknown_name("class", name, names, where="text_alignment: descriptions")
    check_prompt(prompt)
    meant = [descriptions.get(name, name.replace("_", " ")) for name in names]
    if wordless := [each for each in meant if not each.strip() or each.strip().isdecimal()]:
        raise InputError(
            f"text_alignment needs words for each class, and {', '.join(map(repr, wordless[:3]))} are none",
            hint="describe each class in the option `descriptions`, or name the classes in the data",
        )
    return [prompt.replace("{}", each) for each in meant]


def _cosine_loss(temperature: float) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean of one minus the cosine with the target's text; mixed targets mix cosines."""
        if targets.dtype == torch.int64:
            return 1 - temperature * logits.gather(1, targets[:, None]).mean()
        return 1 - temperature * (logits * targets).sum(1).mean()

    return loss
