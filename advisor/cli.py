"""The command `advise`: options in, the story told, a report out. Heavy imports stay inside the bodies."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from advisor.prove_cli import prove

if TYPE_CHECKING:
    from advisor.overview import Case
    from advisor.plan import Plan
    from advisor.read import Log, Reading
    from advisor.records import Failure
    from advisor.tell import Tell

DEFAULT = "run"
TOLD = 5  # rejected rows that are told one by one


class FileFirst(click.Group):
    """A group whose first argument may be a file: then the whole story is told of it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "--version", "-h"):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


@click.group(
    cls=FileFirst,
    invoke_without_command=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="formfacts")
def advise() -> None:
    """From a log of LLM failures to a proven fix: finetuning is for form, RAG is for facts.

    \b
    advise FAILURES...            read, diagnose, replay, plan; then ask before anything is launched
    advise FAILURES --launch      run the plan and prove it on held-out cases
    advise run --help             all options of these two
    advise diagnose FAILURES      why each case failed, one line each
    advise explain FAILURES ID    all evidence on one case
    advise prove BEFORE AFTER     is the second of two logs better, and how sure is that?
    advise teach FAILURES...      let the router learn from your own reviews
    """


advise.add_command(prove)
files = click.argument("failures", nargs=-1, required=True, type=click.Path(path_type=Path))


cost_wrong = click.option(
    "--cost-wrong", default=2.0, show_default=True, type=click.FloatRange(0, min_open=True), help="Of a wrong verdict."
)
cost_review = click.option(
    "--cost-review", default=1.0, show_default=True, type=click.FloatRange(0), help="Of looking at an unsure case."
)
max_error = click.option(
    "--max-error",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Instead of costs: the share of wrong verdicts that may be.",
)
reviews_file = click.option("--reviews", type=click.Path(path_type=Path), help="JSON lines of id, verdict, by, when.")
judge_url = click.option("--judge", default="", help="URL of an endpoint whose second opinion may lower certainty.")
judge_model = click.option("--judge-model", default="", help="The model asked there.")
router_file = click.option("--router", "weights", default="", help="A weights file, or shipped.  [your own if taught]")


@advise.command(DEFAULT)
@files
@click.option("--docs", type=click.Path(path_type=Path), help="Documents that hold the facts: a folder or a file.")
@click.option("--base", default="embedded", show_default=True, help="What is trained: a folder, a hub id, or embedded.")
@click.option("--model", default="", help="What answers: a folder, a hub id, or an endpoint: URL#NAME.  [the base]")
@click.option("--gpu", default="auto", show_default=True, help="The card to size for: a name, 24gib, cpu, auto.")
@click.option("--run", type=click.Path(path_type=Path), help="The run folder.  [runs/NAME-HASH]")
@click.option("--launch", is_flag=True, help="Run the plan.")
@click.option("--yes", is_flag=True, help="Do not ask before the launch.")
@click.option("--cross", is_flag=True, help="Also try documents on the form failures and an adapter on the facts.")
@click.option("--phrasings", type=click.Path(path_type=Path), help="For --cross: JSON lines of id and prompt.")
@click.option("--style-guide", type=click.Path(path_type=Path), help="For --cross: documents that state the formats.")
@click.option("--beyond-prompt", is_flag=True, help="Train even where a prompt alone cures the format.")
@click.option("--replay-limit", default=300, show_default=True, type=click.IntRange(1), help="Failures asked again.")
@click.option("--seed", default=0, show_default=True, help="For the split, the samples and the training.")
@click.option("--samples", default=1, show_default=True, type=click.IntRange(1, 100), help="Answers to each case.")
@click.option("--parallel", default=4, show_default=True, type=click.IntRange(1, 256), help="Questions at a time.")
@click.option("--trust-remote-code", is_flag=True, help="Let the base run code of its own. Off for a reason.")
@cost_wrong
@cost_review
@max_error
@reviews_file
@router_file
@click.option("--json", "as_json", is_flag=True, help="The report as JSON on stdout.")
@click.pass_context
def run_story(
    ctx: click.Context,
    /,
    failures: tuple[Path, ...],
    launch: bool,
    yes: bool,
    cost_wrong: float,
    cost_review: float,
    max_error: float | None,
    weights: str,
    as_json: bool,
    **asked: Any,
) -> None:
    """Read FAILURES, say why each failed and what to buy for it, and with --launch do it and prove it."""
    from advisor.errors import WrongUsage

    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if launch and not (yes or terminal):
        raise WrongUsage("--launch", "no terminal to ask on", fix="add --yes")
    if yes and not launch:
        raise WrongUsage("--yes", "nothing to say yes to", fix="add --launch")
    if (asked["phrasings"] or asked["style_guide"]) and not asked["cross"]:
        raise WrongUsage("--phrasings, --style-guide", "only --cross reads them", fix="add --cross")
    _either_costs_or_error(ctx)
    _router(weights)  # one that cannot be is told before anything is read
    _offline_unless_hub(asked["base"], asked["model"])
    from advisor.advise import advise as tell_story
    from advisor.decide import Decision
    from advisor.run import Request
    from advisor.show import show_plan, show_result
    from advisor.tell import Tell

    tell = Tell()
    console = _console(as_json)

    def agreed(plan: Plan, log: Log, diagnoses: Any) -> bool:
        show_plan(console, plan, log, diagnoses)
        if not plan.experiments or not (launch or (terminal and not as_json)):
            return False
        return yes or click.confirm("Launch?", default=False)

    outcome = tell_story(
        Request(
            failures=failures,
            decision=Decision(cost_wrong, cost_review, max_error),
            router=weights,
            may_ask_models=launch or (terminal and not as_json),
            agreed=agreed,
            **asked,
        ),
        tell,
    )
    if as_json:
        click.echo(json.dumps(outcome.as_dict(), ensure_ascii=False))
    else:
        show_result(console, outcome)


@advise.command()
@files
@cost_wrong
@cost_review
@max_error
@reviews_file
@router_file
@judge_url
@judge_model
@click.option("--list", "as_list", is_flag=True, help="One line a failure, before the counts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a failure, as in diagnoses.jsonl.")
@click.pass_context
def diagnose(
    ctx: click.Context,
    failures: tuple[Path, ...],
    cost_wrong: float,
    cost_review: float,
    max_error: float | None,
    reviews: Path | None,
    weights: str,
    judge: str,
    judge_model: str,
    as_list: bool,
    as_json: bool,
) -> None:
    """Say why each case in FAILURES failed, from the log alone."""
    _either_costs_or_error(ctx)
    _offline_unless_hub("embedded", "")
    from advisor.decide import Decision, threshold_of, told
    from advisor.diagnose import as_row, default_embedder, stream
    from advisor.overview import Overview
    from advisor.read import Reading
    from advisor.show import show_line, show_overview
    from advisor.teach import Reviews
    from advisor.tell import Tell
    from advisor.wording import inert

    reading = Reading(failures)  # a file that cannot be read is told before anything heavy is loaded
    path, learned = _router(weights)
    decision = Decision(cost_wrong, cost_review, max_error)
    reviewed, overview, console = Reviews(reviews), Overview(), _console(False)
    embedder = default_embedder()
    seen, held = learned.calibration(bool(embedder))
    tell = Tell()
    with tell.bar("diagnose", lambda: reading.expected) as advance:
        asked = (reviewed.put(failure) for failure in _failing(reading, tell, every=as_json))
        found = stream(asked, embedder=embedder, progress=advance, learned=learned, decision=decision)
        for failure, diagnosis in _heard(found, judge, judge_model, threshold_of(decision, seen)):
            overview.add(failure, diagnosis)
            if as_json:
                click.echo(json.dumps(as_row(diagnosis), ensure_ascii=False))
            elif as_list:
                show_line(console, diagnosis)
    remarks = [told(decision, seen, held, *overview.judged)]
    remarks += [line] if (line := overview.agreement()) else []
    remarks += [f"router: {path}, taught on your reviews"] if path else []
    remarks += reviewed.notes()
    if as_json:
        for line in (*reading.notes, *remarks):
            click.echo(inert(line), err=True)
    else:
        show_overview(console, failures, reading, overview, remarks)


@advise.command()
@click.argument("failures", type=click.Path(path_type=Path))
@click.argument("id")
@cost_wrong
@cost_review
@max_error
@reviews_file
@router_file
@click.option("--json", "as_json", is_flag=True, help="The diagnosis as JSON.")
@click.pass_context
def explain(
    ctx: click.Context,
    failures: Path,
    id: str,
    cost_wrong: float,
    cost_review: float,
    max_error: float | None,
    reviews: Path | None,
    weights: str,
    as_json: bool,
) -> None:
    """Show all evidence on the case ID of FAILURES."""
    from advisor.errors import WrongUsage

    _either_costs_or_error(ctx)
    _offline_unless_hub("embedded", "")
    from advisor.decide import Decision
    from advisor.diagnose import as_row
    from advisor.diagnose import diagnose as diagnose_all
    from advisor.read import read
    from advisor.show import show_case
    from advisor.teach import with_reviews

    log = with_reviews(read([failures]), reviews)
    at = next((at for at, failure in enumerate(log.failures) if failure.id == id), None)
    if at is None:
        raise WrongUsage("ID", id, "the id of a failure in the log", f"advise diagnose {failures} --list")
    # With its neighbours, as `diagnose` sees it: twins with other references are evidence.
    failure, decision = log.failures[at], Decision(cost_wrong, cost_review, max_error)
    twins = [other for other in log.failures if other is not failure and other.prompt == failure.prompt]
    diagnosis = diagnose_all([failure, *twins], learned=_router(weights)[1], decision=decision)[0]
    if as_json:
        click.echo(json.dumps(as_row(diagnosis), ensure_ascii=False))
    else:
        show_case(_console(False), failure, diagnosis)


@advise.command()
@files
@reviews_file
@click.option("--out", type=click.Path(path_type=Path), help="The weights file.  [formfacts/router.npz of your data]")
def teach(failures: tuple[Path, ...], reviews: Path | None, out: Path | None) -> None:
    """Let the router learn from the reviewed cases in FAILURES; `advise diagnose` then uses what it learned."""
    _offline_unless_hub("embedded", "")
    from advisor import router
    from advisor.diagnose import encoder
    from advisor.read import read
    from advisor.teach import teach as learn
    from advisor.teach import with_reviews
    from advisor.wording import inert

    log = with_reviews(read(failures), reviews)
    for note in log.notes:
        click.echo(inert(note), err=True)
    lesson = learn(log.failures, _router("shipped")[1], encoder(None))
    path = out or router.own_weights()
    router.save(path, lesson.router)
    n = lesson.n
    click.echo(f"right on {lesson.before} of {n} reviewed rows before ({lesson.before / n:.0%}),")
    click.echo(f"on {lesson.after} after ({lesson.after / n:.0%}, cross-validated)")
    click.echo(f"wrote {path}")
    used = "advise diagnose uses it from now on" if out is None else f"use it: advise diagnose FAILURES --router {path}"
    click.echo(f"{used}; --router shipped goes back")


def _failing(reading: Reading, tell: Tell, every: bool) -> Iterator[Failure]:
    """The failures of a reading; rows that cannot be used are told on the way, all of them or the first few."""
    from advisor.read import Rejected

    for row in reading:
        if not isinstance(row, Rejected):
            if not row.passed:
                yield row
        elif every or reading.rejected <= TOLD:
            tell.say(f"rejected {row.file}:{row.line}: {row.reason}")
        elif reading.rejected == TOLD + 1:
            tell.say("more rows are rejected; --json tells each")


def _heard(found: Iterator[Case], judge: str, model: str, least: float) -> Iterator[Case]:
    """The cases as they are, or after the judge was heard."""
    if not judge:
        yield from found
        return
    from advisor.judge import ask, lowered

    for failure, diagnosis, opinion in ask(found, judge, model):
        yield failure, lowered(diagnosis, opinion, least)


def _either_costs_or_error(ctx: click.Context) -> None:
    from click.core import ParameterSource

    from advisor.errors import WrongUsage

    typed = {name for name in ctx.params if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE}
    for name in ("cost_wrong", "cost_review", "max_error"):
        if isinstance(value := ctx.params.get(name), float) and not math.isfinite(value):
            raise WrongUsage(f"--{name.replace('_', '-')}", str(value), "a finite number")
    if "max_error" in typed and typed & {"cost_wrong", "cost_review"}:
        raise WrongUsage("--max-error", "given together with costs", "one of the two", "leave one out")


def _router(named: str) -> tuple[str, Any]:
    """The path of the router unless it is the shipped one, and the router."""
    from advisor import router
    from advisor.errors import WrongUsage

    path = router.chosen(named)
    try:
        return ("" if path == router.WEIGHTS else str(path)), router.load(path)
    except ValueError as wrong:
        raise WrongUsage("--router", str(wrong), "a file that advise teach wrote, or shipped") from None


def _offline_unless_hub(base: str, model: str) -> None:
    """No hub is asked for what lies in packages and folders: without a network its retries would cost minutes."""
    local = all(not name or name == "embedded" or "://" in name or Path(name).exists() for name in (base, model))
    if local:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # What a library will rename one day is for its callers to read in the tests, not for a user.
    warnings.filterwarnings("ignore", category=FutureWarning)


def _console(quiet: bool) -> Any:
    from rich.console import Console

    return Console(quiet=quiet, highlight=False)


if __name__ == "__main__":
    advise()
