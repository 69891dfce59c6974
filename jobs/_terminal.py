"""A job's output for a person at a terminal: its lines, and below them a bar of what is under way."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from heliostat.settings import Settings
from jobs import _reached
from jobs._job_output import INDENT, JobOutput
from jobs._reached import EVENTS_DIR, Reached

EPOCH_LINE = "  epoch "


class TerminalOutput(JobOutput):
    """The lines of a log as it comes, and a bar; what the bar says of epochs is not said twice.

    Called at least twice a second, with or without text.
    """

    def __init__(self, read: Callable[[], Reached | None], *, indent: str, file: TextIO) -> None:
        from rich.console import Console  # for people only: a job needs none of it
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        super().__init__(indent=indent)
        self._read = read
        self._bar = Progress(
            # The words are what a narrow terminal cuts.
            TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=11)),
            BarColumn(bar_width=10, table_column=Column(min_width=8)),
            MofNCompleteColumn(table_column=Column(no_wrap=True, min_width=9)),
            TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[words]}", table_column=Column(no_wrap=True)),
            console=Console(file=file, highlight=False),
            transient=True,
        )
        self._name: str | None = None

    def __call__(self, text: str) -> None:
        """Print the lines, and show how far it is."""
        for said in self.shown(text):
            if not said.startswith(EPOCH_LINE):
                self._bar.console.print(f"{self.indent}{said}", markup=False, soft_wrap=True)
        reached = self._read()
        if reached is None:
            self.close()
        else:
            self._show(reached)

    def _show(self, reached: Reached) -> None:
        if reached.name != self._name:
            self.close()
            self._name = reached.name
            self._bar.add_task(reached.name, total=reached.num_all, completed=reached.num_done, words=reached.words)
            self._bar.start()
            return
        (task,) = self._bar.task_ids
        self._bar.update(task, completed=reached.num_done, total=reached.num_all, words=reached.words)

    def refresh(self) -> None:
        """What is on the screen is what was told last; else it is within a tenth of a second."""
        self._bar.refresh()

    def close(self) -> None:
        """No bar stays."""
        self._name = None
        self._bar.stop()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)


@contextmanager
def output(settings: Settings, workload: str, *, indent: str = INDENT) -> Iterator[JobOutput]:
    """What shows a log: with a bar where standard output is a terminal, as plain lines elsewhere."""
    if not sys.stdout.isatty():
        yield JobOutput(indent=indent)
        return
    root, since_s = settings.runs_dir / EVENTS_DIR, time.time()
    shown = TerminalOutput(reader(root, workload, since_s=since_s), indent=indent, file=sys.stdout)
    try:
        yield shown
    finally:
        shown.close()


def reader(root: Path, workload: str, *, since_s: float) -> Callable[[], Reached | None]:
    """Asks how far the newest job of a workload is."""
    return lambda: _reached.newest(root, workload, since_s=since_s)
