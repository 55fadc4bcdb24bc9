"""The command `advise prove`: two files in, a verdict out, for people and for a CI server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from advisor.comparison import Comparison


@click.command()
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@click.option(
    "--grader",
    "graders",
    multiple=True,
    metavar="TYPE[=VALUE]",
    help="Grade both logs by it; of several all must pass.",
)
@click.option(
    "--checks", type=click.Path(path_type=Path), help="Your check_... functions: a Python file, which is run."
)
@click.option("--judge", default="", help="URL of an endpoint that grades both logs.")
@click.option("--judge-model", default="", help="The model asked there.")
@click.option("--labels", type=click.Path(path_type=Path), help="People's grades, which measure the judge's error.")
@click.option("--arms", nargs=2, metavar="BEFORE AFTER", help="Which arms, where files of scores hold several.")
@click.option("--cluster", default="", metavar="FIELD", help="Cases that stand or fall together; none.  [near copies]")
@click.option("--margin", default=5.0, show_default=True, type=click.FloatRange(0, 100, min_open=True, max_open=True),
              help="Points that guard cases may lose.")  # fmt: skip
@click.option("--replayed", is_flag=True, help="BEFORE is a replay of the untouched model, not the log that was cut.")
@click.option("--pass-at", type=float, help="From where on the logs' own scores pass, where they are not 0 and 1.")
@click.option("--json", "as_json", is_flag=True, help="All findings as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="A comment for a pull request.")
@click.option("--junit", "as_junit", is_flag=True, help="JUnit XML: the verdict as a test, and one a case.")
@click.option("--fail-on", type=click.Choice(["worse", "unproven"]), help="Exit code 3: on harm, or unless improved.")
def prove(
    before: Path,
    after: Path,
    graders: tuple[str, ...],
    checks: Path | None,
    judge: str,
    judge_model: str,
    labels: Path | None,
    arms: tuple[str, str] | None,
    cluster: str,
    margin: float,
    replayed: bool,
    pass_at: float | None,
    as_json: bool,
    as_markdown: bool,
    as_junit: bool,
    fail_on: str | None,
) -> None:
    """Whether AFTER is better than BEFORE on the same cases, and how sure that is.

    Two logs of any format that is read, joined on id and graded by their own scores or by --grader; or two files of
    scores (runs/NAME/scores.jsonl). A log of failures alone was chosen because they failed: replay the untouched model
    on them first.
    """
    from advisor.comparison import compared
    from advisor.errors import WrongUsage
    from advisor.grading import grader, judging, measured
    from advisor.versus import versus

    if as_json + as_markdown + as_junit > 1:
        raise WrongUsage("--json, --markdown, --junit", "given together", "one of them", "run it once for each")
    if judge and (graders or checks):
        raise WrongUsage("--judge", "given together with other graders", "one of the two", "leave one out")
    if labels and not judge:
        raise WrongUsage("--labels", "nothing to measure", fix="add --judge URL")
    grade = judging(judge, judge_model) if judge else grader(graders, checks) if graders or checks else None
    joined = versus(before, after, grader=grade, arms=arms or None, cluster=cluster, pass_at=pass_at)
    error = measured(joined, labels) if labels else None
    found = compared(str(before), str(after), joined, margin=margin / 100, replayed=replayed, judge=error)
    if as_json:
        click.echo(json.dumps(found.as_dict(), ensure_ascii=False))
    elif as_markdown:
        click.echo(found.markdown(), nl=False)
    elif as_junit:
        click.echo(found.junit(fail_on or "worse"), nl=False)
    else:
        _show(found)
    if fail_on and found.stops(fail_on):
        click.get_current_context().exit(3)


def _show(found: Comparison) -> None:
    from rich.console import Console

    from advisor.show import show_comparison

    show_comparison(Console(highlight=False), found)
