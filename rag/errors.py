"""The one class of a user's mistakes in rag: shown as one line, never as a traceback."""

import click


class RagError(click.ClickException):
    """A mistake of the user: where it is, what was given, what is allowed, what to do; `exit_code` 1 unless told."""

    exit_code = 1

    def __init__(self, where: str, given: str, allowed: str = "", fix: str = "", exit_code: int = 1) -> None:
        parts = [f"`{where}`: {given}"]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if fix:
            parts.append(f"fix: {fix}")
        super().__init__(" ".join("; ".join(parts).split()))
        self.where, self.given, self.allowed, self.fix = where, given, allowed, fix
        # click declares it for the class; the four parts stay one class only if wrong usage sets its own here.
        self.exit_code = exit_code  # type: ignore[misc]
