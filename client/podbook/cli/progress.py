"""How a running execution is shown: a live line with a bar on a terminal, plain lines where the output is piped. Always on stderr."""

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from podbook.cli.failure import printable
from podbook.execution import Execution

__all__ = ["LiveView", "PlainView", "SilentView", "View", "describe"]


def describe(execution: Execution) -> str:
    """Where an execution is, in a few words. Pure."""
    progress = execution.progress
    if execution.finished:
        took = "" if execution.duration is None else f" after {execution.duration:.1f} s"
        return f"{execution.reason}{took}"
    if execution.phase == "Running" and progress is not None and progress.total:
        return f"{execution.reason}: cell {progress.completed} of {progress.total} done"
    return execution.reason


class View(Protocol):
    """Shows one execution while it goes on."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def show(self, execution: Execution) -> None:
        """Show its newest state."""
        ...


class SilentView:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def show(self, execution: Execution) -> None:
        """Nothing."""


class PlainView:
    """One line for each change, for logs and pipes."""

    def __init__(self, write: Callable[[str], None] = lambda line: click.echo(line, err=True)) -> None:
        self._write = write
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def show(self, execution: Execution) -> None:
        """A line, when it says something new."""
        line = printable(describe(execution))
        if line != self._last:
            self._write(line)
            self._last = line


class LiveView:
    """A bar over the code cells that moves while the notebook runs."""

    def __init__(self, console: Console | None = None) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[cells]}", markup=False),
            TimeElapsedColumn(),
            console=console or Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("Submitted", total=None, cells="")
        self._final: Execution | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._progress.stop()
        if self._final is not None:
            self._progress.console.print(Text(printable(describe(self._final)), style="green" if self._final.succeeded else "red"))

    def show(self, execution: Execution) -> None:
        """Move the bar."""
        progress = execution.progress
        known = progress is not None and progress.total > 0
        self._progress.update(
            self._task,
            description=printable(execution.reason),
            total=progress.total if progress is not None and known else None,
            completed=progress.completed if progress is not None else 0,
            cells=f"{progress.completed}/{progress.total} cells" if progress is not None and known else "",
        )
        if execution.finished:
            self._final = execution
