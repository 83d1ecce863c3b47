"""Progress bars on stderr, on a terminal only."""

import contextlib
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from rootlet.cli.output import err


@contextlib.contextmanager
def counted(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of things done; yield the function that takes how many are done, and of how many."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # No refresh thread: what is done meanwhile may fork.
    with Progress(*columns, console=err, auto_refresh=False, disable=not err.is_terminal) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total, refresh=True)


@contextlib.contextmanager
def transferred(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of bytes; yield the function that takes how many more were sent."""
    columns = (TextColumn("{task.description}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal, transient=True) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda size: progress.advance(bar, size)
