"""What a user sees in the terminal: the plan, the results, the diagnoses, one case. Text of logs is never markup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advisor.redact import redact
from advisor.wording import (
    CALLS_FOR,
    gib_span,
    inert,
    one_line,
    p_value,
    percent,
    percent_span,
    perplexity,
    points,
    points_span,
    seconds_span,
    share,
)

if TYPE_CHECKING:
    from advisor.experiments import Experiment
    from advisor.plan import Plan
    from advisor.read import Log
    from advisor.records import Diagnosis, Failure
    from advisor.report import Outcome

COLOURS = {"improved": "bold green", "worse": "bold red", "mixed": "bold yellow", "unproven": "bold"}
NOTES, QUOTED, WIDEST = 5, 160, 100


def show_plan(console: Console, plan: Plan, log: Log, diagnoses: Sequence[Diagnosis]) -> None:
    """What was read, why the cases failed, what is planned for them, and what is left to the user."""
    _say(console, _counted(log))
    for note in log.notes[:NOTES]:
        _say(console, _clean(note), style="dim", indent=2, hang=2)
    _verdicts(console, diagnoses)
    if plan.replayed is not None:
        asked, failed = plan.replayed["asked"], plan.replayed["failed"]
        rest = f"; {asked - failed} pass now and are not planned for" if asked > failed else ""
        _say(console, f"Asked again, {failed} of {asked} still fail{rest}.")
    elif plan.experiments:
        _say(console, "No model was asked again: the plan takes the log at its word.")
    if plan.experiments:
        _experiments(console, plan.experiments)
    elif not log.failures:
        _say(console, "No failures in this log: nothing to fix.", style="bold")
    else:
        _say(console, "No experiment follows from this log.", style="bold")
    if plan.advice:
        console.print()
        _say(console, "Left to you:", style="bold")
        for line in plan.advice:
            _say(console, f"- {_clean(line)}", indent=2, hang=2)
    console.print()


def show_result(console: Console, outcome: Outcome) -> None:
    """What each experiment brought and what it cost, a sentence for each, and where the report lies."""
    if outcome.proofs:
        _results(console, outcome.proofs)
        for name, proof in outcome.proofs.items():
            told = Text(f"{name}: ", style="bold").append(inert(proof["sentence"]), style="not bold")
            console.print(told, width=_width(console))
            if loss := proof.get("text_loss"):
                before, after = perplexity(loss["before"]), perplexity(loss["after"])
                _say(console, f"Perplexity on general prose: {before} before, {after} after.", indent=2)
            console.print()
    else:
        _say(console, "Nothing was run.")
    console.print(Text(f"report: {inert(str(outcome.html))}"), soft_wrap=True)


def show_diagnoses(console: Console, log: Log, diagnoses: Sequence[Diagnosis], remarks: Sequence[str] = ()) -> None:
    """One line a failure: its id, the verdict, how sure, and the leading sentence of evidence; counts; remarks."""
    table = _table("id", "verdict", ">sure", "evidence")
    rows = []
    for diagnosis in diagnoses:
        likely = max(diagnosis.probabilities.values(), default=0.0)
        says = diagnosis.evidence[0].says if diagnosis.evidence else "none beyond how often each cause occurs"
        rows.append((_clean(diagnosis.id, 24), diagnosis.verdict, percent(likely), _clean(says, QUOTED)))
    fixed = [max(map(cell_len, column)) for column in list(zip(("id", "verdict", "sure", ""), *rows, strict=True))[:3]]
    for row in rows:  # one line a failure: only the evidence is cut
        told = Text(row[3])
        told.truncate(max(20, _width(console) - sum(fixed) - 6), overflow="ellipsis")
        table.add_row(*map(Text, row[:3]), told)
    console.print(table, width=_width(console))
    _say(console, _counted(log))
    for note in log.notes[:NOTES]:
        _say(console, _clean(note), style="dim", indent=2, hang=2)
    for bad in log.rejected[:NOTES]:
        _say(console, f"rejected {bad.file}:{bad.line}: {_clean(bad.reason)}", style="dim", indent=2, hang=2)
    if len(log.rejected) > NOTES:
        _say(console, f"and {len(log.rejected) - NOTES:,} more rejected rows", style="dim", indent=2)
    _verdicts(console, diagnoses)
    for remark in remarks:
        _say(console, f"- {remark}", hang=2)


def show_case(console: Console, failure: Failure, diagnosis: Diagnosis) -> None:
    """All that is known of one case: its verdict and probabilities, the evidence in full, the texts."""
    place = f" ({failure.file}:{failure.line})" if failure.file else ""
    _say(console, f"{failure.id}{place}: {diagnosis.verdict}", style="bold")
    likely = sorted(diagnosis.probabilities.items(), key=lambda pair: -pair[1])
    _say(console, ", ".join(f"{cause} {percent(p)}" for cause, p in likely if p >= 0.005), indent=2)
    _say(console, f"calls for: {CALLS_FOR[diagnosis.verdict]}", indent=2)
    console.print()
    table = _table("rung", "for or against", ">weight", "evidence")
    for item in diagnosis.evidence:
        cause = item.cause if item.weight >= 0 else f"not {item.cause}"
        quote = f"\n“{_clean(item.quote, QUOTED)}”" if item.quote else ""
        table.add_row(*map(Text, (item.rung, cause, f"{item.weight:+.1f}", _clean(item.says) + quote)))
    console.print(table, width=_width(console))
    texts = [("prompt", failure.prompt), ("output", failure.output)]
    texts += [("reference", text) for text in failure.reference]
    for label, text in texts:
        console.print()
        _say(console, label, style="bold")
        _say(console, redact(inert(text), personal=True)[0] or "(empty)", indent=2)


def _experiments(console: Console, experiments: Sequence[Experiment]) -> None:
    table = _table(
        "experiment", "axis", ">train /\nheld-out", ">expected\nfixed", ">can show", ">memory\n(GiB)", ">time"
    )
    for e in experiments:
        low, likely, high = e.expects["fixed"]
        effect = "nothing" if e.detectable_effect is None else f"{e.detectable_effect * 100:.0f} points"
        cases = f"{len(e.train)} / {len(e.held_out)}"
        memory, seconds = gib_span(e.costs.get("peak_bytes")).removesuffix(" GiB"), seconds_span(e.costs.get("seconds"))
        table.add_row(*map(Text, (e.id, e.axis, cases, f"{low}-{likely}-{high}", effect, memory, seconds)))
    console.print()
    console.print(table, width=_width(console))
    _say(console, "expected: low-likely-high of those held out; can show: the smallest gain that they prove", "dim")
    console.print()
    for e in experiments:
        _say(console, f"{e.id}: {_clean(str(e.recipe['does']))}", style="bold")
        _say(console, f"because {e.because}", indent=2, hang=2)
        _say(console, f"instead of {e.instead_of}", indent=2, hang=2)


def _verdicts(console: Console, diagnoses: Sequence[Diagnosis]) -> None:
    counts = Counter(diagnosis.verdict for diagnosis in diagnoses)
    if not counts:
        return
    table = _table("verdict", ">failures", ">share", "calls for")
    for verdict, count in counts.most_common():
        table.add_row(*map(Text, (verdict, f"{count:,}", share(count, len(diagnoses)), CALLS_FOR[verdict])))
    console.print()
    console.print(table, width=_width(console))
    console.print()


def _results(console: Console, proofs: Mapping[str, Any]) -> None:
    table = _table("experiment", "held-out pass\n(95 %, exact)", "changed", "form, content", "guard, general")
    for name, proof in proofs.items():
        gain = proof["gain"]
        word = Text(f"{name}\n").append(proof["verdict"], style=COLOURS[proof["verdict"]])
        table.add_row(word, *map(Text, (_passes(gain), _changed(gain), _axes(gain), _elsewhere(proof))))
        table.add_section()
    console.print()
    console.print(table, width=_width(console))


def _passes(gain: Mapping[str, Any]) -> str:
    told = f"{gain['control_passed']} -> {gain['treated_passed']} of {gain['n']}"
    if rates := gain["rate_interval"]:
        told += f"\n{percent_span(rates['control'])} ->\n{percent_span(rates['treated'])}"
    return told


def _changed(gain: Mapping[str, Any]) -> str:
    return f"{gain['fixed']} fixed\n{gain['broken']} broken\np {p_value(gain['p'])}"


def _axes(gain: Mapping[str, Any]) -> str:
    form, content = gain["form_passed"], gain["content_passed"]
    return f"form {form['control']} -> {form['treated']}\ncontent {content['control']} -> {content['treated']}"


def _elsewhere(proof: Mapping[str, Any]) -> str:
    guard, general = proof["guard"], proof["general"]
    told = "guard not asked"
    if guard["n"]:
        told = f"guard {points(guard['difference'])} (margin {points(-guard['margin'])})"
        told += f"\n{points_span(guard['interval'])} points"
    if general["n"]:
        told += f"\ngeneral {general['control_passed']} -> {general['treated_passed']} of {general['n']}"
    return told


def _counted(log: Log) -> str:
    told = f"Read {len(log.failures):,} failures and {len(log.passed):,} passing cases"
    rows = len(log.rejected)
    return f"{told}; {rows:,} row{'s' if rows > 1 else ''} rejected." if rows else f"{told}; no row rejected."


def _table(*headings: str) -> Table:
    """A plain table; a heading that begins with > is of numbers, set to the right."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold", show_edge=False)
    for heading in headings:
        table.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left")
    return table


def _clean(text: str, most: int = 0) -> str:
    """One inert line without secrets and personal data, cut to `most` characters."""
    return one_line(redact(inert(text), personal=True)[0], most)


def _say(console: Console, text: str, style: str = "", indent: int = 0, hang: int = 0) -> None:
    """Text as it is: inert, never read as markup, wrapped to the screen; `hang` more columns after the first line."""
    for at, line in enumerate(Text(inert(text), style=style).wrap(console, _width(console) - indent - hang)):
        line.rstrip()
        line.pad_left(indent + (hang if at else 0))
        console.print(line)


def _width(console: Console) -> int:
    return min(console.width, WIDEST)
