"""Telling the user what goes on, on stderr: one line a step, a bar with the time left where a step takes long."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Tell:
    """The narrator. Silent when `quiet`; without a terminal a bar becomes a line at every fifth of the way."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """One line; text from logs is never read as markup, nor reaches a terminal as an escape code."""
        from advisor.wording import inert

        self.console.print(inert(text), markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar over `total`; the function it gives is told how many more are done."""
        started = time.monotonic()
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self.console, transient=True) as progress:
                task = progress.add_task(label, total=total)
                yield lambda n: progress.advance(task, n)
        else:
            yield self._lines(label, total, started)
        self.say(f"  {label}: {total:,} in {spoken(time.monotonic() - started)}")

    def _lines(self, label: str, total: int, started: float) -> Callable[[int], None]:
        done, told = 0, 0

        def advance(n: int) -> None:
            nonlocal done, told
            done += n
            if done * 5 // total > told and done < total:
                told = done * 5 // total
                left = (time.monotonic() - started) / done * (total - done)
                self.say(f"  {label}: {done:,} of {total:,}, about {spoken(left)} left")
                sys.stderr.flush()

        return advance


def spoken(seconds: float) -> str:
    """Seconds as a person says them: 45 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
