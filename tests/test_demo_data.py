"""The demo is what data/README.md says it is: observed, labelled by what cured it, and fixed."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from eval.checks import CrashedCheck, passes
from eval.general import overlaps
from eval.grade import grade
from eval.near import near_pairs

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo"
FORMATS = {"order-record", "site-row", "house-answer", "log-line", "reply"}
DEFECTS = {"unrendered", "wrong-reference", "empty-output", "crashed-check"}
PLACEHOLDERS = {"TODO", "N/A", "TBD"}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@cache
def _log() -> dict[str, dict[str, Any]]:
    return {row["metadata"]["id"]: row for row in _rows(DEMO / "failures.jsonl")}


@cache
def _key() -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in _rows(DEMO / "key.jsonl")}


@cache
def _answers(arm: str) -> dict[str, str]:
    return {row["id"]: row["answer"] for row in _rows(DEMO / "answers" / f"{arm}.jsonl")}


def _asked(row: dict[str, Any]) -> str:
    return str(row["messages"][-1]["content"])


def test_there_are_enough_cases_of_each_kind() -> None:
    labels = Counter(row["label"] for row in _key().values())
    assert labels["form"] >= 80 and labels["facts"] >= 80 and labels["harness"] >= 24, labels
    assert labels["capability"] >= 20 and labels["passed"] >= 150, labels
    formats = Counter(row["family"] for row in _key().values() if row["label"] == "form")
    assert set(formats) == FORMATS and min(formats.values()) >= 15, formats


def test_log_and_key_tell_of_the_same_cases_and_the_log_keeps_the_secret() -> None:
    assert list(_log()) == list(_key())
    for name, row in _log().items():
        assert set(row["metadata"]) == {"id"}
        assert set(row) <= {
            "messages",
            "output",
            "reference",
            "checks",
            "scores",
            "error",
            "finish_reason",
            "metadata",
        }
        assert row["scores"] == {"passed": int(_key()[name]["label"] == "passed")}


def test_logged_outputs_are_the_raw_answers() -> None:
    for name, row in _log().items():
        if _key()[name]["family"] == "empty-output":
            assert row["output"] == "" and row["error"] and row["finish_reason"]
        else:
            assert row["output"] == _answers("plain")[name]


def test_labels_follow_from_the_raw_answers() -> None:
    """Derived once more, from the log's own checks and the stored answers of each arm."""

    def passed(arm: str, name: str) -> bool:
        return grade(_answers(arm)[name], _log()[name]["checks"]).passed

    for name, told in _key().items():
        if told["label"] == "harness":
            continue
        plain = grade(_answers("plain")[name], _log()[name]["checks"])
        if told["label"] == "passed":
            assert plain.passed, name
            continue
        assert not plain.passed, name
        if told["family"] in FORMATS:
            label = "form" if plain.content or passed("exemplar", name) else "capability"
        elif told["family"] == "facts":
            label = "facts" if passed("gold", name) else "both" if passed("exemplar-gold", name) else "capability"
        else:
            assert not passed("exemplar", name) and not passed("gold", name), name
            label = "capability"
        assert told["label"] == label, (name, told)


def test_every_reference_passes_its_own_checks_unless_it_was_planted_wrong() -> None:
    for name, row in _log().items():
        if _key()[name]["label"] != "harness":
            assert grade(row["reference"], row["checks"]).passed, (name, row["reference"])


def test_planted_defects_are_defects() -> None:
    found = {name: row for name, row in _log().items() if _key()[name]["label"] == "harness"}
    assert {_key()[name]["family"] for name in found} == DEFECTS
    for name, row in found.items():
        kind = _key()[name]["family"]
        if kind == "unrendered":
            assert re.search(r"\{\{.*\}\}|<%=.*%>|\$\{\w+\}|\{\w+\}", _asked(row)), name
        elif kind == "wrong-reference":
            fails = not all(passes(row["reference"], check) for check in row["checks"])
            options = re.findall(r"([A-C])\) (\w+)", _asked(row))
            no_option = bool(options) and row["reference"] not in dict(options)
            equal_options = len({text for _, text in options}) < len(options)
            assert fails or no_option or equal_options or row["reference"] in PLACEHOLDERS, name
        elif kind == "crashed-check":
            with pytest.raises(CrashedCheck):
                grade(row["output"], row["checks"])
            assert "CrashedCheck" in row["error"]


def test_documents_are_short_distinct_and_hold_the_facts() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in (DEMO / "documents").glob("*.md")}
    assert len(pages) >= 34
    assert all(80 <= len(text.split()) <= 160 for text in pages.values())
    assert not list(near_pairs(list(pages.values()), 0.3))
    for name, told in _key().items():
        if told["family"] == "facts":
            assert passes(pages[told["document"]], _log()[name]["checks"][0]), name
            values = _log()[name]["checks"][0]["value"]
            assert any(value in pages[told["document"]] for value in values), name


def test_general_guard_and_form_questions_do_not_overlap() -> None:
    guard = [_asked(row) for name, row in _log().items() if _key()[name]["label"] == "passed"]
    style = [_asked(row) for name, row in _log().items() if _key()[name]["family"] == "house-answer"]
    plain = [text.replace(" Answer in one short sentence.", "") for text in guard + style]
    assert overlaps(plain) == []
    both = [(i, j) for i, j in near_pairs(plain, 0.7) if (i < len(guard)) != (j < len(guard))]
    assert both == []


def test_cases_are_fixed() -> None:
    """The generators still make the very cases that were observed."""
    sys.path.insert(0, str(ROOT))
    try:
        from dev.demo.cases import cases
    finally:
        sys.path.remove(str(ROOT))
    made = {case["id"]: case for case in cases()}
    for name, row in _log().items():
        assert made[name]["messages"] == row["messages"] and made[name]["checks"] == row["checks"]
        assert made[name]["reference"] == row["reference"]


def test_advise_tells_the_causes_that_were_observed_without_reading_the_key() -> None:
    """Form, facts and harness are told apart as the interventions on the model itself told them."""
    from advisor.diagnose import diagnose
    from advisor.read import read

    key = _key()
    said = diagnose(read([DEMO / "failures.jsonl"]).failures, embedder=False)
    for cause, least in (("form", 0.9), ("facts", 0.9), ("harness", 0.9), ("capability", 0.5)):
        own = [d.verdict == cause for d in said if key[d.id]["label"] == cause]
        assert sum(own) / len(own) >= least, (cause, sum(own), len(own))
    for cause in ("form", "facts"):
        called = [key[d.id]["label"] == cause for d in said if d.verdict == cause]
        assert sum(called) / len(called) >= 0.85, (cause, sum(called), len(called))
