"""The one mistake of the user's that this package reports: something given cannot be trained, loaded or asked."""

import click


class FinetuneError(click.ClickException):
    """One line: where, what was given, what is allowed, what to do. Exit code 1 (2 where the usage is wrong)."""

    exit_code: int = 1  # type: ignore[misc]

    def __init__(self, where: str, given: str, allowed: str = "", fix: str = "", exit_code: int = 1) -> None:
        parts = [f"{where}: {given}"]
        if allowed:
            parts.append(f"allowed: {allowed}")
        if fix:
            parts.append(f"fix: {fix}")
        super().__init__("; ".join(parts))
        self.exit_code = exit_code
