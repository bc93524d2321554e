"""Figures for papers: the width asked for, nothing cut off, nothing that touches."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import matplotlib
import pytest
from conftest import ROOT
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from mousterian.__main__ import main
from mousterian.api import Fit
from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.reporting import figure_file
from mousterian.reporting.drawing import Figure, drawings
from mousterian.reporting.style import asked_width, style

TABLE_3 = ROOT / "fits" / "mousterian-table-3.json"
STUDY = ROOT / "fits" / "study-fashion"


@cache
def fit() -> Fit:
    return Fit.load(TABLE_3)


def printed(name: str, path: Path, width: str) -> Figure:
    return figure_file.print_figure(fit(), name, path, width=figure_file.width_of(width))


def canvas_of(name: str, width: float) -> Canvas:
    with asked_width(width), drawings() as drawn:
        if name == "beside":
            fits = map(Fit.load, sorted(STUDY.glob("*.json")))
            registry.find("figures", "equivalence_curve").beside([(each.name, each) for each in fits])
        elif "store" in registry.find("figures", name).options:
            joint = Fit.load(STUDY / "fashion_mnist-edm-base-joint.json")
            registry.find("figures", name).load()(joint, store=str(STUDY / "rows"))
        else:
            registry.find("figures", name).load()(fit())
    return drawn[0]


def touching(boxes: list[Bbox]) -> list[tuple[Bbox, Bbox]]:
    return [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]


@pytest.mark.parametrize(("width", "points"), [("single", 234), ("double", 486), ("5.5", 396)])
def test_a_figure_has_the_width_asked_for(tmp_path: Path, width: str, points: float) -> None:
    printed("improvement_ratio", tmp_path / "f.svg", width)
    assert re.search(rf'<svg [^>]*width="{points}pt"', (tmp_path / "f.svg").read_text())


@pytest.mark.parametrize("kind", ["svg", "pdf", "png"])
def test_each_format_is_itself_and_the_same_bytes_again(tmp_path: Path, kind: str) -> None:
    first, again = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    printed("improvement_ratio", first, "single")
    printed("improvement_ratio", again, "single")
    content = first.read_bytes()
    assert content == again.read_bytes()
    assert content.startswith({"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[kind])


def test_a_pdf_holds_its_fonts_as_journals_want_them(tmp_path: Path) -> None:
    printed("improvement_ratio", tmp_path / "f.pdf", "single")
    content = (tmp_path / "f.pdf").read_bytes()
    assert b"/Type3" not in content and b"/FontFile2" in content


@pytest.mark.parametrize("name", [*registry.working("figures"), "beside"])
@pytest.mark.parametrize("width", [3.25, 5.0, 6.75])
def test_nothing_is_cut_off_and_no_words_touch(name: str, width: float) -> None:
    canvas = canvas_of(name, width)
    assert canvas.get_figwidth() == width
    with style():
        renderer = FigureCanvasAgg(canvas).get_renderer()
        canvas.draw(renderer)
        words = [text for legend in canvas.legends for text in legend.get_texts()] + list(canvas.texts)
        for panel in canvas.axes:
            words += [panel.xaxis.label, panel.yaxis.label]
            words += [text for text in panel.get_children() if isinstance(text, Text)]
            ticks = [label.get_window_extent(renderer) for label in panel.get_xticklabels()]
            assert not touching(ticks)
        boxes = [text.get_window_extent(renderer) for text in words if text.get_text()]
        assert not touching(boxes)
        for box in boxes:
            assert box.x0 > -1 and box.y0 > -1
            assert box.x1 < canvas.bbox.x1 + 2 and box.y1 < canvas.bbox.y1 + 1


def test_titles_end_before_the_next_panel() -> None:
    canvas = canvas_of("pool_quality", 6.75)
    with style():
        renderer = FigureCanvasAgg(canvas).get_renderer()
        canvas.draw(renderer)
        for panel in canvas.axes:
            [title] = [
                each for each in panel.findobj(Text) if each.get_text() == panel.get_title("left") != ""
            ]
            assert title.get_window_extent(renderer).x1 <= panel.bbox.x1 + 2


def test_below_each_other_every_panel_says_what_it_shows() -> None:
    for name, labels in (
        ("improvement_ratio", {"Improvement ratio"}),
        ("residuals", {"Residual (percentage points)", "Residual (points)"}),
    ):
        assert {panel.get_ylabel() for panel in canvas_of(name, 3.25).axes} == labels


def test_a_figure_that_does_not_ask_for_its_width_has_the_one_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mousterian.reporting.style.width", lambda usual=7.4: usual)
    printed("residuals", tmp_path / "f.svg", "single")
    assert re.search(r'<svg [^>]*width="234pt"', (tmp_path / "f.svg").read_text())


def test_panels_that_would_be_too_narrow_go_below_each_other(tmp_path: Path) -> None:
    heights = {}
    for width in ("single", "double"):
        printed("accuracy_curves", tmp_path / f"{width}.png", width)
        with Image.open(tmp_path / f"{width}.png") as image:
            heights[width] = image.height / image.width
    assert heights["double"] < 0.6 < 1.5 < heights["single"]


def test_the_command_takes_the_figures_options_and_tells_caption_and_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "map.pdf"
    with pytest.raises(SystemExit) as ended:
        main(["figure", str(TABLE_3), "contour_map", "-o", str(path), "--option", "n_base=50000", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == str(path) and path.exists()
    assert "50,000 base images" in told["title"] and told["caption"].endswith(".")
    assert {row["n_base"] for row in told["data"]} == {50_000}


def test_several_arms_are_printed_beside_each_other_each_by_a_name_of_its_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arms = [ROOT / "fits" / f"mousterian-table-4-{name}.json" for name in ("sd2", "sd3")]
    path = tmp_path / "arms.pdf"
    asked_for = [str(arms[0]), "equivalence_curve", "--beside", str(arms[1]), "-o", str(path), "--json"]
    with pytest.raises(SystemExit) as ended:
        main(["figure", *asked_for])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert path.read_bytes().startswith(b"%PDF")
    names = [Fit.load(arm).name for arm in arms]
    assert {row["arm"] for row in found["data"]} == set(names)
    first = found["data"][0]
    asked = Fit.load(arms[0]).equivalence(n_base=first["n_base"], n_real_plus=first["n_real_plus"])
    assert first["n_syn_plus"] == pytest.approx(asked.n_syn_plus.estimate, rel=1e-6)


@pytest.mark.parametrize(
    "name",
    [name for name, plugin in sorted(registry.working("figures").items()) if "store" in plugin.options],
)
@pytest.mark.parametrize("width", ["single", "double"])
def test_figures_of_a_store_are_printed_from_it(
    name: str, width: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = ROOT / "fits" / "study-fashion"
    path = tmp_path / "figure.svg"
    made_of = [str(study / "fashion_mnist-edm-base-joint.json"), name, "--store", str(study / "rows")]
    with pytest.raises(SystemExit) as ended:
        main(["figure", *made_of, "-o", str(path), "--width", width, "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["data"]
    assert path.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["contour_map", "--store", "anything"], "takes nothing from a store"),
        (["device_time"], "needs the store's trials\n  name the store: --store FOLDER"),
        (["contour_mop"], "did you mean 'contour_map'?"),
        (["contour_map", "--out", "map.jpeg"], "unknown format 'jpeg'; known: pdf, png, svg"),
        (["contour_map", "--width", "duble"], "did you mean 'double'?"),
        (["contour_map", "--width", "90"], "90 inches is not between 2 and 20"),
        (["contour_map", "--option", "n_bas=5"], "did you mean 'n_base'?"),
        (["contour_map", "--beside", str(TABLE_3)], "the figure 'contour_map' shows one arm"),
        (["equivalence_curve", "--beside", "nowhere.json"], "nowhere.json"),
        (["equivalence_curve", "--beside", str(TABLE_3)], "two of the fits have one name"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["figure", str(TABLE_3), *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_figure_that_draws_nothing_here_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = registry.find("figures", "improvement_ratio")
    figure = plugin.load()(fit())
    monkeypatch.setattr("mousterian.reporting.figures.improvement_ratio.draw", lambda _, **__: figure)
    with pytest.raises(InputError, match="cannot be printed"):
        printed("improvement_ratio", tmp_path / "f.svg", "single")


@pytest.mark.parametrize(
    ("picture", "fit", "figure"),
    [
        ("study", "study-fashion/fashion_mnist-edm-upstream-joint", "accuracy_curves"),
        ("quickstart", "quickstart-external", "equivalence_curve"),
    ],
)
def test_the_pictures_of_the_documentation_are_drawn_from_the_committed_fits(
    tmp_path: Path, picture: str, fit: str, figure: str
) -> None:
    pinned = re.search(r"^matplotlib==(.*)$", (ROOT / ".ci" / "constraints.txt").read_text(), re.M)
    assert pinned
    if matplotlib.__version__ != pinned[1]:
        pytest.skip(f"another matplotlib than {pinned[1]} draws other lines of the same picture")
    made = tmp_path / "again.svg"
    with pytest.raises(SystemExit) as ended:
        main(["figure", str(ROOT / "fits" / f"{fit}.json"), figure, "-o", str(made)])
    assert ended.value.code == 0
    assert made.read_bytes() == (ROOT / "docs" / f"{picture}.svg").read_bytes()
