from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from PIL import Image

from mousterian.data.image_set import ImageSet
from mousterian.errors import InputError
from mousterian.synthesis.generators import retrieval
from mousterian.synthesis.kinds import GeneratorContext
from mousterian.training.encoders import clip

pytest.importorskip("open_clip")

NAMES = ("night_snake", "crane")
CAPTIONS = ["a Night Snake", "two cranes", "a lake", "crane at dusk", "night-snake skin", "a crane"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"local-dir:{tiny.clip(tmp_path_factory.mktemp('clip'))}"


@pytest.fixture
def context(tmp_path: Path) -> GeneratorContext:
    return GeneratorContext(NAMES, (8, 8, 3), 0, "cpu", tmp_path / "pool")


def encoded(number: int) -> bytes:
    """Return an image of one colour, which encodes its number."""
    file = io.BytesIO()
    Image.new("RGB", (20, 16), (40 * number, 10, 200)).save(file, "PNG")
    return file.getvalue()


def as_paths(folder: Path) -> Path:
    for number in range(len(CAPTIONS)):
        (folder / f"{number}.png").write_bytes(encoded(number))
    names = [f"{number}.png" for number in range(len(CAPTIONS))]
    pd.DataFrame({"path": names, "caption": CAPTIONS}).to_parquet(folder / "list.parquet")
    return folder


def as_bytes(folder: Path) -> Path:
    cells = [{"bytes": encoded(number), "path": ""} for number in range(len(CAPTIONS))]
    table = pd.DataFrame({"image": cells, "text": CAPTIONS})
    table.to_parquet(folder / "all.parquet", row_group_size=2)
    return folder / "all.parquet"


def as_tars(folder: Path) -> Path:
    for first in (0, 3):
        with tarfile.open(folder / f"{first}.tar", "w") as tar:
            for number in range(first, first + 3):
                members = {"png": encoded(number), "txt": CAPTIONS[number].encode()}
                if number % 2:
                    members["json"] = json.dumps({"caption": CAPTIONS[number]}).encode()
                    del members["txt"]
                for suffix, raw in members.items():
                    member = tarfile.TarInfo(f"{number:05d}.{suffix}")
                    member.size = len(raw)
                    tar.addfile(member, io.BytesIO(raw))
    return folder


def numbers(images: np.ndarray) -> list[int]:
    return [round(float(image[..., 0].mean()) / 40) for image in images]


def everything(sampler: Any) -> list[int]:
    positions = np.arange(sampler.limit)
    return numbers(sampler.sample(positions % 2, positions // 2, positions))


@pytest.mark.parametrize("layout", [as_paths, as_bytes, as_tars])
def test_images_whose_captions_name_a_class_are_retrieved_from_every_layout(
    layout: Callable[[Path], Path], model: str, context: GeneratorContext, tmp_path: Path
) -> None:
    source = tmp_path / "upstream"
    source.mkdir()
    sampler = retrieval.load(context, path=str(layout(source)), clip=model, threshold=-1.0)
    # Two snakes and three cranes: the classes take turns until the snakes run out.
    assert sampler.limit == 4
    found = everything(sampler)
    assert set(found[0::2]) == {0, 4} and set(found[1::2]) <= {1, 3, 5}
    texts = sampler.prompts(np.array([0, 1]), np.array([0, 1]))
    assert texts == [CAPTIONS[found[0]], CAPTIONS[found[3]]]
    assert everything(retrieval.load(context, path="gone", clip="gone")) == found  # the list is saved


def test_only_images_above_the_threshold_and_unlike_test_images_are_kept(
    model: str, context: GeneratorContext, tmp_path: Path
) -> None:
    source = as_bytes(tmp_path)
    whole = retrieval.load(
        replace(context, folder=tmp_path / "a"), path=str(source), clip=model, threshold=-1.0
    ).table
    cranes = whole[whole["label"] == 1].sort_values("similarity")
    snakes = whole[whole["label"] == 0]
    loaded = clip.load(model, "", "cpu")
    picture = np.asarray(Image.open(io.BytesIO(encoded(3))).convert("RGB").resize((32, 32)))[None]
    cosine = float((loaded.images(picture) @ loaded.texts(["a photo"]).T)[0, 0])
    assert cranes.set_index("caption")["similarity"]["crane at dusk"] == pytest.approx(cosine, abs=1e-3)
    threshold = float(min(cranes["similarity"].iloc[0], snakes["similarity"].min() - 1e-6))
    above = retrieval.load(
        replace(context, folder=tmp_path / "b"), path=str(source), clip=model, threshold=threshold
    ).table
    assert set(above["caption"]) == set(whole.loc[whole["similarity"] > threshold, "caption"])
    test = ImageSet(picture, np.array([1]), NAMES)
    without = retrieval.load(
        replace(context, folder=tmp_path / "c", test=lambda: test),
        path=str(source),
        clip=model,
        threshold=-1.0,
        duplicate=0.99999,
    ).table
    assert set(whole["caption"]) - set(without["caption"]) == {"crane at dusk"}


def test_the_longest_name_in_a_caption_decides() -> None:
    label_of = retrieval.matcher(["cat", "tabby_cat", "dog"], whole_words=False)
    assert [label_of(text) for text in ("a Tabby-Cat", "dog and cat", "location", "a bird")] == [1, 0, 0, -1]
    label_of = retrieval.matcher(["cat", "tabby_cat", "dog"], whole_words=True)
    assert [label_of(text) for text in ("a tabby cat", "location", "the dog.")] == [1, -1, 2]


def test_errors_name_what_is_missing(model: str, context: GeneratorContext, tmp_path: Path) -> None:
    source = tmp_path / "upstream"
    source.mkdir()
    as_paths(source)
    with pytest.raises(InputError, match="no image of crane passes"):
        retrieval.load(replace(context, class_names=("crane",)), path=str(source), clip=model, threshold=2.0)
    with pytest.raises(InputError, match="no image of heron has its name in a caption"):
        retrieval.load(replace(context, class_names=("crane", "heron")), path=str(source), clip=model)
    with pytest.raises(InputError, match="no captioned images here"):
        retrieval.load(context, path=str(tmp_path / "nowhere"), clip=model)
    with pytest.raises(InputError, match="has no column 'captoin'") as caught:
        retrieval.load(context, path=str(source), clip=model, caption_column="captoin")
    assert "caption_column = 'caption'" in caught.value.hint
    (tmp_path / "broken.tar").write_bytes(b"not a tar at all" * 64)
    with pytest.raises(InputError, match="tar"):
        retrieval.load(context, path=str(tmp_path / "broken.tar"), clip=model)
    sampler = retrieval.load(context, path=str(source), clip=model, threshold=-1.0)
    for number in range(len(CAPTIONS)):
        (source / f"{number}.png").unlink()
    with pytest.raises(InputError, match="no longer exists"):
        everything(sampler)


def test_images_that_the_stamp_does_not_count_are_refused(
    model: str, context: GeneratorContext, tmp_path: Path
) -> None:
    source = tmp_path / "upstream"
    source.mkdir()
    as_paths(source)

    def load(path: Path) -> None:
        retrieval.load(context, path=str(path), clip=model, threshold=-1.0)

    with pytest.raises(InputError, match=r"an image lies outside it, or is hidden: .*0\.png") as caught:
        load(source / "list.parquet")  # whose stamp is that of the list alone
    assert "put the list and its images into one folder" in caught.value.hint
    (tmp_path / "elsewhere.png").write_bytes(encoded(0))
    (source / ".hidden.png").write_bytes(encoded(0))
    for name in ("../elsewhere.png", ".hidden.png", str(tmp_path / "elsewhere.png")):
        pd.DataFrame({"path": [name], "caption": ["crane"]}).to_parquet(source / "list.parquet")
        with pytest.raises(InputError, match="an image lies outside it, or is hidden"):
            load(source)


def test_another_upstream_pool_or_other_weights_make_another_pool(model: str, tmp_path: Path) -> None:
    source, weights = as_bytes(tmp_path), tmp_path / "clip.pt"
    weights.write_bytes(b"weights")

    def stamp() -> str:
        return retrieval.stamp(tmp_path, path=str(source), clip="RN50", weights=str(weights))

    first = stamp()
    weights.write_bytes(b"other weights")
    second = stamp()
    source.write_bytes(source.read_bytes() + b".")
    assert len({first, second, stamp()}) == 3
