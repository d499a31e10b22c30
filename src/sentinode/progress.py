"""Progress bars on standard error."""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("sentinode")

Advance = Callable[..., None]


@contextmanager
def progress_bar(description: str, total: int, unit: str = "patches") -> Iterator[Advance]:
    """Show a progress bar with rate and time left while the block runs.

    Nothing is shown when standard error is not a terminal, or when the logger ``sentinode`` is set above WARNING.

    Parameters
    ----------
    description : str
        Text at the left of the bar, such as ``"decoding"``.
    total : int
        Number of units in all.
    unit : str, default="patches"
        Name of the unit, in the plural.

    Yields
    ------
    callable
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
    from rich.table import Column
    from rich.text import Text

    class Rate(TextColumn):
        def render(self, task):  # type: ignore[no-untyped-def]
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.0f} {unit}/s")

    class Note(TextColumn):
        def render(self, task):  # type: ignore[no-untyped-def]
            return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=10),
        MofNCompleteColumn(),
        Rate("", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        Note("", table_column=Column()),  # The only column that a narrow terminal cuts.
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, note="")

        def advance(count: int = 1, note: str | None = None) -> None:
            bar.update(task, advance=count, **({} if note is None else {"note": note}))  # type: ignore[arg-type]

        yield advance
