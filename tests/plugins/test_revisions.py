"""Options added later and revisions: what is another trial, and what stays the same one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from running import install, trials_of

from mousterian.errors import InputError
from mousterian.plugins import registry
from mousterian.plugins.choice import Choice
from mousterian.synthesis.pool_identity import PoolIdentity
from mousterian.synthesis.pools import Pool
from mousterian.trials.identity import Trial
from mousterian.trials.rows import identity_columns

MODEL = """
from torch import nn

def build(classes, shape, *, width: int = 4{more}):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(width), nn.Linear(width, classes))
"""
GENERATOR = """
import numpy as np

class Grey:
    def sample(self, labels, indices, seeds):
        return np.full((len(labels), 8, 8, 1), {shade}, dtype=np.uint8)

def load(context, *, shade: int = 9{more}):
    return Grey()
"""
GRID = """
dataset = "digits"
n_base = [20]
n_syn_plus = [20]
training_seeds = [0]
model = {{name = "mine"{given}}}
recipe = "small"
generator = "grey"
"""
ADDED = ", bias: bool = True"


def forget(*modules: str) -> None:
    for known in (registry.available, registry.find):
        known.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that writes anew the model `mine` and the generator `grey` of a third party."""
    site = tmp_path / "site"
    install(site, "my_models", "", "mine = my_models:build", "models")
    install(site, "my_pools", "", "grey = my_pools:load", "generators")
    monkeypatch.syspath_prepend(str(site))

    def again(head: str = "", more: str = "", pool_head: str = "", shade: int = 9) -> None:
        (site / "my_models.py").write_text(head + MODEL.format(more=more))
        (site / "my_pools.py").write_text(pool_head + GENERATOR.format(more="", shade=shade))
        forget("my_models", "my_pools")

    again()
    yield again
    forget("my_models", "my_pools")


def trials(folder: Path, given: str = "") -> list[Trial]:
    """The base-alone trial and that with synthetic images."""
    return trials_of(folder, GRID.format(given=given))


def test_an_option_added_later_at_its_default_is_no_part_of_the_trial(
    write: Callable[..., None], tmp_path: Path
) -> None:
    before = trials(tmp_path)
    write("ADDED_OPTIONS = ('bias',)", ADDED)
    for given in ("", ", bias = true"):
        after = trials(tmp_path, given)
        assert [each.key for each in after] == [each.key for each in before]
        assert identity_columns(after[0])["model_options"] == '{"width":4}'
    other = trials(tmp_path, ", bias = false")
    assert {each.key for each in other}.isdisjoint(each.key for each in before)
    assert identity_columns(other[0])["model_options"] == '{"bias":false,"width":4}'
    write("", ADDED)  # not named: every trial of the model is another
    assert {each.key for each in trials(tmp_path)}.isdisjoint(each.key for each in before)


@pytest.mark.parametrize(
    ("head", "more", "told"),
    [
        ("ADDED_OPTIONS = ('bais',)", ADDED, "ADDED_OPTIONS names 'bais'.*did you mean 'bias'"),
        ("ADDED_OPTIONS = ('bias',)", ", bias: bool", "which has no default"),
        ("ADDED_OPTIONS = ('bias')", ADDED, "ADDED_OPTIONS: 'bias' is not tuple"),
        (
            "ADDED_OPTIONS = ('bias',)\ndef check(shape, *, bias): pass",
            ADDED,
            "check takes 'bias' of ADDED_OPTIONS without a default",
        ),
        ("ADDED_OPTIONS = tuple(['bias'])", ADDED, "ADDED_OPTIONS must be a plain value"),
        ("from elsewhere import REVISION", "", "REVISION must be a plain value, written in this file"),
        ("REVISION = 0", "", "REVISION: 0 is not Positive"),
        ("REVISON = 2", "", "did you mean 'REVISION'"),
        ("REVISION, ADDED_OPTIONS = 2, ()", "", "must be a plain value"),
    ],
)
def test_a_constant_that_cannot_be_meant_lists_the_plug_in_as_broken(
    write: Callable[..., None], head: str, more: str, told: str
) -> None:
    write(head, more)
    with pytest.raises(InputError, match=told):
        registry.find("models", "mine")
    assert registry.available("models")["mine"].summary.startswith("broken")


def test_a_revision_is_another_trial_of_what_it_touches_alone(
    write: Callable[..., None], tmp_path: Path
) -> None:
    alone, synthetic = trials(tmp_path)
    write(head="REVISION = 1", pool_head="REVISION = 1")
    assert [each.key for each in trials(tmp_path)] == [alone.key, synthetic.key]
    write(pool_head="REVISION = 2")
    same, other = trials(tmp_path)
    assert same.key == alone.key and other.key != synthetic.key
    assert other.pool().describe()["revision"] == 2 and "revision" not in synthetic.pool().describe()
    written = [identity_columns(each)["code_revisions"] for each in (same, other)]
    assert written == ["1", "generator 2"]
    write(head="REVISION = 3", pool_head="REVISION = 2")
    written = [identity_columns(each)["code_revisions"] for each in trials(tmp_path)]
    assert written == ["model 3", "model 3, generator 2"]


def test_a_pool_is_extended_by_code_of_its_own_revision_only(
    write: Callable[..., None], tmp_path: Path
) -> None:
    def pool(identity: PoolIdentity) -> Pool:
        return Pool(tmp_path / "pools", identity, tuple("0123456789"))

    def shade(of: Pool, count: int) -> list[int]:
        of.ensure(count, (8, 8, 1), lambda: pytest.fail("read the real images"), "cpu")
        return np.unique(of.read(count).images).tolist()

    first = trials(tmp_path)[1].pool()
    assert first is not None and shade(pool(first), 20) == [9]
    size = pool(first).shard_size
    write(pool_head="REVISION = 2", shade=7)
    with pytest.raises(
        InputError, match=r"the code of generator 'grey' has changed since \(revision 1, now 2\)"
    ):
        shade(pool(first), size + 1)
    assert shade(pool(first), size) == [9]  # what is there can be read
    second = trials(tmp_path)[1].pool()
    assert second is not None and shade(pool(second), size + 1) == [7]
    read = PoolIdentity.at(pool(second).folder), PoolIdentity.at(pool(first).folder)
    assert [(each.revision, each.key) for each in read] == [(2, second.key), (1, first.key)]


def test_the_code_of_plug_ins_that_options_name_counts(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8), dtype=np.uint8))
    own = {"name": "npz", "path": str(tmp_path / "x.npz")}
    for name, options, revision in (
        ("knn", {"dataset": "digits"}, 1),
        ("knn", {"dataset": own}, 2),
        ("out_of_domain", {"dataset": own, "evaluation": {"name": "knn", "dataset": own}}, 3),
        ("unseen_classes", {"evaluation": {"name": "knn", "dataset": own}}, 2),
    ):
        plugin = registry.find("evaluations", name)
        assert Choice.of(plugin, plugin.resolve(options), tmp_path).revision == revision
    space = f'classifier:{{"name": "npz", "path": "{tmp_path / "x.npz"}"}}'
    for features, revision in (("pixels", 1), (space, 2)):
        plugin = registry.find("filters", "real_features")
        assert plugin.revision(plugin.resolve({"features": features})) == revision
