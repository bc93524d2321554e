"""Pictures of every kind, read back as a viewer shows them, or refused by name."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pictures import FORMATS, STORED, drawn, encoded, turned
from PIL import Image
from PIL.Image import Transpose

from mousterian.data import decoding
from mousterian.data.datasets import image_folder
from mousterian.errors import InputError


@given(
    st.sampled_from([(mode, form) for mode, forms in FORMATS.items() for form in forms]),
    st.sampled_from(sorted(STORED)),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(0, 99),
)
def test_a_picture_is_read_as_a_person_sees_it(
    kind: tuple[str, str], orientation: int, height: int, width: int, seed: int
) -> None:
    mode, form = kind
    picture, seen = drawn(mode, height, width, seed)
    pixels = decoding.read_image(turned(picture, form, orientation), None)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, seen)


@pytest.mark.parametrize("key", [0, b"\0\xff\xff\xff"])
def test_a_palettes_transparent_entry_is_white(key: Any) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([9, 9, 9, 200, 0, 0])
    picture.putpixel((1, 0), 1)
    pixels = decoding.read_image(encoded(picture, "PNG", transparency=key), None)
    assert pixels.tolist() == [[[255, 255, 255], [200, 0, 0]]]


def test_half_transparent_ink_is_half_white() -> None:
    assert decoding.read_image(encoded(Image.new("RGBA", (1, 1), (0, 0, 0, 128)), "PNG"), None).max() == 127


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "GIF"])
def test_of_an_animation_and_of_pages_the_first_is_read(form: str) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    pixels = decoding.read_image(encoded(first, form, save_all=True, append_images=[second]), None)
    assert (pixels == (255, 0, 0)).all()


@pytest.mark.parametrize(("form", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("MPO", "RGB")])
def test_a_cameras_picture_is_upright_also_where_it_is_decoded_small(form: str, mode: str) -> None:
    picture = Image.new("RGB", (256, 192), "black")
    picture.paste("white", (0, 0, 256, 96))  # the sky
    exif = Image.Exif()
    exif[274] = 6
    stored = picture.transpose(Transpose.ROTATE_90).convert(mode)
    pixels = decoding.read_image(encoded(stored, form, exif=exif.tobytes()), 32).astype(int)
    assert pixels.shape == (32, 32, 1 if mode == "L" else 3)
    assert pixels[:14].min() > 240 and pixels[18:].max() < 15


@pytest.mark.parametrize(
    ("picture", "form", "more", "message"),
    [
        (
            Image.fromarray(np.full((2, 2), 7.5, np.float32)),
            "TIFF",
            {},
            "floats of 7.5 to 7.5, not of 0",
        ),
        (Image.fromarray(np.full((2, 2), np.nan, np.float32)), "TIFF", {}, "floats of nan"),
        (Image.fromarray(np.full((2, 2), 70_000, np.int32)), "TIFF", {}, "integers of 32 bits"),
        (Image.fromarray(np.zeros((2, 2, 3), np.uint8), "LAB"), "TIFF", {}, "pixels are LAB"),
        (Image.fromarray(np.ones((2, 2), np.uint16)), "PNG", {"transparency": 1}, "a transparent colour"),
    ],
)
def test_what_has_no_one_meaning_is_refused_by_name(
    tmp_path: Path, picture: Image.Image, form: str, more: dict[str, Any], message: str
) -> None:
    file = tmp_path / "odd.png"
    file.write_bytes(encoded(picture, form, **more))
    with pytest.raises(InputError, match=message) as caught:
        decoding.read_image(file, None)
    assert caught.value.where == str(file) and caught.value.hint


def enormous() -> bytes:
    """Return a small PNG that says it has 60,000 × 60,000 pixels."""
    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    start = encoded(Image.new("L", (1, 1)), "PNG")
    return start[:12] + head + struct.pack(">I", zlib.crc32(head)) + start[33:]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n", "not an image file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image file"),
        (encoded(Image.effect_noise((64, 64), 90), "JPEG")[:900], "truncated"),
        (encoded(Image.effect_noise((64, 64), 90), "PNG")[:900], "truncated"),
        (enormous(), "exceeds limit"),
    ],
    ids=["empty", "PostScript", "SVG", "half a JPEG", "half a PNG", "a bomb"],
)
def test_what_is_no_whole_picture_is_refused_and_no_program_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    for name in ("Popen", "check_call", "run"):
        monkeypatch.setattr(subprocess, name, lambda *_, **__: pytest.fail("ran a program"))
    file = tmp_path / "x.png"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        decoding.read_image(file, 8)
    assert caught.value.where == str(file)


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputError, match="not a regular file"):
        decoding.read_image(tmp_path / "x.png", None)
    with pytest.raises(InputError, match="No such file"):
        decoding.read_image(tmp_path / "y.png", None)


def test_broken_exif_data_are_passed_over() -> None:
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    pixels = decoding.read_image(encoded(picture, "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff"), None)
    assert pixels[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]


def make(folder: Path, colours: dict[str, str], form: str = "x.png") -> None:
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(folder / name / form, "PNG")


def test_an_image_folder_reads_what_its_stamp_counts(tmp_path: Path) -> None:
    train, elsewhere = tmp_path / "d" / "train", tmp_path / "elsewhere"
    make(train, {"cat": "red", "dog": "blue"})
    make(tmp_path / "d" / "val", {"cat": "red", "dog": "blue"})
    make(elsewhere, {"more": "green"})
    make(train, {".trash": "red", "cat/.old": "red"})
    Image.new("RGB", (8, 8)).save(train / "cat" / "._x.png")
    os.mkfifo(train / "cat" / "pipe.png")
    (train / "cat" / "again").symlink_to(train)
    (train / "dog" / "linked").symlink_to(elsewhere)
    options: dict[str, Any] = {"path": str(tmp_path / "d"), "size": 8}
    images = image_folder.load("train", tmp_path / "kept", **options)
    assert images.class_names == ("cat", "dog") and images.labels.tolist() == [0, 1, 1]
    before = image_folder.stamp(tmp_path / "kept", **options)
    make(elsewhere, {"more": "lime"})
    assert image_folder.stamp(tmp_path / "kept", **options) != before
    assert 255 in image_folder.load("train", tmp_path / "kept", **options).images[1:, 0, 0, 1]


def test_a_folder_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "d" / "train", {"cat": "red", "dog": "blue"})
    read = decoding.read_image

    def reading(file: Path, size: int) -> NDArray[np.uint8]:
        pixels = read(file, size)
        make(tmp_path / "d" / "train", {"cat": "green"})
        return pixels

    monkeypatch.setattr(image_folder, "read_image", reading)
    with pytest.raises(InputError, match="changes while it is read"):
        image_folder.load("train", tmp_path / "kept", path=str(tmp_path / "d"), size=8)
    assert not list((tmp_path / "kept" / "image_folder").glob("*.npz"))


def test_the_class_list_is_part_of_the_stamp(tmp_path: Path) -> None:
    make(tmp_path / "d" / "train", {"cat": "red", "dog": "blue"})
    listed = tmp_path / "names.txt"
    listed.write_text("cat a\ndog b\n")
    options: dict[str, Any] = {"path": str(tmp_path / "d"), "classes": str(listed)}
    before = image_folder.stamp(tmp_path / "kept", **options)
    listed.write_text("dog a\ncat b\n")
    assert image_folder.stamp(tmp_path / "kept", **options) != before


def test_classes_of_one_picture_or_one_colour_are_named(tmp_path: Path) -> None:
    train = tmp_path / "d" / "train"
    for name, seeds in (("same", [1, 1]), ("good", [1, 2])):
        (train / name).mkdir(parents=True)
        for number, seed in enumerate(seeds):
            pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(train / name / f"{number}.png")
    make(train, {"flat": "red"})
    make(train, {"flat": "blue"}, "y.png")
    images = image_folder.load("train", tmp_path / "kept", path=str(tmp_path / "d"), size=8)
    assert images.notes == (
        f"{train}: every image of class flat is of one colour",
        f"{train}: all 2 images of class same are identical",
    )
