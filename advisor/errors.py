"""The user's mistakes, caught once, in the command; anything else is our bug and keeps its traceback.

AdvisorError            exit 1
├── UnreadableLog       exit 1   no file, no row, or no row that could be used
├── WrongUsage          exit 2   an option or argument that cannot be
└── AnswerIsNo          exit 3   all was read and understood, and the answer is no
"""

from __future__ import annotations

import click

from advisor.wording import one_line


class AdvisorError(click.ClickException):
    """A mistake in four parts: where it is, what was given, what is allowed, what to do."""

    exit_code = 1

    def __init__(self, where: str, given: str, allowed: str = "", fix: str = "") -> None:
        self.where, self.given, self.allowed, self.fix = where, given, allowed, fix
        message = f"`{where}`: {given}"
        message += f"; allowed: {allowed}" if allowed else ""
        message += f"; fix: {fix}" if fix else ""
        super().__init__(one_line(message))


class UnreadableLog(AdvisorError):
    """The log cannot be read, or holds nothing that can be diagnosed."""


class WrongUsage(AdvisorError):
    """An option or argument that cannot be."""

    exit_code = 2


class AnswerIsNo(AdvisorError):
    """The work was done and its answer is no: does not fit, worse, unproven where a gate was asked for."""

    exit_code = 3
