"""Progress of a running grid and of a pool: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status

from mousterian.answers.numbers import duration
from mousterian.cli.console import plural
from mousterian.executors.jobs import Job, PoolJob

# Between two lines where there is no terminal.
_SECONDS_OF_GRID = 10.0
_SECONDS_OF_POOL = 30.0


class GridProgress:
    """Counts trials done, running and failed, and estimates the remaining time.

    Args:
        total: trials to run.
        pools: pools to make first.
        console: where to print; lines rather than a bar if it is not a terminal.
        resume: the command that resumes the grid after an interruption.
    """

    def __init__(self, total: int, pools: int, console: Console, resume: str) -> None:
        self.done = self._pools_done = self._ended_before = 0
        self._failed: set[str] = set()
        self._total, self._pools = total, pools
        self._running: dict[str, Job] = {}
        self._started = self._last_line = time.monotonic()
        self._console, self._resume = console, resume
        self._errors: set[str] = set()
        self._postponed_pools: set[str] = set()
        bar = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bar = Progress(*bar, TimeElapsedColumn(), console=console)
        self._task = self._bar.add_task("trials", total=total, note="")
        self._live = Live(self._bar, console=console, refresh_per_second=4) if console.is_terminal else None

    def __enter__(self) -> GridProgress:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    @property
    def failures(self) -> int:
        """Trials that failed and have not succeeded since."""
        return len(self._failed)

    def started(self, job: Job) -> None:
        """A job has started."""
        self._running[job.key] = job
        if isinstance(job, PoolJob) and job.key not in self._postponed_pools:
            self._console.print(f"making pool: {job.label} ({job.count} images)", highlight=False)
        self._show()

    def finished(self, job: Job, seconds: float) -> None:
        """A job is done."""
        self._running.pop(job.key, None)
        if isinstance(job, PoolJob):
            self._pools_done += 1
            self._started, self._ended_before = time.monotonic(), self.done + self.failures
            self._console.print(f"pool ready:  {job.label} in {seconds:.0f} s", highlight=False)
        else:
            self.done += 1
            self._failed.discard(job.key)
        self._show()

    def postponed(self, job: Job) -> None:
        """A job will be started again; printed once for a pool that another grid is making."""
        self._running.pop(job.key, None)
        if isinstance(job, PoolJob) and job.key not in self._postponed_pools:
            self._postponed_pools.add(job.key)
            self._console.print(
                f"pool later: {job.label}; another grid is making it, or its worker died", highlight=False
            )
        self._show()

    def notice(self, text: str) -> None:
        """Print what the user should know."""
        self._console.print(text, style="yellow", markup=False, highlight=False)

    def failed(self, job: Job, error: str) -> None:
        """A job failed; the same error is printed in full only once."""
        self._running.pop(job.key, None)
        if not isinstance(job, PoolJob):
            self._failed.add(job.key)
        self._console.print(f"failed: {job.label}", style="red", markup=False, highlight=False)
        if error not in self._errors:
            self._errors.add(error)
            self._console.print("  " + error.replace("\n", "\n  "), markup=False, highlight=False)
        self._show()

    def stopping(self) -> None:
        """Print that the running trials are finishing."""
        self._console.print(
            f"stopping after {plural(len(self._running), 'running trial')} (Ctrl-C again stops now);"
            f" resume later with\n  {self._resume}",
            markup=False,
            highlight=False,
            soft_wrap=True,  # so that the command can be copied
        )

    def _note(self) -> str:
        parts = [f"{len(self._running)} running"]
        if self.failures:
            parts.append(f"{self.failures} failed")
        if self._pools_done < self._pools:
            parts.append(f"pools {self._pools_done}/{self._pools}")
        # Pools go first and take long, so the pace is that of the trials after the last pool.
        ended = self.done + self.failures - self._ended_before
        if self._pools_done >= self._pools and ended >= 4:
            pace = (time.monotonic() - self._started) / ended
            parts.append(f"about {duration(pace * (self._total - self.done - self.failures))} left")
        return ", ".join(parts)

    def _show(self) -> None:
        ended = self.done + self.failures
        if self._live:
            self._bar.update(self._task, completed=ended, note=self._note())
        elif ended == self._total or time.monotonic() - self._last_line > _SECONDS_OF_GRID:
            self._last_line = time.monotonic()
            self._console.print(f"{ended}/{self._total} trials, {self._note()}", highlight=False)


class PoolProgress:
    """Shows the progress of a pool: in one changing line on a terminal, elsewhere in occasional lines."""

    def __init__(self, label: str, out: Console, status: Status) -> None:
        self._label, self._out, self._status = label, out, status
        self._what, self._began, self._first = "", time.monotonic(), 0
        self._last_line = time.monotonic()

    def __call__(self, what: str, done: int, total: int, note: str) -> None:
        """Show that `done` of `total` are done."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._began, self._first = what, now, done
        text = f"{self._label}: {what} {done:,}/{total:,}" + (f", {note}" if note else "")
        if done > self._first and now - self._began > 1:
            left = (now - self._began) / (done - self._first) * (total - done)
            text += f", about {duration(left)} left"
        self._status.update(text)
        if not self._out.is_terminal and now - self._last_line > _SECONDS_OF_POOL:
            self._last_line = now
            self._out.print(text, highlight=False)
