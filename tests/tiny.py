"""Tiny models with random weights, saved to a folder in the layout that hubs use, so that tests need none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}

# Words of the tiny tokenizers.
_TEXT = "a photo of the crane snake in style night blue red an by lake hill"
WORDS = ("<pad>", "</s>", "<unk>", *_TEXT.split())


def clip(folder: Path) -> Path:
    """Save a CLIP model to `folder` as open_clip does, and return the folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(**CLIP_CONFIG["model_cfg"])
    (folder / "open_clip_config.json").write_text(json.dumps(CLIP_CONFIG))
    save_file(network.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def language(folder: Path) -> Path:
    """Save a T5 model of a few thousand weights with a tokenizer of words to `folder`."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        config = T5Config(vocab_size=len(WORDS), decoder_start_token_id=0, eos_token_id=1, **sizes)
        T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer(WORDS).save_pretrained(folder)
    return folder


def sentences(folder: Path, pooling: str) -> Path:
    """Save a BERT of a few thousand weights to `folder` as sentence-transformers does.

    Args:
        folder: where to.
        pooling: the switch that is on in its pooling's settings, e.g. "pooling_mode_mean_tokens".
    """
    import torch
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(BertConfig(vocab_size=len(WORDS), pad_token_id=0, **sizes)).save_pretrained(folder)
    tokenizer(WORDS).save_pretrained(folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
    listed = [
        {"name": kind, "path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in kinds.items()
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Pooling").mkdir()
    settings = {"word_embedding_dimension": sizes["hidden_size"], pooling: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
    return folder


def tokenizer(words: tuple[str, ...], **more: Any) -> Any:
    """Return a fast tokenizer whose tokens are whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, **marks, **more)


_BLOCKS: dict[str, Any] = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
_DECODER: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "latent_channels": 4,
}


def _text_config(**more: Any) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
        **more,
    )


def pipeline(folder: Path, **scheduler: Any) -> Path:
    """Save a Stable Diffusion pipeline for images of 16 pixels to `folder` in diffusers' layout."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet2DConditionModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=16,
            attention_head_dim=4,
            **_BLOCKS,
        )
        made = StableDiffusionPipeline(
            vae=AutoencoderKL(**_DECODER, **_BLOCKS),
            text_encoder=CLIPTextModel(_text_config()),
            tokenizer=tokenizer(WORDS, model_max_length=16),
            unet=network,
            scheduler=DDIMScheduler(steps_offset=1, clip_sample=False, **scheduler),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    made.save_pretrained(folder)
    return folder


def pipeline3(folder: Path) -> Path:
    """Save a Stable Diffusion 3 pipeline for images of 16 pixels to `folder`: flow matching."""
    import torch
    from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
    from diffusers import StableDiffusion3Pipeline as Pipeline
    from transformers import CLIPTextModelWithProjection, T5Config, T5EncoderModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformer = SD3Transformer2DModel(
            sample_size=8,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=32,
            pos_embed_max_size=8,
        )
        t5 = T5Config(vocab_size=len(WORDS), d_model=32, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
        clips = [CLIPTextModelWithProjection(_text_config(projection_dim=16)) for _ in range(2)]
        words = tokenizer(WORDS, model_max_length=16)
        made = Pipeline(
            transformer=transformer,
            scheduler=FlowMatchEulerDiscreteScheduler(),
            vae=AutoencoderKL(**_DECODER, **_BLOCKS, shift_factor=0.06, use_quant_conv=False),
            text_encoder=clips[0],
            tokenizer=words,
            text_encoder_2=clips[1],
            tokenizer_2=words,
            text_encoder_3=T5EncoderModel(t5),
            tokenizer_3=words,
        )
    made.save_pretrained(folder)
    return folder
