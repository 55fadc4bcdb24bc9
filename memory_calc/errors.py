"""The one error of the user's that memory_calc raises, printed in one line by click."""

from __future__ import annotations

import click


class MemcalcError(click.ClickException):
    """A mistake of the user's: where it is, what was given, what is allowed, what to do.

    `exit_code` is 1 for data that cannot be read and 2 for wrong usage.
    """

    exit_code: int = 2  # type: ignore[misc]

    def __init__(self, where: str, given: str, allowed: str = "", fix: str = "", *, exit_code: int = 2) -> None:
        parts = [f"`{where}`: {given}"]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if fix:
            parts.append(f"fix: {fix}")
        super().__init__("; ".join(parts))
        self.exit_code = exit_code
