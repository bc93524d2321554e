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

from mousterian.data.resizing import cropped, to_array, to_tensor, with_channels
from mousterian.errors import InputError, first_of
from mousterian.files import write_atomically
from mousterian.seeds import digest, file_stamp, seed_for, weights_stamp
from mousterian.synthesis.generators._captioned_images import Captioned, Columns, Location, captions, pictures
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.training.encoders import clip as clip_models

_log = logging.getLogger(__name__)
_BATCH, _SEEN = 256, 224  # images looked at together, and the side at which CLIP is shown them


@dataclass
class _Sampler:
    """Gives out each class's images in the order in which the table has them."""

    table: pd.DataFrame
    context: GeneratorContext
    columns: Columns

    def __post_init__(self) -> None:
        labels = self.table["label"].to_numpy()
        self._rows = [np.flatnonzero(labels == label) for label in range(len(self.context.class_names))]

    @property
    def limit(self) -> int:
        """Images that can be given out with the classes taking turns, until the first class runs out."""
        return min(len(rows) * len(self._rows) + label for label, rows in enumerate(self._rows))

    def prompts(self, labels: NDArray[np.int64], indices: NDArray[np.int64]) -> list[str]:
        """Return the caption of each image."""
        return [str(text) for text in self._of(labels, indices)["caption"]]

    def sample(
        self, labels: NDArray[np.int64], indices: NDArray[np.int64], seeds: NDArray[np.int64]
    ) -> NDArray[np.uint8]:
        """Return images (N, H, W, C) uint8, resized and cropped to the context's shape."""
        height, width, channels = self.context.shape
        places = _places(self._of(labels, indices))
        images, read = pictures(places, max(height, width), self.columns)
        if not read.all():
            raise InputError(
                "a retrieved image is no longer there, or cannot be read any more",
                where=places[int(np.argmin(read))].file,
                hint="put it back, or delete the pool's folder to retrieve anew",
            )
        return to_array(with_channels(cropped(to_tensor(images, "cpu"), height, width), channels))

    def _of(self, labels: NDArray[np.int64], indices: NDArray[np.int64]) -> pd.DataFrame:
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
    """Real images whose caption contains a class name and that CLIP finds near to a text of the domain.

    A pool like any other, of real images, so that a grid can compare it with synthetic ones. Geng et al.
    sweep the threshold over 0.19, 0.20 and 0.21. Images that CLIP finds almost equal to a test image are left
    out. What was chosen is kept in the pool's folder; the upstream pool stays as it is, and is read again for
    the pictures.

    Args:
        context: classes, image shape, seed and device; pictures are resized and cropped to the shape.
        path: captioned images: parquet with paths (relative to the file) or encoded bytes, webdataset tars,
            or a folder of these.
        clip: CLIP model: a name of open_clip, or "local-dir:FOLDER".
        weights: its weights: a file or a tag.
        domain: text of the domain, e.g. "a photo of a flower" for classes of flowers.
        threshold: cosine with that text above which an image is kept (the paper's τ).
        duplicate: cosine with a test image above which an image is left out; 1 leaves all in.
        whole_words: a class name counts only as whole words; the paper takes any substring ("cat" in
            "location").
        image_column: parquet column of the images; found by its usual names if empty.
        caption_column: parquet column of the captions; found by its usual names if empty.

    Raises:
        InputError: nothing to read, CLIP is not to be had, or a class for which nothing is found.
    """
    columns = Columns(image_column, caption_column)
    kept = context.folder / "retrieved.parquet"
    if kept.exists():
        return _Sampler(pd.read_parquet(kept), context, columns)
    source = Path(path).expanduser()
    label_of = matcher(context.class_names, whole_words)
    found = [(each, label) for each in captions(source, columns) if (label := label_of(each.caption)) >= 0]
    _check(
        context.class_names, [label for _, label in found], source, "has its name in a caption", "other names"
    )
    model = clip_models.load(clip, weights, context.device)
    table = _near(found, model, context, columns, domain=domain, threshold=threshold, duplicate=duplicate)
    _check(context.class_names, table["label"].tolist(), source, "passes", "a lower threshold")
    order = np.random.default_rng(seed_for("retrieval", context.seed)).permutation(len(table))
    table = table.iloc[order].reset_index(drop=True)
    context.folder.mkdir(parents=True, exist_ok=True)
    write_atomically(kept, table.to_parquet())
    return _Sampler(table, context, columns)


def stamp(data_dir: Path, *, path: str, clip: str, weights: str) -> str:
    """Return what tells the content of the upstream pool and of CLIP's weights."""
    return digest([file_stamp(Path(path).expanduser()), weights_stamp(clip, weights)])


def matcher(class_names: Sequence[str], whole_words: bool) -> Callable[[str], int]:
    """Return what tells the class that a caption names: that of the longest name in it, or -1.

    Case does not count, nor whether words are joined by spaces, hyphens or underscores.
    """
    plain = [re.sub(r"[\W_]+", " ", name).strip().casefold() for name in class_names]
    by_length = sorted(range(len(plain)), key=lambda label: -len(plain[label]))
    edge = r"\b" if whole_words else ""
    pattern = re.compile("|".join(f"{edge}({re.escape(plain[label])}){edge}" for label in by_length))

    def label_of(caption: str) -> int:
        hits = list(pattern.finditer(re.sub(r"[\W_]+", " ", caption).casefold()))
        return by_length[min(hit.lastindex or 0 for hit in hits) - 1] if hits else -1

    return label_of


def _near(
    found: Sequence[tuple[Captioned, int]],
    model: clip_models.Clip,
    context: GeneratorContext,
    columns: Columns,
    *,
    domain: str,
    threshold: float,
    duplicate: float,
) -> pd.DataFrame:
    """Return those of the images found that are near to the domain's text and to no test image."""
    text = model.texts([domain])[0]
    test = None if context.test is None or duplicate >= 1 else model.images(context.test().images)
    rows: list[tuple[object, ...]] = []
    unreadable = copies = 0
    for number, part in enumerate(_parts(found)):
        context.progress("retrieving", number * _BATCH, len(found), f"{len(rows)} kept")
        images, read = pictures([each.place for each, _ in part], _SEEN, columns)
        unreadable += int((~read).sum())
        vectors = model.images(images)
        near = vectors @ text
        known = np.zeros(len(part), dtype=bool) if test is None else (vectors @ test.T).max(1) > duplicate
        copies += int((known & read).sum())
        rows += [
            (label, *each.place, each.caption, float(near[place]))
            for place, (each, label) in enumerate(part)
            if read[place] and near[place] > threshold and not known[place]
        ]
    _log.info(
        "%d captions name a class; %d images kept, %d unreadable, %d almost equal to a test image",
        *(len(found), len(rows), unreadable, copies),
    )
    return pd.DataFrame(rows, columns=["label", "file", "start", "size", "caption", "similarity"])


def _parts(found: Sequence[tuple[Captioned, int]]) -> Iterator[list[tuple[Captioned, int]]]:
    rest = iter(found)
    while part := list(islice(rest, _BATCH)):
        yield part


def _check(class_names: Sequence[str], labels: Sequence[int], source: Path, what: str, way_out: str) -> None:
    """Refuse classes for which nothing is there, naming them."""
    counts = Counter(labels)
    without = [name for label, name in enumerate(class_names) if not counts[label]]
    if without:
        raise InputError(
            f"no image of {first_of(without)} {what}",
            where=str(source),
            hint=f"give a larger upstream pool, or {way_out}",
        )


def _places(table: pd.DataFrame) -> list[Location]:
    columns = (table["file"], table["start"], table["size"])
    return [Location(str(file), int(start), int(size)) for file, start, size in zip(*columns, strict=True)]
