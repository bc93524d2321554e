"""Pools made elsewhere: their labels in every form, their channels, and what is refused by name."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mousterian.errors import InputError
from mousterian.synthesis.generators import precomputed
from mousterian.synthesis.kinds import GeneratorContext

PETS, SHAPE = ("cat", "dog", "big bird"), (4, 4, 1)
FORMS = ("numbers", "column", "one-hot", "own names", "given names", "text", "other spelling")


def png(value: int, channels: int = 1) -> bytes:
    pixels = np.full((4, 4, channels), value, dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def sampler_of(path: Path, shape: tuple[int, int, int] = SHAPE, **options: Any) -> Any:
    return precomputed.load(GeneratorContext(PETS, shape, 0, "cpu", path.parent), path=str(path), **options)


def first_pixels(sampler: Any) -> list[list[int]]:
    """Return the first pixel of each image by class, in the order of the pool."""
    none = np.zeros(1, dtype=np.int64)
    return [
        [int(sampler.sample(none + label, none + row, none)[0, 0, 0, 0]) for row in range(len(rows))]
        for label, rows in enumerate(sampler.by_class)
    ]


def read(path: Path, **options: Any) -> list[list[int]]:
    return first_pixels(sampler_of(path, **options))


def write_parquet(path: Path, images: list[Any], labels: Any, own: list[str] | None = None) -> None:
    table = pa.table({"image": images, "label": labels})
    if own is not None:
        features = {"label": {"names": own, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def in_form(form: str, classes: list[int], order: list[int]) -> tuple[np.ndarray, list[str] | None]:
    """Return labels in a form, and the names of its numbers, in another order than the dataset's."""
    own = [PETS[label] for label in order]
    if form in ("own names", "given names"):
        return np.array([order.index(label) for label in classes]), own
    spelt = [name.upper().replace(" ", "_") for name in PETS]
    labels = {
        "numbers": np.array(classes, dtype=np.int8),
        "column": np.array(classes)[:, None],
        "one-hot": np.eye(3, dtype=np.int64)[classes],
        "text": np.array(PETS)[classes],
        "other spelling": np.array(spelt)[classes],
    }
    return labels[form], None


@settings(deadline=None)  # the first parquet file loads pyarrow
@given(
    st.lists(st.integers(0, 2), max_size=5),
    st.permutations(range(3)),
    st.permutations(range(3)),
    st.sampled_from(FORMS),
    st.sampled_from(["npz", "parquet"]),
)
def test_pools_are_read_back_from_every_form_of_labels(
    more: list[int], first: list[int], order: list[int], form: str, kind: str
) -> None:
    classes = [*first, *more]  # one of each class, and some
    labels, own = in_form(form, classes, order)
    options = {"class_names": own} if form == "given names" else {}
    own = None if form == "given names" else own
    values = [10 * row for row in range(len(classes))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"pool.{kind}"
        if kind == "npz":
            images = np.repeat(np.array(values, dtype=np.uint8), 16).reshape(-1, 4, 4)
            np.savez(
                path, images=images, labels=labels, **({} if own is None else {"class_names": np.array(own)})
            )
        else:
            write_parquet(path, [png(value) for value in values], labels.tolist(), own)
        expected = [[10 * row for row, each in enumerate(classes) if each == label] for label in range(3)]
        assert read(path, **options) == expected


@pytest.mark.parametrize(
    ("images", "labels", "own", "message"),
    [
        (None, [0, None, 2], None, "labels are missing in row 1"),
        (None, [0, 1, 2], ["dog", "hound", "cat"], "label 'hound' of row 1 is not a class"),
        (None, [0, 1, 2], ["dog", "cat"], "labels run from 0 to 2 but there are 2 class names: row 2"),
        (None, [0, 1, 2], ["cat", "CAT", "dog"], "'cat' and 'CAT' would all be the class 'cat'"),
        (None, ["cat", "hound", "dog"], None, "label 'hound' of row 1 is not a class"),
        (
            [{"bytes": None, "path": "a.png"}] * 3,
            [0, 1, 2],
            None,
            "not embedded: row 0 has the path 'a.png' alone",
        ),
        (["a.png"] * 3, [0, 1, 2], None, "not embedded: row 0 has the path 'a.png' alone"),
        ([png(0), None, png(0)], [0, 1, 2], None, "images are not embedded: row 1 has no image"),
    ],
)
def test_a_parquet_pool_that_cannot_be_read_names_the_row(
    tmp_path: Path, images: Any, labels: list[Any], own: list[str] | None, message: str
) -> None:
    path = tmp_path / "pool.parquet"
    write_parquet(path, images or [png(0)] * 3, labels, own)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_damaged_metadata_is_refused_and_other_splits_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "pool.parquet"
    table = pa.table({"image": [png(value) for value in (1, 2, 3, 4)], "label": [0, 1, 2, 0]})
    pq.write_table(table.replace_schema_metadata({"huggingface": "{"}), path)
    with pytest.raises(InputError, match="metadata `huggingface` is damaged"):
        read(path)
    names = json.dumps({"info": {"features": {"label": {"names": {"0": "dog"}}}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": names}), path)
    with pytest.raises(InputError, match="the names of label are no list"):
        read(path)
    pq.write_table(table.append_column("label", pa.array([2, 1, 0, 0])), path)
    with pytest.raises(InputError, match=r"not a readable parquet file \(Multiple matches"):
        read(path)
    pq.write_table(table.append_column("split", pa.array(["validation"] + ["train"] * 3)), path)
    sampler = sampler_of(path)
    assert first_pixels(sampler) == [[4], [2], [3]]
    assert sampler.notes == [f"{path}: other splits are not used: validation (1 row)"]
    table = table.set_column(1, "label", pa.array([2, 0, 1, 7]))
    pq.write_table(table.append_column("split", pa.array(["validation"] + ["train"] * 3)), path)
    with pytest.raises(InputError, match=r"split train: the labels run .* row 2"):  # of that split's rows
        read(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"labels": np.array([[1, 1, 0]] * 3)}, "labels are (3, 3), not (N,), and not one-hot"),
        (
            {"labels": np.array([[1, 0], [0, 1], [0, 1]])},
            "labels are (3, 2), not (N,), and there are 3 classes",
        ),
        ({"labels": np.array(0)}, "as many labels"),
        ({"labels": np.array([0, 1, 2], dtype=object)}, "Object arrays cannot be loaded"),
        ({"images": np.zeros((3, 4, 4))}, "expected uint8 images"),
        (
            {"images": np.zeros((3, 5, 4), dtype=np.uint8)},
            "its images are (5, 4, 1), the dataset's (4, 4, 1)",
        ),
    ],
)
def test_an_npz_pool_that_cannot_be_read_says_why(
    tmp_path: Path, arrays: dict[str, np.ndarray], message: str
) -> None:
    path = tmp_path / "pool.npz"
    np.savez(path, **{"images": np.zeros((3, 4, 4), dtype=np.uint8), "labels": np.arange(3), **arrays})
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(path)
    assert caught.value.hint


def test_a_fifo_is_no_pool(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pool.npz")
    with pytest.raises(InputError, match="a pool must be a folder"):
        read(tmp_path / "pool.npz")


def test_folders_that_are_one_class_or_none_are_named(tmp_path: Path) -> None:
    for name in ("cat", "dog", "Big_Bird", "CAT"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png(1))
    with pytest.raises(InputError, match="folders 'CAT' and 'cat' would all be the class 'cat'"):
        read(tmp_path)
    (tmp_path / "CAT").rename(tmp_path / "xyz")
    with pytest.raises(InputError, match=r"folder 'xyz' is not a class\n") as caught:
        read(tmp_path)
    assert "cat, dog, big bird" in caught.value.hint
    (tmp_path / "xyz" / "a.png").unlink()
    (tmp_path / "xyz").rmdir()
    assert read(tmp_path) == [[1], [1], [1]]


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_colour_and_grey_pools_become_the_datasets(tmp_path: Path, kind: str) -> None:
    colour = np.full((4, 4, 3), (200, 100, 50), dtype=np.uint8)
    path = tmp_path / f"pool.{kind}"
    if kind == "npz":
        np.savez(path, images=np.stack([colour] * 3), labels=np.arange(3))
    else:
        buffer = io.BytesIO()
        Image.fromarray(colour).save(buffer, "PNG")
        write_parquet(path, [buffer.getvalue()] * 3, [0, 1, 2])
    sampler = sampler_of(path)
    assert first_pixels(sampler) == [[124]] * 3  # 0.299 · 200 + 0.587 · 100 + 0.114 · 50 = 124.2
    assert sampler.notes == [
        f"{path}: the images have colour and the dataset is grey: they are made grey (luma)"
    ]
    if kind == "npz":
        np.savez(path, images=np.full((3, 4, 4), 9, dtype=np.uint8), labels=np.arange(3))
    else:
        write_parquet(path, [png(9)] * 3, [0, 1, 2])
    sampler = sampler_of(path, (4, 4, 3))
    none = np.zeros(1, dtype=np.int64)
    assert np.array_equal(sampler.sample(none, none, none), np.full((1, 4, 4, 3), 9))
    assert sampler.notes == [
        f"{path}: the images are grey and the dataset has colour: they get three equal channels"
    ]


def test_names_that_are_given_for_a_pool_are_its_names(tmp_path: Path) -> None:
    path, given = tmp_path / "pool.parquet", ("dog", "Big_Bird", "cat")
    images = [png(1), png(2), png(3)]
    write_parquet(path, images, [0, 1, 2])
    assert read(path) == [[1], [2], [3]]  # the dataset's classes, from 0
    assert read(path, class_names=given) == [[3], [1], [2]]
    with pytest.raises(InputError, match="labels run from 0 to 2 but there are 2 class names: row 2"):
        read(path, class_names=("dog", "cat"))
    with pytest.raises(InputError, match=r"label 'hound' .*is not a class"):
        read(path, class_names=("dog", "hound", "cat"))
    write_parquet(path, images, [0, 1, 2], ["dog", "cat", "big bird"])
    with pytest.raises(InputError, match="own class names are dog, cat, big bird, and the option"):
        read(path, class_names=given)
    write_parquet(path, images, ["dog", "cat", "big bird"])
    assert read(path, class_names=given) == [[2], [1], [3]]
    with pytest.raises(InputError, match="label 'big bird' of row 2 is not a class"):
        read(path, class_names=("dog", "cat", "ant"))
    for name, value in (("0", 1), ("1", 2), ("2", 3)):  # folders of numbers have no names
        (tmp_path / "pool" / name).mkdir(parents=True)
        (tmp_path / "pool" / name / "a.png").write_bytes(png(value))
    assert read(tmp_path / "pool") == [[1], [2], [3]]
    assert read(tmp_path / "pool", class_names=given) == [[3], [1], [2]]
    (tmp_path / "pool" / "2").rename(tmp_path / "pool" / "bird")
    with pytest.raises(InputError, match="folder 'bird' is not a class") as caught:
        read(tmp_path / "pool", class_names=given)
    assert "dog, Big_Bird, cat" in caught.value.hint
