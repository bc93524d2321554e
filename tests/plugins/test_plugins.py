from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import simulated
from conftest import ROOT
from examples import EXAMPLES, write_package

import mousterian
from mousterian.errors import InputError
from mousterian.fitting import surface
from mousterian.plugins import registry
from mousterian.plugins import source as plugin_source
from mousterian.plugins.contract import kinds
from mousterian.plugins.spec import Plugin
from mousterian.reporting.page_arms import in_order
from mousterian.training import feature_spaces


def forget() -> None:
    for known in (registry.available, registry.find, surface.load):
        known.cache_clear()


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The page's plug-ins, one of each kind, in a package outside the house known by entry points alone."""
    write_package(tmp_path / "site")
    points = [f"[mousterian.{kind}]\n{name} = my_package.{name}\n" for kind, (name, _) in EXAMPLES.items()]
    info = tmp_path / "site" / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    forget()
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
        del sys.modules[module]
    forget()


def test_one_file_of_each_kind_is_found_by_entry_point(third_party: Path) -> None:
    assert set(EXAMPLES) == set(kinds())
    for kind, (name, _) in EXAMPLES.items():
        found = registry.find(kind, name)
        assert (found.name, found.module) == (name, f"my_package.{name}")
        assert callable(found.load())


def test_a_grid_of_third_party_plug_ins_runs_from_file_to_row(third_party: Path) -> None:
    file = third_party / "own.toml"
    file.write_text(
        """
dataset = {name = "stripes", count = 40}
n_base = 10
r_syn = 1
model = "linear"
generator = {name = "noisy_mean", filter = "bright"}
strategy = "own_batch"
evaluation = ["accuracy", {name = "first_images", count = 8}]
recipe = {name = "small", iterations = 20}
training_seeds = 0
"""
    )
    from rich.console import Console

    from mousterian.cli.progress import GridProgress
    from mousterian.executors.run import run_trials
    from mousterian.store.rows import Store
    from mousterian.trials import checks, grid
    from mousterian.trials.settings import Settings

    trials, source = grid.read(file)
    checks.check_sizes(trials, source, third_party)
    settings = Settings(third_party / "store", third_party, "cpu", "own")
    listener = GridProgress(len(trials), 1, Console(quiet=True), "")
    run_trials(trials, settings, listener, executor="inline", workers=1)
    rows = Store(third_party / "store").read()
    assert rows["n_syn_plus"].tolist().count(10) == 2
    assert set(rows.loc[rows["evaluation"] == "first_images", "total"]) == {8}
    assert rows.loc[rows["evaluation"] == "accuracy", "top1"].min() > 0.9


def test_options_are_the_keyword_only_arguments(third_party: Path) -> None:
    linear = registry.find("models", "linear")
    assert linear.resolve({}) == {"bias": True}
    assert linear.resolve({"bias": False}) == {"bias": False}
    assert linear.summary == "One linear layer."
    with pytest.raises(InputError, match="has no option 'bais'; did you mean 'bias'"):
        linear.resolve({"bais": False})
    with pytest.raises(InputError, match="'wide' is not bool"):
        linear.resolve({"bias": "wide"})


@pytest.mark.parametrize("kind", kinds())
def test_every_plug_in_of_the_house_explains_itself(kind: str) -> None:
    for plugin in registry.available(kind).values():
        assert len(plugin.summary) > 20, plugin.name
        for option in plugin.options.values():
            assert option.annotation != "Any", (plugin.name, option.name)


def test_a_stamp_is_given_the_options_that_it_asks_for(tmp_path: Path) -> None:
    weights = tmp_path / "clip.pt"
    weights.write_bytes(b"weights")
    plugin = registry.find("filters", "clip_confidence")
    first = plugin.stamp(tmp_path, plugin.resolve({"model": "RN50", "weights": str(weights), "drop": 0.2}))
    assert first == plugin.stamp(tmp_path, plugin.resolve({"model": "RN50", "weights": str(weights)}))
    weights.write_bytes(b"other weights")
    assert plugin.stamp(tmp_path, plugin.resolve({"model": "RN50", "weights": str(weights)})) != first


def test_unknown_names_bring_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet110'"):
        registry.find("models", "resnet111")
    with pytest.raises(InputError, match="did you mean 'models'"):
        registry.available("modls")


def test_families_stand_for_all_their_members() -> None:
    assert registry.find("models", "resnet56").preset == {"name": "resnet56"}
    assert registry.find("models", "vit_tiny_patch16_224").module == "mousterian.training.models.timm"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def build(:\n", "'linear' does not parse"),
        ("def other(): pass\n", "has no function build"),
        ("def build(classes, shape, *, width=print): pass\n", "a default that is not a plain value"),
        (
            "def build(classes, shape, *, path='x'): pass\ndef stamp(data_dir, *, file): pass\n",
            "takes 'file', which is no option of it",
        ),
        ("\0", "linear"),
    ],
)
def test_a_broken_plug_in_is_listed_with_its_error_and_spoils_no_other(
    third_party: Path, text: str, told: str
) -> None:
    broken = third_party / "site" / "my_package" / "linear.py"
    broken.write_text(text)
    assert registry.find("models", "resnet110").name == "resnet110"
    assert "linear" not in registry.working("models")
    listed = registry.available("models")["linear"]
    assert told in listed.summary and str(broken) in listed.summary
    with pytest.raises(InputError, match=told):
        registry.find("models", "linear")


def test_a_third_partys_name_that_is_ours_is_left_out_and_said(
    third_party: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = third_party / "site" / "elsewhere-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text().replace("linear = ", "small_cnn = "))
    assert registry.find("models", "small_cnn").module == "mousterian.training.models.small_cnn"
    assert "'small_cnn' of elsewhere is left out" in caplog.text


def test_listing_does_not_import_torch() -> None:
    code = (
        "import sys\nfrom mousterian.plugins import registry\nfrom mousterian.plugins.contract import kinds\n"
        "[registry.available(kind) for kind in kinds()]\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_pages_prompts_measure_features_surface_and_figure_work(third_party: Path) -> None:
    assert registry.find("prompts", "drawings").load()(["cat"], 5, 0, style="ink") == [
        ["a ink drawing of a cat"]
    ]
    images = registry.find("datasets", "stripes").load()("test", third_party)
    assert feature_spaces.load("colour:median")(images.images).shape == (60, 1)
    assert registry.find("quality", "contrast").load()(images, images, images, None) == {"contrast": 1.0}
    fit = mousterian.fit(simulated.table(0.2), surface="logarithm", bootstrap=20)
    assert fit.surface == "logarithm"
    assert registry.find("figures", "sizes").load()(fit).svg.startswith("<?xml")


def place(plugin: Plugin) -> float:
    return float(plugin.constants.get("PLACE", math.inf))


def test_a_figure_stands_where_its_file_says_and_else_last_by_name(third_party: Path) -> None:
    found = registry.working("figures")
    placed = sorted(found.values(), key=place)
    assert len({place(each) for each in placed}) == len(placed)  # all of ours say where they stand
    assert [each.name for each in placed[:3]] == ["accuracy_curves", "contour_map", "sizes"]
    # Whatever order they are found in.
    unplaced = {name: replace(found["sizes"], name=name, constants={}) for name in ("second", "first")}
    names = [name for name, _ in in_order(dict(reversed(found.items())) | unplaced)]
    assert names == [*(each.name for each in placed), "first", "second"]


@pytest.mark.parametrize(
    ("line", "constants"),
    [
        ("PLACE = 2.5", {"PLACE": 2.5}),
        ("PLACE: float = -1", {"PLACE": -1.0}),
        ("PLACE = other.PLACE", {}),
        ("", {}),
    ],
)
def test_a_constant_is_read_without_importing(tmp_path: Path, line: str, constants: dict[str, float]) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import nothing_of_the_kind as other\n{line}\ndef draw(fit): ...\n")
    assert plugin_source.read("figures", "mine", "mine", file).constants == constants


@pytest.mark.parametrize(
    ("kind", "line", "told"),
    [
        ("models", "def stmap(data_dir): ...", "it has 'stmap'; did you mean 'stamp'?"),
        ("models", "chek = print", "it has 'chek'; did you mean 'check'?"),
        ("figures", "PLACES = 2", ""),
        ("figures", "Place = 2", "it has 'Place'; did you mean 'PLACE'?"),
        ("figures", "PLACE = 'first'", "PLACE: 'first' is not float"),
        ("generators", "PRETRIANED = True", "it has 'PRETRIANED'; did you mean 'PRETRAINED'?"),
        ("generators", "def checked(): ...", ""),
        ("generators", "def strength_for(shots): ...", ""),
        ("models", "from mousterian.data.content import content_stamp as stamp", ""),
        ("models", "try:\n    import fast\nexcept ImportError:\n    def stamp(data_dir): ...", ""),
    ],
)
def test_what_is_nearly_of_the_kind_is_refused_and_helpers_are_not(
    tmp_path: Path, kind: str, line: str, told: str
) -> None:
    file = tmp_path / "mine.py"
    entry = next(iter(kinds()[kind].entries))
    file.write_text(f"{line}\ndef {entry}(first, second): ...\n")
    if not told:
        assert ("stamp" in plugin_source.read(kind, "mine", "mine", file).parts) is ("stamp" in line)
        return
    with pytest.raises(InputError, match=re.escape(told)):
        plugin_source.read(kind, "mine", "mine", file)


def test_the_kinds_are_read_from_every_room_that_has_plug_ins() -> None:
    rooms = {path.parent.name for path in (ROOT / "mousterian").glob("*/kinds.py")}
    assert {kind.folder.parts[0] for kind in kinds().values()} == rooms - {"plugins"}
    assert all((ROOT / "mousterian" / kind.folder / "__init__.py").exists() for kind in kinds().values())
    assert kinds()["strategies"].singular == "strategy" and kinds()["models"].singular == "model"
    assert list(kinds()["evaluations"].entries) == ["evaluate", "evaluate_trial", "observe"]
    assert kinds()["surfaces"].forms[0].parts == {"accuracy", "starts", "BOUNDS", "LATEX"}
