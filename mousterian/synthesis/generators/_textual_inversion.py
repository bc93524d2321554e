"""Textual inversion: embeddings of new tokens, learnt by the diffusion loss with the model frozen."""

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

CHECKPOINT_EVERY = 250  # steps
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True)
class InversionSettings:
    """The tokens to learn, and the hyperparameters of their training.

    Attributes:
        tokens: texts of the T new tokens.
        initial_words: T texts; a token's embedding is initialised with the mean of its text's.
        prompts: the prompt of each class, which contains one of the tokens.
        iterations: training steps for all tokens together.
        batch_size: images per step, all of one class.
        learning_rate: Adam's.
    """

    tokens: Sequence[str]
    initial_words: Sequence[str]
    prompts: Sequence[str]
    iterations: int
    batch_size: int
    learning_rate: float


def learn_tokens(
    pipeline: Any, real: ImageSet, settings: InversionSettings, context: GeneratorContext, size: int = 0
) -> None:
    """Add the tokens to a pipeline, with embeddings learnt from real images or saved by an earlier run.

    Each step samples a class and some of its images, and updates the embedding of the token in the class's
    prompt to reduce the error of the predicted noise (Li et al., Eq. 2). A step depends on the seed and its
    number alone, so that an interrupted training resumes bit for bit.

    Args:
        pipeline: of diffusers, with one text encoder, a UNet and a VAE, on the context's device.
        real: the training images.
        settings: tokens and hyperparameters.
        context: seed, device and the folder of the saved embeddings.
        size: side that images are resized to, pixels; 0: the pipeline's native size.

    Raises:
        InputError: an unsupported pipeline, saved embeddings that do not fit, or a loss that is not finite.
    """
    _check(pipeline)
    vectors = _add_tokens(pipeline, settings)
    optimizer = torch.optim.Adam(vectors, lr=settings.learning_rate)
    path = context.folder / "tokens.safetensors"
    side = size or native_size(pipeline)
    with _substituted(pipeline, settings.tokens, vectors):
        for step in range(_resume(path, vectors, optimizer), settings.iterations):
            random = torch.Generator().manual_seed(seed_for("inversion", context.seed, step))
            value = _update(loss(pipeline, real, settings, random, side), optimizer, step)
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == settings.iterations:
                _save(path, vectors, optimizer, step + 1)
                context.progress("learning tokens", step + 1, settings.iterations, f"loss {value:.4f}")
    table = pipeline.text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        for token, vector in zip(settings.tokens, vectors, strict=True):
            table[pipeline.tokenizer.convert_tokens_to_ids(token)] = vector.to(table)


def _update(value: Tensor, optimizer: torch.optim.Adam, step: int) -> float:
    """Take an optimiser step and return the loss."""
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


def loss(
    pipeline: Any, real: ImageSet, settings: InversionSettings, random: torch.Generator, side: int
) -> Tensor:
    """Return the mean squared error of the predicted noise for random images of a random class."""
    from diffusers import DDPMScheduler

    device = pipeline.unet.device
    scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
    present = np.unique(real.labels)
    label = int(present[int(torch.randint(len(present), (), generator=random))])
    members = np.flatnonzero(real.labels == label)
    rows = members[torch.randint(len(members), (settings.batch_size,), generator=random).numpy()]
    pixels = cropped(with_channels(to_tensor(real.images[rows], device), 3), side, side)
    with torch.no_grad():
        posterior = pipeline.vae.encode((2 * pixels - 1).to(pipeline.vae.dtype)).latent_dist
        latents = posterior.mean + posterior.std * _normal(posterior.mean, random)
        latents = latents * pipeline.vae.config.scaling_factor
    noise = _normal(latents, random)
    last = scheduler.config.num_train_timesteps
    steps = torch.randint(last, (len(rows),), generator=random).to(device)
    tokens = pipeline.tokenizer(
        [settings.prompts[label]] * len(rows),
        padding="max_length",
        max_length=pipeline.tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids.to(device)
    text = pipeline.text_encoder(tokens)[0]
    noisy = scheduler.add_noise(latents, noise, steps)
    predicted = pipeline.unet(noisy, steps, encoder_hidden_states=text).sample
    if scheduler.config.prediction_type == "v_prediction":
        noise = scheduler.get_velocity(latents, noise, steps)
    return functional.mse_loss(predicted.float(), noise.float())


def _normal(like: Tensor, random: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=random).to(like)


def _check(pipeline: Any) -> None:
    parts = ("tokenizer", "text_encoder", "unet", "vae")
    several = getattr(pipeline, "text_encoder_2", None) is not None
    if several or any(getattr(pipeline, part, None) is None for part in parts):
        raise InputError(
            f"tokens cannot be learnt for {type(pipeline).__name__}",
            where="style_inversion",
            hint="use a pipeline with one text encoder, a UNet and a VAE: Stable Diffusion 1.4, 1.5 or 2",
        )
    for part in parts[1:]:
        getattr(pipeline, part).requires_grad_(False)


def _add_tokens(pipeline: Any, settings: InversionSettings) -> list[nn.Parameter]:
    """Add the tokens to tokenizer and text encoder; return their initial embeddings (D,) float32."""
    tokenizer, encoder = pipeline.tokenizer, pipeline.text_encoder
    tokenizer.add_tokens(list(settings.tokens))
    encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table = encoder.get_input_embeddings().weight.requires_grad_(False)
    vectors = []
    for words in settings.initial_words:
        ids = tokenizer(words, add_special_tokens=False).input_ids
        vectors.append(nn.Parameter(table[ids].float().mean(0)))
    return vectors


@contextmanager
def _substituted(pipeline: Any, tokens: Sequence[str], vectors: Sequence[Tensor]) -> Iterator[None]:
    """Use the vectors in place of the tokens' rows of the embedding table while the block runs.

    Gradients then reach the vectors alone, and the table needs neither gradient nor optimiser.
    """
    ids = pipeline.tokenizer.convert_tokens_to_ids(list(tokens))

    def substitute(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        for token, vector in zip(ids, vectors, strict=True):
            here = (given[0] == token)[..., None]
            if here.any():  # a token that is not in the prompt gets no gradient, and so no update
                output = torch.where(here, vector.to(output), output)
        return output

    hook = pipeline.text_encoder.get_input_embeddings().register_forward_hook(substitute)
    try:
        yield
    finally:
        hook.remove()


def _save(path: Path, vectors: Sequence[nn.Parameter], optimizer: torch.optim.Adam, done: int) -> None:
    """Save vectors and optimiser atomically."""
    arrays = {"done": torch.tensor(done)}
    for place, vector in enumerate(vectors):
        arrays[f"{place}.vector"] = vector.detach().cpu()
        for name, value in optimizer.state.get(vector, {}).items():
            arrays[f"{place}.{name}"] = value.cpu()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, save(arrays))


def _resume(path: Path, vectors: Sequence[nn.Parameter], optimizer: torch.optim.Adam) -> int:
    """Restore what an earlier run saved, and return its number of steps."""
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
            f"the saved tokens cannot be used ({error})",
            where=str(path),
            hint="delete this file to learn them again",
        ) from error
