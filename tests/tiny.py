"""Tiny models with random weights, saved to a folder in the layout that hubs use, so that tests need none."""

from __future__ import annotations

import json
from pathlib import Path

CLIP_CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
}


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
