"""What a person sees while something takes its time: a bar on a terminal, silence elsewhere."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("sentinode")

Advance = Callable[..., None]


@contextmanager
def progress_bar(what: str, total: int, unit: str = "patches") -> Iterator[Advance]:
    """Show a bar with rate and time left on the error stream while the block runs.

    Nothing is drawn when the error stream is not a terminal, or when the log is told to keep warnings to itself.

    Parameters
    ----------
    what
        A few words at the left of the bar, such as ``"decoding"``.
    total
        How many units there are in all.
    unit
        The unit's name in the plural.

    Yields
    ------
    Callable
        ``advance(n, note="")`` moves the bar by `n` units and replaces the note at its end.

    Examples
    --------
    >>> with progress_bar("decoding", total=2) as advance:
    ...     advance(1)
    ...     advance(1, note="done")
    """
    if not sys.stderr.isatty() or not log.isEnabledFor(logging.WARNING):
        yield lambda count=1, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task):  # type: ignore[no-untyped-def]
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {unit}/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(""),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, note="")

        def advance(count: int = 1, note: str | None = None) -> None:
            if note is None:
                bar.update(task, advance=count)
            else:
                bar.update(task, advance=count, note=note)

        yield advance
