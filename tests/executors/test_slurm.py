"""Trials in Slurm jobs: as processes of this machine, and with fake Slurm commands."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from conftest import TINY_GRID
from running import Recorder, alive, holds_within, rows, settings_of, trials_of

from mousterian.errors import InputError
from mousterian.executors.backends import slurm
from mousterian.executors.backends._slurm_jobs import TimeBudget
from mousterian.executors.jobs import Job, TrialJob, jobs_of
from mousterian.store.rows import Store
from mousterian.store.schema import DONE
from mousterian.trials.rows import failed_row
from mousterian.trials.settings import Settings

installed = pytest.mark.skipif(find_spec("submitit") is None, reason="the package submitit is not installed")


class Note(TrialJob):
    """A trial without training: it notes its process in the store's folder, waits, writes its row."""

    def execute(self, settings: Settings, *, wait: bool = True) -> None:
        note = settings.store / f"{self.key}.{time.monotonic_ns()}"
        first = not list(settings.store.glob(f"{self.key}.*"))
        note.write_text(str(os.getpid()))
        if self.label == "always" or (self.label == "once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        store = Store(settings.store)
        if not store.holds(self.key):
            time.sleep(600 if self.label == "long" else 0.3)
            store.write([failed_row(self.trial, settings.grid, "") | {"status": DONE}])


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Seven jobs of real trials with 20 base images: a pool and six trials."""
    return jobs_of(trials_of(tmp_path, TINY_GRID.replace("[20, 40]", "20")), settings_of(tmp_path))


@pytest.fixture
def notes(jobs: list[Job], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Note]:
    """Six trials of no training; processes that run them can import this file."""
    here = Path(__file__).parent
    paths = [str(here), str(here.parent), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    (tmp_path / "store").mkdir()
    return [Note(job.trial, job.key, job.label) for job in jobs if isinstance(job, TrialJob)]


def test_an_array_takes_as_long_as_its_longest_batch(jobs: list[Job]) -> None:
    seconds = {job.key: 60.0 for job in jobs}
    budget = TimeBudget(seconds, minutes=0, safety=2.0, trials=0)
    assert budget.limit([jobs[1:2], jobs[1:4]]) == 5 + 2 * 3  # five to start; three trials of a minute, twice
    assert budget.batch_size(remaining=1000, concurrent=10) == 30  # half an hour
    assert budget.batch_size(remaining=40, concurrent=10) == 4  # keeps all jobs busy
    assert (
        TimeBudget({jobs[0].key: None}, 0, 2.0, 0).limit([jobs[:1]]) == 5 + 2 * 240
    )  # a pool that cannot be estimated
    assert TimeBudget(seconds, minutes=90, safety=2.0, trials=7).limit([jobs]) == 90


@installed
def test_real_trials_in_jobs_have_the_same_rows(jobs: list[Job], tmp_path: Path) -> None:
    listener, store = Recorder(), tmp_path / "store"
    slurm.run(jobs, settings_of(store), listener, cluster="local", workers=1, time=5, trials_per_job=10)
    assert len(listener.done) == len(jobs) == 7 and not listener.errors
    for job in jobs:
        job.execute(settings_of(tmp_path / "here"))
    pd.testing.assert_frame_equal(rows(store), rows(tmp_path / "here"), check_exact=True)
    assert not (store / "slurm").exists()  # submitit's own files of jobs that went well


@installed
def test_a_job_at_its_time_limit_is_requeued_and_continues(notes: list[Note], tmp_path: Path) -> None:
    store, listener = tmp_path / "store", Interrupting(tmp_path / "store")
    slurm.run(notes, settings_of(store), listener, cluster="local", workers=1, time=5, trials_per_job=10)
    assert set(listener.done) == {job.key for job in notes}
    assert not listener.lost  # the job was requeued, not lost
    runs = {path.read_text() for path in store.glob("*.[0-9]*")}
    assert len(runs) == 2 and listener.signalled in runs


class Interrupting(Recorder):
    """A listener that sends a running job Slurm's signal that its time is over."""

    def __init__(self, store: Path) -> None:
        super().__init__()
        self.store, self.signalled = store, ""

    def started(self, job: Job) -> None:
        super().started(job)
        if len(self.begun) == 6:
            threading.Thread(target=self._signal, daemon=True).start()

    def _signal(self) -> None:
        holds_within(60, lambda: len(list(self.store.glob("trials/*"))) >= 2)
        self.signalled = next(iter(self.store.glob("*.[0-9]*"))).read_text()
        os.kill(int(self.signalled), signal.SIGUSR2)


@installed
def test_what_a_lost_job_had_not_done_is_submitted_again(
    notes: list[Note], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How long submitit waits for a result that a network disk may delay.
    monkeypatch.setattr("submitit.core.core.Job._results_timeout_s", 0.2)
    first, once, always, *others = notes
    once = Note(once.trial, once.key, "once")
    always = Note(always.trial, always.key, "always")
    listener, store = Recorder(), tmp_path / "store"
    slurm.run(
        [first, once, always, *others], settings_of(store), listener,
        cluster="local", workers=1, time=5, trials_per_job=10, max_retries=1,
    )  # fmt: skip
    assert set(listener.done) == {first.key, once.key, *(job.key for job in others)}
    assert set(listener.errors) == {always.key} and "was lost" in listener.errors[always.key]
    assert sorted(Store(store).status().values()) == [*["done"] * 5, "failed"]
    assert len(list(store.glob(f"{first.key}.*"))) == 1  # what was done was not done again


# Slurm's commands as far as submitit uses them. The tasks of an array run one after another.
COMMANDS = {
    "sbatch": """#!/bin/bash
cp "$1" "$FAKE_SLURM/$(ls "$FAKE_SLURM" | wc -l).sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
cp "$1" "$FAKE_SLURM.script"
for task in $(seq 0 $last); do
  grep -q "17_$task" "$FAKE_SLURM.cancelled" 2> /dev/null && continue
  SLURM_JOB_ID=17 SLURM_ARRAY_JOB_ID=17 SLURM_ARRAY_TASK_ID=$task SLURM_PROCID=0 SLURM_LOCALID=0 \\
    SLURM_NTASKS=1 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_JOB_NODELIST=localhost \\
    bash "$FAKE_SLURM.script" > "$FAKE_SLURM.$task.log" 2>&1
done > /dev/null 2>&1 &
echo "Submitted batch job 17"
""",
    "srun": '#!/bin/bash\n[ "$1" = --unbuffered ] && shift 5\nexec "$@"\n',
    "sacct": """#!/bin/bash
echo "JobID|State|NodeList"
for i in 0 1 2; do
  [ -e "$FAKE_SLURM.$i.log" ] && echo "17_$i|RUNNING|x" || echo "17_$i|PENDING|x"
done
""",
    "scancel": '#!/bin/bash\necho "$@" >> "$FAKE_SLURM.cancelled"\n',
}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which a fake sbatch keeps every script that is submitted."""
    folder, commands = tmp_path / "submitted", tmp_path / "commands"
    folder.mkdir()
    commands.mkdir()
    for name, text in COMMANDS.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    yield folder


@installed
def test_options_become_directives_of_one_array(notes: list[Note], recorded: Path, tmp_path: Path) -> None:
    listener = Recorder()
    slurm.run(
        notes, settings_of(tmp_path / "store"), listener,
        workers=2, trials_per_job=2, time=90, partition="gpu", account="lab", cpus_per_task=4,
        gpus_per_task=1, memory_gb=16, directives=("qos=long", "--constraint=a100"), setup=("true",),
    )  # fmt: skip
    assert set(listener.done) == {job.key for job in notes}
    (script,) = recorded.iterdir()
    lines = script.read_text().splitlines()
    directives = dict(line.removeprefix("#SBATCH --").split("=", 1) for line in lines if "#SBATCH" in line)
    wanted = {
        "array": "0-2%2", "time": "90", "partition": "gpu", "account": "lab", "cpus-per-task": "4",
        "gpus-per-task": "1", "mem": "16GB", "qos": "long", "constraint": "a100",
        "job-name": "mousterian-tiny", "open-mode": "append",
    }  # fmt: skip
    assert wanted.items() <= directives.items()
    assert directives["signal"].startswith("USR2@")
    assert "export OMP_NUM_THREADS=1" in lines and "true" in lines


class Stopping(Recorder):
    """A listener that presses Ctrl-C several times once a store has a number of trials."""

    def __init__(self, store: Path, trials: int, times: int = 1) -> None:
        super().__init__()
        self.store, self.trials, self.times = store, trials, times

    def started(self, job: Job) -> None:
        super().started(job)
        if len(self.begun) == 1:
            threading.Thread(target=self._press, daemon=True).start()

    def _press(self) -> None:
        holds_within(120, lambda: len(list(self.store.glob("trials/*"))) >= self.trials)
        for _ in range(self.times):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)


@installed
def test_ctrl_c_cancels_what_waits_and_lets_running_jobs_finish(
    notes: list[Note], recorded: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    listener = Stopping(store, 1)
    with pytest.raises(KeyboardInterrupt):
        slurm.run(notes, settings_of(store), listener, workers=1, trials_per_job=2, time=9)
    assert listener.stopped
    option, *cancelled = recorded.with_name("submitted.cancelled").read_text().split()
    # By the time Slurm is asked, the second job may have started; then it finishes like the first.
    assert option == "--state=PENDING" and cancelled in (["17_1", "17_2"], ["17_2"])
    finished = notes[: 2 * (3 - len(cancelled))]
    assert set(listener.done) == {job.key for job in finished} == set(Store(store).status())


@installed
@pytest.mark.parametrize(("times", "kept"), [(1, 2), (2, 0)])
def test_ctrl_c_on_this_machine_lets_a_job_finish_and_a_second_ends_it(
    times: int, kept: int, notes: list[Note], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    listener = Stopping(store, 0, times)
    if times == 2:  # a trial that takes far longer than the test waits
        notes = [Note(job.trial, job.key, "long") for job in notes]
    with pytest.raises(KeyboardInterrupt):
        slurm.run(notes, settings_of(store), listener, cluster="local", workers=1, trials_per_job=2, time=9)
    assert len(listener.begun) == 2  # nothing was submitted after the first Ctrl-C
    assert len(Store(store).status()) == kept == len(listener.done)
    for mark in store.glob("*.[0-9]*"):
        process = int(mark.read_text())
        assert holds_within(5, lambda process=process: not alive(process))


@installed
def test_a_refusal_by_sbatch_is_reported(notes: list[Note], recorded: Path, tmp_path: Path) -> None:
    refusing = "#!/bin/bash\necho 'sbatch: error: invalid partition specified: gpq' >&2\nexit 1\n"
    (tmp_path / "commands" / "sbatch").write_text(refusing)
    with pytest.raises(InputError, match="invalid partition specified: gpq"):
        slurm.run(notes, settings_of(tmp_path / "store"), Recorder(), time=5, trials_per_job=2)


@installed
def test_without_slurm_the_alternative_is_named(notes: list[Note], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no Slurm here") as caught:
        slurm.run(notes, settings_of(tmp_path / "store"), Recorder(), time=5, trials_per_job=2)
    assert "cluster=local" in caught.value.hint


def test_a_missing_package_is_reported_with_the_extra_that_installs_it(
    notes: list[Note], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'mousterian\[slurm\]'"):
        slurm.run(notes, settings_of(tmp_path / "store"), Recorder(), time=5, trials_per_job=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"directives": ("qos",)}, "NAME=VALUE"),
        ({"safety": 0.5}, "safety must be 1"),
        ({"time": -1}, "not negative"),
    ],
)
def test_invalid_options_are_refused(options: dict[str, object], message: str, jobs: list[Job]) -> None:
    with pytest.raises(InputError, match=message):
        slurm.run(jobs, settings_of(Path("unused")), Recorder(), **options)  # type: ignore[arg-type]
