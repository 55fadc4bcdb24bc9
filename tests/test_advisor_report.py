"""The end of a run as a user sees it: the page, report.json, the tables of the terminal."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from advisor.experiments import Experiment
from advisor.overview import Overview
from advisor.plan import Plan
from advisor.proof import prove_plan
from advisor.read import Log, Reading, Rejected
from advisor.records import CAUSES, Diagnosis, Evidence, Failure
from advisor.report import Outcome, report
from advisor.run import Run
from advisor.show import show_case, show_line, show_overview, show_plan, show_result
from advisor.turned import turned
from advisor.wording import gib_span, inert, one_line, points, seconds_span

HOSTILE = (
    "<script>alert(1)</script> [bold]x[/bold] [/] \x1b[31mred\x1b]0;title\x07 \u202eabc \ud800 jane.doe@example.org"
)
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
N = 20


def failure(name: str, verdict: str = "form", passed: bool = False) -> tuple[Failure, Diagnosis]:
    question = f"Name the part of {name}. {HOSTILE}"
    row = Failure(name, ({"role": "user", "content": question},), f"it is {name} {HOSTILE}", (f"part {name}",))
    likely = {cause: 0.05 for cause in CAUSES} | ({verdict: 0.7} if verdict in CAUSES else {"form": 0.4, "facts": 0.35})
    evidence = (Evidence("harness", verdict, f"the {verdict} sentence", HOSTILE, 2.0),)
    return row, Diagnosis(name, verdict, likely, evidence, "log.jsonl", 3)


def experiment(name: str, axis: str, held: tuple[str, ...]) -> Experiment:
    return Experiment(
        id=name,
        axis=axis,
        route="form",
        train=("t1", "t2"),
        held_out=held,
        recipe={"does": f"do {name}", "rank": 16, "why": [f"why so for {name}", "and so"]},
        expects={"fixed": [1, 6, 18], "of": N},
        costs={"peak_bytes": [2**30, 2**31], "seconds": [30, 60, 240], "usd": None},
        detectable_effect=0.31,
        stop_rule="stop when done",
        because=f"because of {name}",
        instead_of="something else",
    )


def outcome_in(folder: Path, launched: bool = True) -> Outcome:
    names = [f"case-{i:02d}" for i in range(N)]
    pairs = [failure(name) for name in names]
    pairs += [failure("h1", "harness"), failure("u1", "unsure"), failure("f1", "facts")]
    passed = [failure(f"pass-{i}")[0] for i in range(40)]
    log = Log([f for f, _ in pairs], passed, [Rejected("log.jsonl", 9, f"no output {HOSTILE}")], 0, ["a note"])
    plan = Plan(
        made_for={"data": "ab" * 32, "machine": {"name": "CPU", "memory_bytes": 2**33}, "base": "embedded"},
        verdicts={"form": N, "harness": 1, "unsure": 1, "facts": 1},
        experiments=(experiment("lora", "weights", tuple(names)), experiment("exemplar", "prompt", tuple(names))),
        advice=(f"an advice {HOSTILE}",),
        replayed={"asked": 25, "failed": 20},
        max_new_tokens=64,
        cases={},
        targets={},
        origins={},
    )
    run = Run(folder)
    if not launched:
        return report(run, log, [d for _, d in pairs], plan)
    scores: list[dict[str, Any]] = []

    def add(exp: str, part: str, name: str, before: bool, after: bool) -> None:
        for arm, good in (("control", before), (exp, after)):
            row = {"id": name, "arm": arm, "split": part, "sample": 0, "passed": good, "form": good, "content": True}
            scores.append({**row, "score": 1.0, "grader": "says so", "answer": HOSTILE, "group": "", "experiment": exp})

    for i, name in enumerate(names):  # lora: 14 fixed, 1 broken, 5 still fail; exemplar: 2 fixed, the rest still fail
        add("lora", "gain", name, i == 19, i < 14)
        add("exemplar", "gain", name, False, i < 2)
    for i, row in enumerate(passed):
        add("lora", "guard", row.id, True, i != 0)
    run.write("text_loss.json", json.dumps({"before": 2.0, "after": 2.5, "texts": 8}))
    run.write("adapter/training.json", json.dumps({"seconds": 500.0, "peak_bytes": 1.5 * 2**30, "steps": 48}))
    return report(run, log, [d for _, d in pairs], plan, scores, prove_plan(plan, scores, run))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return outcome_in(tmp_path_factory.mktemp("runs") / "demo-run")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return outcome_in(tmp_path_factory.mktemp("runs") / "plan-only", launched=False)


class Page(HTMLParser):
    """Tags that stand open at the end, and all attributes."""

    VOID = {"meta", "br", "rect", "path"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def shown(width: int, show: Any, *what: Any) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=width, highlight=False, force_terminal=False), *what)
    return stream.getvalue()


def test_hostile_text_is_inert_in_the_page(outcome: Outcome) -> None:
    html = outcome.html.read_text(encoding="utf-8")
    assert "<script" not in html and "&lt;script&gt;" in html
    assert not FORBIDDEN.search(html)
    assert "example.org" not in html
    assert "[bold]x[/bold]" in html


def test_the_page_needs_nothing_from_outside_and_is_well_formed(outcome: Outcome) -> None:
    html = outcome.html.read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert all(value and value.startswith("#") for name, value in page.attributes if name in ("href", "xlink:href"))
    assert not [name for name, _ in page.attributes if name in ("src", "srcset", "action") or name.startswith("on")]
    assert "http://" not in html and "https://" not in html and "url(" not in html and "@import" not in html
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert "prefers-color-scheme: dark" in html and "@media print" in html


def test_every_section_is_there_and_says_what_was_found(outcome: Outcome) -> None:
    html = outcome.html.read_text(encoding="utf-8")
    for section in ("headline", "results", "harm", "forecast", "why", "cases", "plan", "todo", "how"):
        assert f'id="{section}"' in html
    gain = outcome.proofs["lora"]["gain"]
    assert (gain["fixed"], gain["broken"]) == (14, 1)
    assert "14 of 20" in html and "1 of 20" in html and f"{gain['p']:.2g}" in html
    assert outcome.proofs["lora"]["sentence"] in html
    assert "7.39 before, 12.2 after" in html  # e**2 and e**2.5
    assert "above it" in html and "1.5 GiB" in html  # 500 s against 30 to 240 s
    for heading in ("Fixed: 14", "Still failing: 5", "Broken: cases that passed before: 1"):
        assert heading in html
    assert "2 more cases not shown" in html  # 14 fixed, 12 shown
    assert "the harness sentence" in html and "form 40 % or facts 35 %" in html
    assert "log.jsonl:9" in html and "an advice" in html and "8.0 GiB" in html


def test_turned_cases_agree_with_the_proof(outcome: Outcome) -> None:
    for name, proof in outcome.proofs.items():
        for part, kinds in turned(outcome.scores, name).ids().items():
            assert len(kinds["fixed"]) == proof[part]["fixed"] and len(kinds["broken"]) == proof[part]["broken"]
            both = proof[part]["treated_passed"] - len(kinds["fixed"])
            assert len(kinds["still_failing"]) == proof[part]["n"] - both - len(kinds["fixed"]) - len(kinds["broken"])


def test_report_json_holds_its_keys_and_is_what_as_dict_says(outcome: Outcome, planned: Outcome) -> None:
    keys = {"schema", "formfacts", "run", "launched", "read", "verdicts", "plan", "proofs", "cross", "cases", "ledger"}
    for one in (outcome, planned):
        text = (one.run.folder / "report.json").read_text(encoding="utf-8")
        found = json.loads(text)
        assert set(found) == keys | {"rejected", "report_html"}
        assert found == one.as_dict()
        assert not FORBIDDEN.search(text) and "example.org" not in text
    assert outcome.as_dict()["launched"] is True and planned.as_dict()["launched"] is False
    assert outcome.as_dict()["cases"]["lora"]["guard"]["broken"] == ["pass-0"]
    assert planned.as_dict()["proofs"] == {} and planned.as_dict()["ledger"] == []


def test_without_a_launch_the_page_says_so(planned: Outcome) -> None:
    html = planned.html.read_text(encoding="utf-8")
    assert Page(html).open == []
    assert "Nothing was run" in html and 'id="results"' not in html and 'id="cases"' not in html
    assert 'id="why"' in html and "because of lora" in html and "why so for lora; and so" in html
    assert "Nothing was run." in shown(80, show_result, planned)


@pytest.mark.parametrize("width", [80, 100])
def test_the_result_table_holds_the_numbers_of_the_proof(outcome: Outcome, width: int) -> None:
    text = shown(width, show_result, outcome)
    assert max(map(len, text.splitlines()[:-1])) <= width
    assert text.splitlines()[-1] == f"report: {outcome.html}"
    gain, guard = outcome.proofs["lora"]["gain"], outcome.proofs["lora"]["guard"]
    for part in ("1 -> 14 of 20", "14 fixed", "1 broken", f"p {gain['p']:.2g}", "form 1 -> 14", "content 20 -> 20"):
        assert part in text
    low, high = gain["rate_interval"]["treated"]
    assert f"{low * 100:.0f} to {high * 100:.0f} %" in text
    assert f"guard {points(guard['difference'])} (margin -5)" in text
    assert " ".join(outcome.proofs["lora"]["sentence"].split()) in " ".join(text.split())
    ledger = text[text.index("Forecast and outcome") :].splitlines()
    assert any("time" in row and "30 s to 4 min" in row and "above it" in row for row in ledger)
    assert any("memory" in row and "1.5 GiB" in row and "within the forecast" in row for row in ledger)


@pytest.mark.parametrize("width", [80, 100])
def test_the_plan_is_shown_without_markup_or_escapes(planned: Outcome, width: int) -> None:
    text = shown(width, show_plan, planned.plan, planned.log, planned.diagnoses)
    assert max(map(len, text.splitlines())) <= width
    assert not FORBIDDEN.search(text)
    assert "[bold]x[/bold] [/]" in " ".join(text.split()) and "example.org" not in text
    for part in ("Read 23 failures and 40 passing cases; 1 row rejected.", "1-6-18", "31 points", "1.0 to 2.0"):
        assert part in text
    for part in (
        "30 s to 4 min",
        "2 / 20",
        "because because of lora",
        "- why so for lora",
        "20 of 25 still fail",
        "87 %",
    ):
        assert part in text


def test_diagnoses_and_one_case_are_shown_inert(planned: Outcome) -> None:
    overview = Overview()
    for row, diagnosis in zip(planned.log.failures, planned.diagnoses, strict=True):
        overview.add(row, diagnosis)
        line = shown(80, show_line, diagnosis)
        assert line.count("\n") == 1 and len(line) <= 81 and not FORBIDDEN.search(line)
    text = shown(80, show_overview, [Path("a \x1b[31mlog.jsonl")], Reading([]), overview, [])
    assert max(len(line) for line in text.splitlines()) <= 80 and not FORBIDDEN.search(text)
    assert "example.org" not in text and text.count("part of case-") == 2
    text = shown(80, show_case, planned.log.failures[0], planned.diagnoses[0])
    assert not FORBIDDEN.search(text) and "example.org" not in text
    assert "the form sentence" in text and "form 70 %" in text and "part case-00" in text


def test_wording() -> None:
    assert inert("a\x1b[1;31mb\x1b]8;;x\x1b\\c\r\nd\x9be\u202ef\x00\ttab") == "abc\ndf\ttab"
    assert one_line("a  b\nc" * 9, 6) == "a b c…"
    assert [points(x) for x in (0.0, -0.0001, 0.125, -0.05)] == ["0", "0", "+12.5", "-5"]
    assert seconds_span([30, 60, 240]) == "30 s to 4 min" and seconds_span([120, 180, 240.0]) == "2 to 4 min"
    assert gib_span([2**30, 3 * 2**30]) == "1.0 to 3.0 GiB" and gib_span(None) == "not known"
