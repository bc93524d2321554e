"""Textual inversion: new tokens of a text encoder, learnt by the diffusion loss while all else stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from mousterian.data.image_set import ImageSet
from mousterian.data.resizing import cropped, to_tensor, with_channels
from mousterian.errors import InputError
from mousterian.files import write_atomically
from mousterian.seeds import seed_for
from mousterian.synthesis.generators._text_to_image import native_size
from mousterian.synthesis.kinds import GeneratorContext

KEPT_EVERY = 250  # steps between two checkpoints
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class Lesson:
    """What is learnt and how long.

    Attributes:
        tokens: the new tokens' texts, T of them.
        starts: words whose mean vector each token starts from, T of them.
        texts: the prompt of each class, with one of the tokens in it.
        iterations: training steps, all tokens together.
        batch_size: images of one class in a step.
        learning_rate: Adam's.
    """

    tokens: Sequence[str]
    starts: Sequence[str]
    texts: Sequence[str]
    iterations: int
    batch_size: int
    learning_rate: float


def learn(pipeline: Any, real: ImageSet, lesson: Lesson, context: GeneratorContext, size: int = 0) -> None:
    """Give a pipeline the lesson's tokens, with vectors learnt from real images or kept by an earlier run.

    Each step takes one class at random and some of its images, and moves the vector of the token in the
    class's prompt so that the noise added to these images is foretold better (Li et al., Eq. 2). What a step
    does follows from the seed and its number, so that a training cut off goes on as if it had not been.

    Args:
        pipeline: of diffusers, with one text encoder, a UNet and a VAE, on the context's device.
        real: the images to learn from.
        lesson: what is learnt.
        context: seed, device and the folder where vectors are kept.
        size: side that images are brought to, pixels; 0 is the pipeline's own.

    Raises:
        InputError: a pipeline of another kind, kept vectors that do not fit, or a loss that is not a number.
    """
    _check(pipeline)
    vectors = _added(pipeline, lesson)
    optimizer = torch.optim.Adam(vectors, lr=lesson.learning_rate)
    path = context.folder / "tokens.safetensors"
    side = size or native_size(pipeline)
    with _standing_in(pipeline, lesson.tokens, vectors):
        for step in range(_resume(path, vectors, optimizer), lesson.iterations):
            random = torch.Generator().manual_seed(seed_for("inversion", context.seed, step))
            value = _stepped(loss(pipeline, real, lesson, random, side), optimizer, step)
            if (step + 1) % KEPT_EVERY == 0 or step + 1 == lesson.iterations:
                _keep(path, vectors, optimizer, step + 1)
                context.progress("learning tokens", step + 1, lesson.iterations, f"loss {value:.4f}")
    table = pipeline.text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        for token, vector in zip(lesson.tokens, vectors, strict=True):
            table[pipeline.tokenizer.convert_tokens_to_ids(token)] = vector.to(table)


def _stepped(value: Tensor, optimizer: torch.optim.Adam, step: int) -> float:
    """Take one step down the loss, and return it."""
    if not torch.isfinite(value):
        raise InputError(
            f"learning the tokens diverged at step {step}",
            where="style_inversion",
            hint='use a lower learning_rate, or rendering = {dtype = "float32"}',
        )
    optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(value.detach())


def loss(pipeline: Any, real: ImageSet, lesson: Lesson, random: torch.Generator, side: int) -> Tensor:
    """Return the mean squared error of the foretold noise for some images of one class drawn at random."""
    from diffusers import DDPMScheduler

    device = pipeline.unet.device
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    present = np.unique(real.labels)
    label = int(present[int(torch.randint(len(present), (), generator=random))])
    members = np.flatnonzero(real.labels == label)
    rows = members[torch.randint(len(members), (lesson.batch_size,), generator=random).numpy()]
    pixels = cropped(with_channels(to_tensor(real.images[rows], device), 3), side, side)
    with torch.no_grad():
        spread = pipeline.vae.encode((2 * pixels - 1).to(pipeline.vae.dtype)).latent_dist
        latents = spread.mean + spread.std * _normal(spread.mean, random)
        latents = latents * pipeline.vae.config.scaling_factor
    noise = _normal(latents, random)
    last = scheduler.config.num_train_timesteps
    steps = torch.randint(last, (len(rows),), generator=random).to(device)
    tokens = pipeline.tokenizer(
        [lesson.texts[label]] * len(rows),
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids.to(device)
    said = pipeline.text_encoder(tokens)[0]
    foretold = pipeline.unet(
        scheduler.add_noise(latents, noise, steps), steps, encoder_hidden_states=said
    ).sample
    if scheduler.config.prediction_type == "v_prediction":
        noise = scheduler.get_velocity(latents, noise, steps)
    return functional.mse_loss(foretold.float(), noise.float())


def _normal(like: Tensor, random: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=random).to(like)


def _check(pipeline: Any) -> None:
    parts = ("tokenizer", "text_encoder", "unet", "vae")
    several = getattr(pipeline, "text_encoder_2", None) is not None
    if several or any(getattr(pipeline, part, None) is None for part in parts):
        raise InputError(
            f"tokens cannot be learnt for {type(pipeline).__name__}",
            where="style_inversion",
            hint="it takes one text encoder, a UNet and a VAE: Stable Diffusion 1.4, 1.5 or 2",
        )
    for part in parts[1:]:
        getattr(pipeline, part).requires_grad_(False)


def _added(pipeline: Any, lesson: Lesson) -> list[nn.Parameter]:
    """Make room for the tokens in tokenizer and text encoder, and return their first vectors (D,) float32."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    tokenizer.add_tokens(list(lesson.tokens))
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings().weight.requires_grad_(False)
    vectors = []
    for words in lesson.starts:
        numbers = tokenizer(words, add_special_tokens=False).input_ids
        vectors.append(nn.Parameter(table[numbers].float().mean(0)))
    return vectors


@contextmanager
def _standing_in(pipeline: Any, tokens: Sequence[str], vectors: Sequence[Tensor]) -> Iterator[None]:
    """While the block runs, the vectors stand where the embedding table has the tokens.

    So that gradients reach the vectors alone, and the table needs neither gradient nor optimiser.
    """
    numbers = pipeline.tokenizer.convert_tokens_to_ids(list(tokens))

    def put(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        for number, vector in zip(numbers, vectors, strict=True):
            here = (given[0] == number)[..., None]
            if here.any():  # a token that is not in the text gets no gradient, and so no step
                output = torch.where(here, vector.to(output), output)
        return output

    hook = pipeline.text_encoder.get_input_embeddings().register_forward_hook(put)
    try:
        yield
    finally:
        hook.remove()


def _keep(path: Path, vectors: Sequence[nn.Parameter], optimizer: torch.optim.Adam, done: int) -> None:
    """Keep vectors and optimiser, whole or not at all."""
    arrays = {"done": torch.tensor(done)}
    for place, vector in enumerate(vectors):
        arrays[f"{place}.vector"] = vector.detach().cpu()
        for name, value in optimizer.state.get(vector, {}).items():
            arrays[f"{place}.{name}"] = value.cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(arrays))


def _resume(path: Path, vectors: Sequence[nn.Parameter], optimizer: torch.optim.Adam) -> int:
    """Take up what an earlier run kept, and return how many steps it had done."""
    if not path.exists():
        return 0
    try:
        arrays = load_file(path)
        for place, vector in enumerate(vectors):
            with torch.no_grad():
                vector.copy_(arrays[f"{place}.vector"])
            if f"{place}.step" in arrays:
                moments = {name: arrays[f"{place}.{name}"] for name in _MOMENTS}
                moved = {name: moments[name].to(vector.device) for name in _MOMENTS[:2]}
                optimizer.state[vector] = {"step": moments["step"], **moved}
        return int(arrays["done"])
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(
            f"kept tokens cannot be used ({error})",
            where=str(path),
            hint="delete that file to learn them anew",
        ) from error
