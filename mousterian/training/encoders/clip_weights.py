"""What CLIP's weights on this machine hold; nothing is loaded."""

from __future__ import annotations

from pathlib import Path

from mousterian.data.content import content_stamp


def weights_stamp(model: str, weights: str, data_dir: Path) -> str:
    """Return the stamp of a CLIP model's weights: of the folder in "local-dir:FOLDER", else of their file.

    It is "" for weights that are not on this machine.
    """
    folder = model.removeprefix("local-dir:")
    path = folder if folder != model else weights
    return content_stamp(Path(path).expanduser(), data_dir) if path else ""
