"""A user's mistake in what eval was given: where, what was given, what is allowed, what to do."""

from __future__ import annotations

import click


class EvalError(click.ClickException):
    """One line for the user; click prints it and exits with 1."""

    exit_code = 1

    def __init__(self, where: str, given: str, allowed: str = "", fix: str = "") -> None:
        parts = [f"`{where}`: {given}"]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if fix:
            parts.append(f"fix: {fix}")
        super().__init__("; ".join(parts))
