"""Real images retrieved from a captioned upstream pool: the control arm of Geng et al. (2024)."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mousterian.data.content import content_stamp
from mousterian.data.resizing import cropped, to_array, to_tensor, with_channels
from mousterian.errors import InputError, first_of
from mousterian.files import write_atomically
from mousterian.seeds import digest, seed_for
from mousterian.synthesis.generators._captioned_images import (
    Captioned,
    Columns,
    Location,
    captions,
    load_images,
)
from mousterian.synthesis.generators._class_rows import images_in_turn, rows_by_class
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.training.encoders import clip as clip_models
from mousterian.training.encoders.clip_weights import weights_stamp

REVISION = 2  # EXIF orientation, transparency, 16-bit and float images as a viewer shows them
_log = logging.getLogger(__name__)
_BATCH, _SIDE = 256, 224  # images that CLIP encodes together, and their side


@dataclass
class _Sampler:
    """Returns each class's images in the order of the table."""

    table: pd.DataFrame
    context: GeneratorContext
    columns: Columns

    def __post_init__(self) -> None:
        self._rows = rows_by_class(self.table["label"].to_numpy(), len(self.context.class_names))

    @property
    def limit(self) -> int:
        """Images that are available with the classes in turn, until a class runs out."""
        return images_in_turn(self._rows)

    def prompts(self, labels: NDArray[np.int64], indices: NDArray[np.int64]) -> list[str]:
        """Return the caption of each image."""
        return [str(text) for text in self._rows_of(labels, indices)["caption"]]

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8, resized and cropped to the context's shape."""
        height, width, channels = self.context.shape
        locations = _locations(self._rows_of(labels, indices))
        images, read = load_images(locations, max(height, width), self.columns)
        if not read.all():
            raise InputError(
                "a retrieved image no longer exists or cannot be read",
                where=locations[int(np.argmin(read))].file,
                hint="restore it, or delete the pool's folder to retrieve again",
            )
        return to_array(with_channels(cropped(to_tensor(images, "cpu"), height, width), channels))

    def _rows_of(self, labels: NDArray[np.int64], indices: NDArray[np.int64]) -> pd.DataFrame:
        return self.table.iloc[[self._rows[k][i] for k, i in zip(labels, indices, strict=True)]]


def load(
    context: GeneratorContext,
    *,
    path: str,
    clip: str,
    weights: str = "",
    domain: str = "a photo",
    threshold: float = 0.2,
    duplicate: float = 0.95,
    whole_words: bool = False,
    image_column: str = "",
    caption_column: str = "",
) -> _Sampler:
    """Real images whose caption contains a class name and that are similar to a domain prompt in CLIP space.

    A pool of real images, so that a grid can compare it with synthetic ones. Geng et al. sweep the threshold
    over 0.19, 0.20 and 0.21. Near-duplicates of test images in CLIP space are excluded. The list of retrieved
    images is saved in the pool's folder; the images are read from the upstream pool.

    Args:
        context: classes, image shape, seed and device; images are resized and cropped to the shape.
        path: captioned images: parquet with encoded bytes, WebDataset tars, or a folder of these; also a
            folder of parquet with paths (relative to the file) to images that lie in the folder.
        clip: CLIP model: a name of open_clip, or "local-dir:FOLDER".
        weights: its weights: a file or a tag.
        domain: prompt of the domain, e.g. "a photo of a flower" for classes of flowers.
        threshold: minimum cosine similarity to that prompt (the paper's τ).
        duplicate: maximum cosine similarity to a test image; 1: no limit.
        whole_words: match class names as whole words only; the paper matches any substring ("cat" in
            "location").
        image_column: parquet column of the images; empty: the usual names.
        caption_column: parquet column of the captions; empty: the usual names.

    Raises:
        InputError: no captioned images, CLIP cannot be loaded, or a class without retrieved images.
    """
    columns = Columns(image_column, caption_column)
    file = context.folder / "retrieved.parquet"
    if file.exists():
        return _Sampler(pd.read_parquet(file), context, columns)
    source = Path(path).expanduser()
    label_of = matcher(context.class_names, whole_words)
    found = [(each, label) for each in captions(source, columns) if (label := label_of(each.caption)) >= 0]
    _check(
        context.class_names, [label for _, label in found], source, "has its name in a caption", "other names"
    )
    model = clip_models.load(clip, weights, context.device)
    table = _similar(found, model, context, columns, domain=domain, threshold=threshold, duplicate=duplicate)
    _check(context.class_names, table["label"].tolist(), source, "passes the threshold", "a lower threshold")
    order = np.random.default_rng(seed_for("retrieval", context.seed)).permutation(len(table))
    table = table.iloc[order].reset_index(drop=True)
    context.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, table.to_parquet())
    return _Sampler(table, context, columns)


def stamp(data_dir: Path, *, path: str, clip: str, weights: str) -> str:
    """Return a digest of the upstream pool and of CLIP's weights."""
    content = content_stamp(Path(path).expanduser(), data_dir)
    return digest([content, weights_stamp(clip, weights, data_dir)])


def matcher(class_names: Sequence[str], whole_words: bool) -> Callable[[str], int]:
    """Return a function from captions to classes: that of the longest name in the caption, or -1.

    It ignores case, and whether words are joined by spaces, hyphens or underscores.
    """
    plain = [re.sub(r"[\W_]+", " ", name).strip().casefold() for name in class_names]
    by_length = sorted(range(len(plain)), key=lambda label: -len(plain[label]))
    edge = r"\b" if whole_words else ""
    pattern = re.compile("|".join(f"{edge}({re.escape(plain[label])}){edge}" for label in by_length))

    def label_of(caption: str) -> int:
        hits = list(pattern.finditer(re.sub(r"[\W_]+", " ", caption).casefold()))
        return by_length[min(hit.lastindex or 0 for hit in hits) - 1] if hits else -1

    return label_of


def _similar(
    found: Sequence[tuple[Captioned, int]],
    model: clip_models.Clip,
    context: GeneratorContext,
    columns: Columns,
    *,
    domain: str,
    threshold: float,
    duplicate: float,
) -> pd.DataFrame:
    """Return the images that are similar to the domain prompt and to no test image."""
    text = model.texts([domain])[0]
    test = None if context.test is None or duplicate >= 1 else model.images(context.test().images)
    rows: list[tuple[object, ...]] = []
    unreadable = duplicates = 0
    for number, part in enumerate(_batches(found)):
        context.progress("retrieving", number * _BATCH, len(found), f"{len(rows)} kept")
        images, read = load_images([each.location for each, _ in part], _SIDE, columns)
        unreadable += int((~read).sum())
        vectors = model.images(images)
        cosine = vectors @ text
        near = np.zeros(len(part), dtype=bool) if test is None else (vectors @ test.T).max(1) > duplicate
        duplicates += int((near & read).sum())
        rows += [
            (label, *each.location, each.caption, float(cosine[row]))
            for row, (each, label) in enumerate(part)
            if read[row] and cosine[row] > threshold and not near[row]
        ]
    _log.info(
        "%d captions contain a class name; %d images kept, %d unreadable, %d near-duplicates of test images",
        *(len(found), len(rows), unreadable, duplicates),
    )
    return pd.DataFrame(rows, columns=["label", "file", "start", "size", "caption", "similarity"])


def _batches(found: Sequence[tuple[Captioned, int]]) -> Iterator[list[tuple[Captioned, int]]]:
    rest = iter(found)
    while part := list(islice(rest, _BATCH)):
        yield part


def _check(class_names: Sequence[str], labels: Sequence[int], source: Path, what: str, remedy: str) -> None:
    """Raise InputError if a class has no images."""
    counts = Counter(labels)
    missing = [name for label, name in enumerate(class_names) if not counts[label]]
    if missing:
        raise InputError(
            f"no image of {first_of(missing)} {what}",
            where=str(source),
            hint=f"use a larger upstream pool, or {remedy}",
        )


def _locations(table: pd.DataFrame) -> list[Location]:
    columns = (table["file"], table["start"], table["size"])
    return [Location(str(file), int(start), int(size)) for file, start, size in zip(*columns, strict=True)]
