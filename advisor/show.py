"""What a user sees in the terminal: the plan, the results, the diagnoses, one case. Text of logs is never markup."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advisor.cross import crossed, told
from advisor.ledger import compared
from advisor.overview import Overview, leading
from advisor.redact import redact
from advisor.wording import (
    ADVICE,
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
    from advisor.comparison import Comparison
    from advisor.experiments import Experiment
    from advisor.plan import Plan
    from advisor.read import Log, Reading
    from advisor.records import Diagnosis, Failure
    from advisor.report import Outcome

COLOURS = {"improved": "bold green", "worse": "bold red", "mixed": "bold yellow", "unproven": "bold"}
COLOURS_OF = {"form": "bold cyan", "facts": "bold magenta", "harness": "bold yellow", "unsure": "bold dim"}
NOTES, QUOTED, SHOWN, WIDEST = 5, 160, 200, 100


def show_plan(console: Console, plan: Plan, log: Log, diagnoses: Sequence[Diagnosis]) -> None:
    """What was read, why the cases failed, what is planned for them, and what is left to the user."""
    _say(console, counted(len(log.failures), len(log.passed), len(log.rejected)))
    for note in log.notes[:NOTES]:
        _say(console, _clean(note), style="dim", indent=2, hang=2)
    _verdicts(console, Counter(diagnosis.verdict for diagnosis in diagnoses))
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
        if cross := crossed(outcome.proofs, outcome.scores, outcome.run):
            _crossed(console, cross)
        _ledger(console, list(outcome.run.rows("ledger.jsonl")))
    else:
        _say(console, "Nothing was run.")
    console.print(Text(f"report: {inert(str(outcome.html))}"), soft_wrap=True)


def show_line(console: Console, diagnosis: Diagnosis) -> None:
    """One case on one line: its id, the verdict, how sure, and the leading sentence of evidence, cut to the screen."""
    sure = percent(max(diagnosis.probabilities.values(), default=0.0))
    line = Text(f"{_clean(diagnosis.id):<24} {diagnosis.verdict:<15} {sure:>5}  {_clean(leading(diagnosis).says)}")
    line.truncate(max(60, _width(console), len(diagnosis.id) + 24), overflow="ellipsis")
    console.print(line, soft_wrap=True)


def show_overview(
    console: Console, files: Sequence[Path], reading: Reading, overview: Overview, remarks: Sequence[str]
) -> None:
    """How many failures of each verdict, two quoted cases of each with their evidence, and what to do next."""
    _say(console, counted(reading.failures, reading.passed, reading.rejected))
    for note in reading.notes[:NOTES]:
        _say(console, _clean(note), style="dim", indent=2, hang=2)
    _verdicts(console, overview.counts)
    ranked = [verdict for verdict, _ in overview.counts.most_common()]
    for verdict in ranked:
        _say(console, verdict, style=COLOURS_OF.get(verdict, "bold"))
        for failure, diagnosis in overview.examples(verdict):
            _example(console, failure, diagnosis)
        console.print()
    if not overview.counts:
        _say(console, "No failures in this log: nothing to fix.", style="bold")
        return
    _say(console, "What to do next", style="bold")
    named = " ".join(shlex.quote(str(file)) for file in files)
    for line in (*_next(overview, ranked, named), *remarks):
        _say(console, f"- {line}", hang=2)


def _example(console: Console, failure: Failure, diagnosis: Diagnosis) -> None:
    lead = leading(diagnosis)
    place = f"({Path(failure.file).name}:{failure.line}), " if failure.file else ""
    sure = percent(max(diagnosis.probabilities.values(), default=0.0))
    _say(console, f"{_clean(failure.id, 40)} {_clean(place)} {sure}: {_clean(lead.says, QUOTED)}", indent=2, hang=2)
    quote = "" if one_line(lead.quote).strip("… ") in one_line(failure.output)[:SHOWN] else lead.quote
    for label, text in (("asked", failure.asked), ("came", failure.output), ("see", quote)):
        if text or label == "came":
            shown = Text(f"    {label:<6}“{_clean(text, SHOWN)}”" if text.strip() else f"    {label:<6}nothing", "dim")
            shown.truncate(_width(console), overflow="ellipsis")
            console.print(shown, soft_wrap=True)


def _next(overview: Overview, ranked: Sequence[str], named: str) -> list[str]:
    """For each verdict that calls for something of the user, what; the command that does it, where there is one."""
    counts, lines = overview.counts, []
    docs = " --docs DOCS" if counts["facts"] or counts["both"] else ""
    if routed := [f"{counts[verdict]:,} {verdict}" for verdict in ("form", "facts") if counts[verdict]]:
        lines.append(f"{' and '.join(routed)}: `advise {named}{docs} --launch` plans the cure, runs it and proves it")
    lines += [f"{counts[verdict]:,} {verdict}: {ADVICE[verdict]}" for verdict in ranked if verdict in ADVICE]
    if counts["unsure"]:
        id = shlex.quote(_clean(overview.examples("unsure")[0][0].id))
        lines.append(
            f"`advise explain {named} {id}` shows all evidence on one case; a verdict of yours in a reviews file wins "
            f"(`--reviews FILE`), and `advise teach` learns from twenty of them"
        )
    return lines


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
        for line in e.recipe.get("why", ()):
            _say(console, f"- {_clean(line)}", indent=2, hang=2)


def _verdicts(console: Console, counts: Counter[str]) -> None:
    if not counts:
        return
    table = _table("verdict", ">failures", ">share", "calls for")
    for verdict, count in counts.most_common():
        table.add_row(*map(Text, (verdict, f"{count:,}", share(count, counts.total()), CALLS_FOR[verdict])))
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


def _ledger(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """What each experiment was forecast to bring and to take, beside what came."""
    table = _table("experiment", "what", ">forecast", ">came", "which is")
    for row in rows:
        for at, found in enumerate(compared(row)):
            side = "within the forecast" if found.side == "within" else f"{found.side} it"
            name = str(row["experiment"]) if not at else ""
            table.add_row(*map(Text, (name, found.label, found.forecast, found.came, side)))
    if table.rows:
        _say(console, "Forecast and outcome", style="bold")
        console.print(table, width=_width(console))
        console.print()


def _crossed(console: Console, cross: Mapping[str, Any]) -> None:
    """The 2 x 2: each cure on the failures of each route."""
    table = _table("held-out failures", "RAG", "LoRA")
    for route, cells in cross["table"].items():
        table.add_row(
            Text(f"{route}\n"), *(Text(_passes(cells[c]) if cells[c] else "not run") for c in ("rag", "lora"))
        )
        table.add_section()
    _say(console, "Was the route right? Each cure on the failures of both", style="bold")
    console.print(table, width=_width(console))
    for line in told(cross):
        _say(console, line)
    console.print()


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


def counted(failures: int, passed: int, rejected: int) -> str:
    """What was read, as a sentence."""
    told = f"Read {failures:,} failure{'' if failures == 1 else 's'} and {passed:,} passing case"
    told += "" if passed == 1 else "s"
    return (
        f"{told}; {rejected:,} row{'s' if rejected > 1 else ''} rejected." if rejected else f"{told}; no row rejected."
    )


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


def show_comparison(console: Console, found: Comparison) -> None:
    """The verdict of two files, the table, the cases that broke, and a sentence for who decides."""
    console.print(Text(found.verdict, style=COLOURS[found.verdict]))
    table = _table("", ">before", ">after", ">change, points (95 %)", ">p")
    for row in found.lines():
        table.add_row(*map(Text, row))
    console.print(table, width=_width(console))
    console.print()
    turned = ", ".join(f"{len(names):,} {kind.replace('_', ' ')}" for kind, names in found.turned.items())
    broken = [_clean(name, SHOWN) for name in found.turned["broken"][:NOTES]]
    _say(console, turned + (f"; broken: {', '.join(broken)}" if broken else ""), hang=2)
    _say(console, str(found.found["sentence"]))
    for remark in found.remarks:
        _say(console, remark, style="dim", hang=2)
