"""Pools made elsewhere: pictures in every form, unreadable ones, what is left out, and changing folders."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import FORMATS, STORED, drawn, turned

from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.synthesis.generators import precomputed
from mousterian.synthesis.kinds import GeneratorContext, sampler_inputs
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool

NAMES = ("cat", "dog")


def encoded(seed: int, mode: str = "RGB", form: str = "PNG", orientation: int = 1) -> bytes:
    return turned(drawn(mode, 4, 4, seed)[0], form, orientation)


def write(kind: str, place: Path, files: Sequence[Sequence[bytes | None]]) -> Path:
    """Write the files of each class as a folder or a parquet file; return its path."""
    if kind == "folder":
        for name, of_class in zip(NAMES, files, strict=True):
            (place / "pool" / name).mkdir(parents=True)
            for number, raw in enumerate(of_class):
                (place / "pool" / name / f"{number}.png").write_bytes(raw or b"")
        return place / "pool"
    rows = [(raw, name) for name, of_class in zip(NAMES, files, strict=True) for raw in of_class]
    table = pa.table({"image": [raw for raw, _ in rows], "label": [name for _, name in rows]})
    pq.write_table(table, place / "pool.parquet")
    return place / "pool.parquet"


def sampler_of(path: Path, channels: int = 3, **options: Any) -> Any:
    return precomputed.load(
        GeneratorContext(NAMES, (4, 4, channels), 0, "cpu", path), path=str(path), **options
    )


def images(sampler: Any) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = sampler.sample(*sampler_inputs(np.arange(sampler.limit), 2, 0))
    return found


PICTURES = st.lists(
    st.tuples(
        st.sampled_from([(mode, form) for mode, forms in FORMATS.items() for form in forms]),
        st.sampled_from(sorted(STORED)),
        st.integers(0, 99),
        st.sampled_from(["whole", "whole", "cut", "none"]),
    ),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(PICTURES, PICTURES, st.sampled_from(["folder", "parquet"]), st.sampled_from([1, 3]), st.booleans())
def test_pictures_in_any_form_are_read_back_or_refused_by_their_place(
    cats: list[Any], dogs: list[Any], kind: str, channels: int, skip: bool
) -> None:
    files, seen, broken = [], [], []  # of each class
    for of_class in (cats, dogs):
        raws = [turned(drawn(mode, 4, 4, s)[0], form, turn) for (mode, form), turn, s, _ in of_class]
        states = [state for *_, state in of_class]
        cut = {"whole": lambda raw: raw, "cut": lambda raw: raw[:20], "none": lambda raw: None}
        files.append([cut[state](raw) for raw, state in zip(raws, states, strict=True)])
        whole = [drawn(mode, 4, 4, seed)[1] for (mode, _), _, seed, state in of_class if state == "whole"]
        seen.append([in_channels(each, channels) for each in whole])
        broken.append([state != "whole" for state in states])
    count = sum(map(sum, broken))
    with tempfile.TemporaryDirectory() as place:
        path = write(kind, Path(place), files)
        try:
            sampler = sampler_of(path, channels, skip_unreadable=skip)
            found = images(sampler)
        except InputError as error:
            assert str(path) in error.where
            assert not all(seen) if skip else count
            assert skip or "skip_unreadable = true" in error.hint or "embed_external_files" in error.hint
            return
        assert skip or not any(broken[position % 2][position // 2] for position in range(len(found)))
        for position, image in enumerate(found):
            np.testing.assert_array_equal(image, seen[position % 2][position // 2])
        noted = [note for note in sampler.notes if f"{path}: {count} unreadable image" in note]
        assert len(noted) == (skip and count > 0)


def in_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return what a person sees of a picture as a dataset of these channels has it."""
    if channels == 1 and pixels.shape[2] == 3:
        grey = 0.299 * pixels[..., 0] + 0.587 * pixels[..., 1] + 0.114 * pixels[..., 2]
        return np.rint(grey).astype(np.uint8)[..., None]
    return np.broadcast_to(pixels, (4, 4, channels))


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_skipped_images_leave_no_hole_and_are_named(tmp_path: Path, kind: str) -> None:
    good = [encoded(seed) for seed in range(6)]
    path = write(kind, tmp_path, [[good[0], b"no image", good[1], good[2]], [good[3], good[4], good[5][:30]]])
    with pytest.raises(InputError, match="not an image file") as caught:
        images(sampler_of(path))
    assert caught.value.where == (f"{path}/cat/1.png" if kind == "folder" else f"{path}, row 1")
    assert "skip_unreadable = true" in caught.value.hint
    sampler = sampler_of(path, skip_unreadable=True)
    assert sampler.limit == 5  # cat, dog, cat, dog, cat
    expected = [drawn("RGB", 4, 4, seed)[1] for seed in (0, 3, 1, 4, 2)]
    np.testing.assert_array_equal(images(sampler), expected)
    # The last image alone is the same image.
    last = sampler_of(path, skip_unreadable=True).sample(np.array([0]), np.array([2]), np.array([0]))
    np.testing.assert_array_equal(last[0], expected[-1])
    [note] = sampler.notes
    bad = ("cat/1.png", "dog/2.png") if kind == "folder" else ("row 1", "row 6")
    assert note.startswith(f"{path}: 2 unreadable images left out: {bad[0]} (not an image file), {bad[1]} (")
    path = write(kind, tmp_path / "other" if kind == "folder" else tmp_path, [[good[0]], [b"no image"]])
    with pytest.raises(InputError, match="no images of dog"):
        sampler_of(path, skip_unreadable=True)


def pool_of(path: Path, pools: Path, **options: Any) -> Pool:
    plugin = registry.find("generators", "precomputed")
    values = plugin.resolve({"path": str(path), **options})
    stamp = plugin.stamp(pools / "kept", values)
    identity = PoolIdentity("precomputed", values, stamp, 0, "elsewhere", {"name": "made"}, 0, 1.0, 0, 0, 2)
    return Pool(pools, identity, NAMES)


def fill(pool: Pool, channels: int = 3) -> None:
    real = lambda: pytest.fail("read the real images")  # noqa: E731
    pool.ensure(4, (4, 4, channels), real, "cpu", data_dir=pool.folder.parent / "kept")


def test_a_pool_keeps_the_notes_of_its_source(tmp_path: Path) -> None:
    path = write("folder", tmp_path, [[encoded(0), encoded(1)], [encoded(2), encoded(3, "L")]])
    fill(plain := pool_of(path, tmp_path / "pools"), channels=3)
    grey = f"{path}: the images are grey and the dataset has colour: they get three equal channels"
    assert plain.notes() == (grey,)
    (path / "cat" / ".hidden").touch()
    (path / "dog" / "2.png").write_bytes(b"no image")
    (path / "dog" / "notes.txt").touch()
    fill(skipping := pool_of(path, tmp_path / "pools", skip_unreadable=True))
    assert skipping.notes() == (
        f"{path}: 1 hidden file or folder left out: cat/.hidden",
        f"{path}: 1 file that is no image by its name left out: dog/notes.txt",
        f"{path}: 1 unreadable image left out: dog/2.png (not an image file)",
        grey,
    )
    assert skipping.read(4).notes == ()
    assert pool_of(path, tmp_path / "none").notes() == ()


def test_other_splits_of_an_npz_pool_are_noted(tmp_path: Path) -> None:
    arrays = {"images": np.zeros((4, 4, 4, 3), np.uint8), "labels": np.array([0, 0, 1, 1])}
    np.savez(tmp_path / "pool.npz", **arrays, val_images=arrays["images"], test_labels=arrays["labels"])
    fill(pool := pool_of(tmp_path / "pool.npz", tmp_path))
    assert pool.notes() == (f"{tmp_path / 'pool.npz'}: other splits (val_images, test_labels) are not used",)


def test_a_pool_whose_files_have_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    path = write("folder", tmp_path, [[encoded(0), encoded(1)], [encoded(2), encoded(3)]])
    pool = pool_of(path, tmp_path / "pools")
    (path / "cat" / "0.png").write_bytes(encoded(9))
    with pytest.raises(InputError, match="files that the generator 'precomputed' reads have changed since"):
        fill(pool)
    assert not pool.count()


@pytest.mark.parametrize("change", ["write", "remove"])
def test_a_pool_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: str) -> None:
    path = write("folder", tmp_path, [[encoded(0), encoded(1)], [encoded(2), encoded(3)]])
    sampler, file = sampler_of(path), path / "dog" / "1.png"
    if change == "write":
        file.write_bytes(encoded(9))
    else:
        file.unlink()
    with pytest.raises(InputError, match=r"dog/1\.png: changes while it is read"):
        images(sampler)
