"""Progress bars on stderr, on a terminal only."""

import contextlib
from collections.abc import Callable, Iterator

from rootlet.cli.output import err


@contextlib.contextmanager
def counted(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar of things done; yield the function that takes how many are done, and of how many."""
    if not err.is_terminal:
        yield lambda _done, _total: None
        return
    # Imported here: where no bar is shown, none is loaded.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # No refresh thread: what is done meanwhile may fork.
    with Progress(*columns, console=err, auto_refresh=False) as progress:
        bar = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total, refresh=True)


@contextlib.contextmanager
def transferred(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of bytes; yield the function that takes how many more were sent."""
    if not err.is_terminal:
        yield lambda _size: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        bar = progress.add_task(title, total=total)
        yield lambda size: progress.advance(bar, size)
