from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import TINY_GRID

from mousterian.errors import InputError, InputErrors
from mousterian.executors.jobs import jobs_of
from mousterian.seeds import seed_for
from mousterian.trials import checks, grid, grid_file, identity
from mousterian.trials.rows import identity_columns
from mousterian.trials.settings import Settings


def write(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


def trials(folder: Path, text: str) -> list[identity.Trial]:
    return grid.read(write(folder, text))[0]


def error_of(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        grid.read(write(folder, text))
    return str(caught.value)


def test_axes_are_base_alone_real_alone_and_synthetic_alone(tmp_path: Path) -> None:
    sizes = {(t.n_base, t.n_real_plus, t.n_syn_plus) for t in trials(tmp_path, TINY_GRID)}
    assert sizes == {(20, 0, 0), (20, 20, 0), (20, 0, 40), (40, 0, 0), (40, 40, 0), (40, 0, 80)}


def test_full_design_has_every_pair(tmp_path: Path) -> None:
    sizes = {
        (t.n_real_plus, t.n_syn_plus)
        for t in trials(tmp_path, 'design = "full"\n' + TINY_GRID)
        if t.n_base == 20
    }
    assert sizes == {(0, 0), (20, 0), (0, 40), (20, 40)}


def test_cells_may_be_given_one_by_one(tmp_path: Path) -> None:
    sizes = "n_base = [20, 40]\nr_real = [1]\nr_syn = [2]\n"
    cells = "[[cell]]\nn_base = 20\nn_syn_plus = 30\ntraining_seeds = [7]\n[[cell]]\nn_base = 40\n"
    text = TINY_GRID.replace(sizes, "").replace("[generator]", cells + "[generator]")
    found = [(t.n_base, t.n_real_plus, t.n_syn_plus, t.training_seed) for t in trials(tmp_path, text)]
    assert found == [(20, 0, 30, 7), (40, 0, 0, 0), (40, 0, 0, 1)]
    wrong = text.replace("n_syn_plus = 30", "n_sny_plus = 30")
    assert "n_sny_plus" in error_of(tmp_path, wrong)


def test_lists_multiply_also_inside_options(tmp_path: Path) -> None:
    text = TINY_GRID.replace("width = 4", "width = [4, 8]").replace(
        'name = "edm"', 'name = "edm"\ntrained_on = ["base", "upstream"]\nn_upstream = 100'
    )
    found = trials(tmp_path, text)
    widths = {t.model.options["width"] for t in found}
    sources = {t.generator.trained_on for t in found if t.generator}
    assert widths == {4, 8}
    assert sources == {"base", "upstream"}
    assert len(found) == 2 * 2 * 2 * (2 + 2)  # widths, bases, seeds, (base alone, real) + two arms


def test_values_of_a_recipe_of_list_type_stay_whole(tmp_path: Path) -> None:
    lists = "milestones = [0.3, 0.6], iterations_by_size = [[0, 5], [60, 9]], learning_rate = [0.1, 0.01]"
    text = f'dataset = "digits"\nn_base = 20\nmodel = "small_cnn"\nrecipe = {{name = "small", {lists}}}\n'
    recipes = {each.recipe_text: each.recipe for each in trials(tmp_path, text)}
    assert len(recipes) == 2
    assert all(each["iterations_by_size"] == [[0, 5], [60, 9]] for each in recipes.values())


def test_trials_without_synthetic_images_are_shared_by_all_generators(tmp_path: Path) -> None:
    other = TINY_GRID.replace('"edm"', '"ddpm"')
    keys = [{t.key for t in trials(tmp_path, text) if not t.n_syn_plus} for text in (TINY_GRID, other)]
    assert keys[0] == keys[1] != set()


def test_a_default_written_out_is_the_same_trial(tmp_path: Path) -> None:
    spelled = TINY_GRID.replace("steps = 2\nsampling", "steps = 2\nflip = false\nsampling")
    assert [t.key for t in trials(tmp_path, TINY_GRID)] == [t.key for t in trials(tmp_path, spelled)]


def test_keys_do_not_change_between_versions_by_accident(tmp_path: Path) -> None:
    # A change here makes every stored trial run again: raise TRIAL_VERSION on purpose, or fix the change.
    assert trials(tmp_path, TINY_GRID)[0].key == "382bd6d2afa49e99"


def test_cells_are_trials_but_for_their_seeds(tmp_path: Path) -> None:
    found = trials(tmp_path, TINY_GRID)
    columns = [identity_columns(t) for t in found]
    assert len({c["trial"] for c in columns}) == 12
    assert len({c["cell"] for c in columns}) == 6


def test_an_internal_generator_has_a_pool_for_each_base_an_external_one_for_all(tmp_path: Path) -> None:
    external = TINY_GRID.replace('"edm"', '"edm"\ntrained_on = "upstream"\nn_upstream = 100')
    internal_pools, external_pools = (
        {t.pool().key for t in trials(tmp_path, text) if t.pool()} for text in (TINY_GRID, external)
    )
    assert (len(internal_pools), len(external_pools)) == (2, 1)


def test_all_errors_are_reported_at_once_with_file_and_line(tmp_path: Path) -> None:
    text = """
dataset = "digit"
n_bsae = [20]
n_base = [-5]
r_syn = [1]
model = {name = "small_cnn", widht = 4}
recipe = {name = "small", iterations = 4}
"""
    message = error_of(tmp_path, text)
    assert "grid.toml:3: unknown key 'n_bsae'; did you mean 'n_base'?" in message
    assert "grid.toml:4: n_base" in message
    message = error_of(
        tmp_path,
        text.replace("n_bsae = [20]\n", "")
        .replace("-5", "20")
        .replace("r_syn = [1]", 'r_syn = [1]\ngenerator = "edn"'),
    )
    assert "grid.toml:2: unknown dataset 'digit'; did you mean 'digits'?" in message
    assert "grid.toml:6: model 'small_cnn' has no option 'widht'; did you mean 'width'?" in message
    assert "unknown generator 'edn'; did you mean 'edm'?" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("iterations = 4", 'iterations = "four"'), "recipe 'small': iterations"),
        (("iterations = 4", "iteration = 4"), "did you mean 'iterations'?"),
        (("iterations = 4", "iterations = 4, epochs = 2"), "exactly one of epochs and iterations"),
        (('"small"', '"smal"'), "did you mean 'small'?"),
        (("width = 4", 'width = "wide"'), "option 'width': 'wide' is not int"),
        (("r_syn = [2]", ""), "a generator is given, but no synthetic images"),
        (("r_syn = [2]", "r_syn = [2]\nn_syn_plus = [3]"), "not both"),
        (("r_real = [1]", "r_real = [-1]"), "greater than or equal to 0"),
        (('"edm"', '"edm"\ntrained_on = "upstrem"'), "did you mean 'upstream'?"),
        (('"edm"', '"edm"\ntrained_on = "upstream"'), "needs n_upstream"),
        (('dataset = "digits"', ""), "the key 'dataset' is missing"),
        (("n_base = [20, 40]", "n_base = []"), "either n_base with its additions"),
        (("[generator]", "[[cell]]\nn_base = 20\n[generator]"), "either n_base with its additions"),
        (("n_base = [20, 40]", "n_base = [20, 40"), "not TOML"),
        (('dataset = "digits"', 'dataset = "digits"\nstratgey = "joint"'), "did you mean 'strategy'?"),
        (('dataset = "digits"', 'dataset = "digits"\nstrategy = 5'), ":3: strategy"),
        (("r_real = [1]", "r_real = [inf]"), "finite"),
        (("r_real = [1]", "r_real = [0.01]"), "adds no image to a base of 20"),
        (("r_real = [1]", "generator_seeds = []"), "the list is empty"),
        (("width = 4", "width = []"), "option 'width' is empty"),
        (("[0, 1]", "[36893488147419103232]"), "training_seeds"),
    ],
)
def test_bad_values_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    text = TINY_GRID.replace(*change)
    assert text != TINY_GRID
    assert message in error_of(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("n_base = [20, 40]", "n_base = [20, 5000]"), "too large for these class proportions"),
        (("n_base = [20, 40]", "n_base = [5]"), "less than one image for each of 10 classes"),
        (('"edm"', '"edm"\ntrained_on = "upstream"\nn_upstream = 1190'), "shares"),
    ],
)
def test_impossible_sizes_are_refused_before_anything_trains(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    found, source = grid.read(write(tmp_path, TINY_GRID.replace(*change)))
    with pytest.raises(InputErrors, match=message) as caught:
        checks.check_sizes(found, source, None)
    assert "grid.toml:" in str(caught.value)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the grid file"):
        grid_file.read(tmp_path / "none.toml")


def test_only_selects_by_column_and_names_the_nearest(tmp_path: Path) -> None:
    found = trials(tmp_path, TINY_GRID)
    assert {t.n_base for t in grid.select(found, ["n_base=40"])} == {40}
    assert {t.n_syn_plus for t in grid.select(found, ["r_syn=2"])} == {40, 80}
    with pytest.raises(InputError, match="did you mean 'n_base'"):
        grid.select(found, ["nbase=40"])


def test_seeds_replace_the_training_seeds(tmp_path: Path) -> None:
    found, _ = grid.read(write(tmp_path, TINY_GRID), seeds=5)
    assert {t.training_seed for t in found} == {0, 1, 2, 3, 4}


def test_jobs_put_pools_first_with_the_largest_count(tmp_path: Path) -> None:
    found = trials(tmp_path, TINY_GRID.replace("r_syn = [2]", "r_syn = [1, 2]"))
    settings = Settings(tmp_path, None, "cpu", "")
    listed = jobs_of(found, settings)
    assert [getattr(job, "count", 0) for job in listed[:2]] == [40, 80]
    assert all(bool(job.needs) == (job.trial.n_syn_plus > 0) for job in listed[2:])


def test_seeds_follow_from_names_not_from_order() -> None:
    assert seed_for("order", 0) == seed_for("order", 0)
    assert len({seed_for("order", 0), seed_for("order", 1), seed_for("initialisation", 0)}) == 3
    assert json.loads(json.dumps(seed_for("order", 0))) < 2**63


def test_other_files_under_the_same_path_are_another_dataset(tmp_path: Path) -> None:
    import numpy as np

    keys = []
    text = TINY_GRID.partition("[generator]")[0].replace("r_syn = [2]", "")
    for value in (0, 1):
        np.savez(
            tmp_path / "own.npz",
            train_images=np.full((4, 8, 8, 1), value, np.uint8),
            train_labels=np.arange(4),
        )
        own = f'{{name = "npz", path = "{tmp_path / "own.npz"}"}}'
        keys.append({t.key for t in trials(tmp_path, text.replace('"digits"', own))})
    assert not keys[0] & keys[1]
