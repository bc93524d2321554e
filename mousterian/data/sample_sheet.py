"""Sample sheets: one row of images for each class, as a PNG."""

from __future__ import annotations

import io

import numpy as np

from mousterian.data.image_set import ImageSet

COLUMNS, CLASSES = 12, 40
_CELL = 64  # pixels that a small image is enlarged to, by an integer factor
_GAP, _TITLE = 2, 160


def sheet(images: ImageSet, columns: int = COLUMNS) -> bytes:
    """Return a PNG of the first images of each class: a named row for each of the first 40 classes."""
    from PIL import Image, ImageDraw

    height, width, channels = images.shape
    factor = max(1, _CELL // max(height, width))
    high, wide = height * factor + _GAP, width * factor + _GAP
    shown = min(CLASSES, len(images.class_names))
    most = np.bincount(images.labels, minlength=shown)[:shown].max(initial=0)
    mode = "L" if channels == 1 else "RGB"
    page = Image.new(mode, (_TITLE + min(columns, int(most)) * wide, shown * high), "white")
    pen = ImageDraw.Draw(page)
    for label, name in enumerate(images.class_names[:shown]):
        pen.text((4, label * high + high // 2 - 6), name[:24], fill="black")
        for column, row in enumerate(np.flatnonzero(images.labels == label)[:columns]):
            pixels = images.images[row]
            cell = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).convert(mode)
            large = cell.resize((width * factor, height * factor), Image.Resampling.NEAREST)
            page.paste(large, (_TITLE + column * wide, label * high))
    buffer = io.BytesIO()
    page.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
