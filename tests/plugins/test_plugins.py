from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mousterian.errors import InputError
from mousterian.plugins import registry, spec
from mousterian.plugins import source as plugin_source
from mousterian.reporting.page_arms import in_order

# What docs/howto/own-plugin.md tells, one file of each kind that a grid or a fit can name.
FILES = {
    "datasets": (
        "stripes",
        """
import numpy as np
from mousterian.data.image_set import ImageSet
def load(split, data_dir, *, count: int = 60):
    labels = np.arange(count) % 2
    images = np.zeros((count, 8, 8, 1), dtype=np.uint8)
    images[labels == 1, ::2] = 255
    return ImageSet(images, labels, ("flat", "striped"))
""",
    ),
    "models": (
        "linear",
        """
from torch import nn
def build(classes, shape, *, bias: bool = True):
    '''One linear layer.'''
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes, bias=bias))
""",
    ),
    "generators": (
        "copier",
        """
class Copier:
    def __init__(self, real): self.real = real
    def sample(self, labels, indices, seeds):
        import numpy as np
        return np.stack([self.real.images[self.real.labels == label][0] for label in labels])
def fit(real, context): return Copier(real)
""",
    ),
    "strategies": (
        "once",
        """
from mousterian.training.strategies.joint import train as joint
def train(model, task, *, note: str = ""): return joint(model, task)
""",
    ),
    "evaluations": (
        "constant",
        """
def evaluate(model, images, device, *, value: float = 0.25):
    return {"top1": value, "correct": round(value * len(images)), "total": len(images)}
""",
    ),
    "executors": (
        "inline",
        """
def run(jobs, settings, listener, *, workers: int = 0):
    for job in jobs:
        listener.started(job); job.execute(settings); listener.finished(job, 0.0)
""",
    ),
    "surfaces": (
        "flat",
        "def accuracy(n_base, n_real_plus, n_syn_plus, *, level: float = 0.5): return level + 0 * n_base\n",
    ),
    "figures": ("nothing", "def draw(fit, *, width: float = 3.0): return None\n"),
    "prompts": (
        "shout",
        "def write(class_names, *, loud: bool = True): return [name.upper() for name in class_names]\n",
    ),
    "filters": ("all", "def score(pool, *, threshold: float = 0.0): return [1.0] * len(pool)\n"),
    "quality": ("size", "def measure(pool, real, test, context): return {'images': len(pool)}\n"),
    "features": (
        "grey",
        "def load(device, data_dir, *, bins: int = 8): return lambda images: Output(images.mean((1, 2)))\n",
    ),
}


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package outside the house with one plug-in of each kind, known by entry points alone."""
    package = tmp_path / "site" / "elsewhere"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    points = []
    for kind, (name, text) in FILES.items():
        (package / f"my_{name}.py").write_text(text)
        points.append(f"[mousterian.{kind}]\n{name} = elsewhere.my_{name}\n")
    info = tmp_path / "site" / "elsewhere-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    registry.available.cache_clear()
    registry.find.cache_clear()
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "elsewhere"]:
        del sys.modules[module]
    registry.available.cache_clear()
    registry.find.cache_clear()


def test_one_file_of_each_kind_is_found_by_entry_point(third_party: Path) -> None:
    assert set(FILES) == set(spec.KINDS)
    for kind, (name, _) in FILES.items():
        found = registry.find(kind, name)
        assert (found.name, found.module) == (name, f"elsewhere.my_{name}")
        assert callable(found.load())


def test_a_grid_of_third_party_plug_ins_runs_from_file_to_row(third_party: Path) -> None:
    file = third_party / "own.toml"
    file.write_text(
        """
dataset = {name = "stripes", count = 40}
n_base = 10
r_syn = 1
model = "linear"
generator = "copier"
strategy = "once"
evaluation = ["accuracy", "constant"]
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
    assert set(rows.loc[rows["evaluation"] == "constant", "top1"]) == {0.25}
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


@pytest.mark.parametrize("kind", [kind for kind in spec.KINDS if registry._folder(kind).exists()])
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
            "asks for 'file', no option of it",
        ),
        ("\0", "linear"),
    ],
)
def test_a_broken_plug_in_is_listed_with_its_error_and_spoils_no_other(
    third_party: Path, text: str, told: str
) -> None:
    broken = third_party / "site" / "elsewhere" / "my_linear.py"
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
        "import sys\nfrom mousterian.plugins import registry, spec\n"
        "[registry.available(kind) for kind in spec.KINDS]\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_figure_stands_where_its_file_says_and_else_last_by_name(third_party: Path) -> None:
    found = registry.working("figures")
    placed = sorted((each for each in found.values() if each.name != "nothing"), key=lambda each: each.place)
    assert len({each.place for each in placed}) == len(placed)  # all of ours say where they stand
    assert [each.name for each in placed[:2]] == ["accuracy_curves", "contour_map"]
    # Whatever order they are found in.
    given = dict(reversed(found.items())) | {"another": replace(found["nothing"], name="another")}
    names = [name for name, _ in in_order(given)]
    assert names == [*(each.name for each in placed), "another", "nothing"]


@pytest.mark.parametrize(
    ("line", "place"), [("PLACE = 2.5", 2.5), ("PLACE = 'first'", math.inf), ("", math.inf)]
)
def test_a_place_is_read_without_importing(tmp_path: Path, line: str, place: float) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import nothing_of_the_kind\n{line}\ndef draw(fit): ...\n")
    read = plugin_source.read("figures", "mine", "mine", file)
    assert read is not None and read.place == place
