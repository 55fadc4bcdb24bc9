"""What the failures in real exports are, read by hand: broken tests are found, right answers are not called wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from advisor.diagnose import diagnose
from advisor.read import read

LOGS = Path(__file__).resolve().parents[2] / "shared" / "data" / "logs"


def verdicts(name: str) -> Counter[str]:
    """Verdicts of one export, without sentence vectors."""
    if not (LOGS / name).is_file():
        pytest.skip("the real logs are not there")
    return Counter(one.verdict for one in diagnose(read([LOGS / name]).failures, embedder=False))


@pytest.mark.parametrize(
    ("name", "n"),
    [("nicheIQ_results.json", 30), ("prompt-eval-workbench_results.json", 1), ("ai-qa-demo_results.json", 2)],
)
def test_every_failure_in_the_promptfoo_exports_is_the_harness(name: str, n: int) -> None:
    assert verdicts(f"promptfoo/{name}") == {"harness": n}


def test_a_template_that_prints_one_option_twice_is_the_harness() -> None:
    assert verdicts("lm-eval/samples_winogrande_gpt-4o.jsonl") == {"harness": 7}


def test_right_mathematics_is_form_and_wrong_mathematics_is_not() -> None:
    pytest.importorskip("math_verify")
    found = verdicts("lm-eval/samples_leaderboard_math_prealgebra_hard_SOLAR.jsonl")
    assert sum(found.values()) == 193
    assert 22 <= found["form"] + found["harness"] <= 30  # 26 are right by math-verify
    assert found["capability"] >= 160


def test_answers_inside_the_label_set_are_content() -> None:
    found = verdicts("lm-eval/samples_kobest_copa_gpt-4o.jsonl")
    assert sum(found.values()) == 20
    assert found["form"] == found["harness"] == 0
