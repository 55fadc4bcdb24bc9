"""Before and after: verdicts, numbers and sentences on tables whose answer is known."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from eval.compare import paired_interval
from eval.errors import EvalError
from eval.prove import prove
from eval.verdict import VERDICTS


def rows(arm, split, results, groups=None, sample=0):
    return [
        {
            "id": f"{split}-{i}",
            "arm": arm,
            "split": split,
            "sample": sample,
            "passed": bool(passed),
            "form": bool(passed),
            "content": True,
            "score": float(passed),
            "grader": "checks",
            "answer": "",
            "group": groups[i] if groups else "",
        }
        for i, passed in enumerate(results)
    ]


def proved(gain, guard=((), ()), general=((), ()), groups=None, **more):
    scores = []
    for split, (old, new) in (("gain", gain), ("guard", guard), ("general", general)):
        own = groups if split == "gain" else None
        scores += rows("control", split, old, own) + rows("treated", split, new, own)
    return prove(scores, **more)["treated"]


def ones(k, n):
    return [1] * k + [0] * (n - k)


GOOD_GUARD = (ones(150, 150), ones(149, 150))


def test_improved_with_every_number():
    found = proved((ones(0, 20), ones(12, 20)), GOOD_GUARD, (ones(50, 60), ones(49, 60)))
    gain, guard = found["gain"], found["guard"]
    assert found["verdict"] == "improved"
    assert (gain["n"], gain["control_passed"], gain["treated_passed"]) == (20, 0, 12)
    assert (gain["fixed"], gain["broken"], gain["difference"]) == (12, 0, 0.6)
    assert gain["p"] == 2 / 2**12
    assert gain["interval"] == list(paired_interval([False] * 20, [i < 12 for i in range(20)]))
    assert gain["rate_interval"]["treated"] == pytest.approx([0.3605, 0.8088], abs=1e-4)
    assert gain["form_passed"] == {"control": 0, "treated": 12}
    assert gain["content_passed"] == {"control": 20, "treated": 20}
    assert (guard["n"], guard["difference"], guard["margin"]) == (150, pytest.approx(-1 / 150), 0.05)
    assert guard["non_inferior"] is True
    assert (found["general"]["control_passed"], found["general"]["treated_passed"]) == (50, 49)
    assert found["sentence"] == (
        "Improved: 12 of 20 held-out cases pass after the change, 0 without it: 60 points more "
        "(95 % interval +33.3 to +78.1 points, p = 0.00049). Of 150 cases kept as a guard 149 pass after, 150 before: "
        "a loss of 5 points or more is excluded. General questions: 49 of 60 right after, 50 before."
    )
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("gain", "guard", "verdict", "says"),
    [
        ((ones(0, 20), ones(5, 20)), GOOD_GUARD, "unproven", "Not enough cases: only 5 of the 20 changed"),
        ((ones(0, 5), ones(5, 5)), GOOD_GUARD, "unproven", "5 cases cannot show a gain of any size"),
        ((ones(0, 6), ones(6, 6)), GOOD_GUARD, "improved", "p = 0.031"),
        ((ones(20, 40), ones(24, 40)), GOOD_GUARD, "unproven", "Not enough cases: only 4"),
        ((ones(0, 40), ones(20, 40)), (ones(30, 30), ones(27, 30)), "mixed", "is not excluded"),
        ((ones(0, 40), ones(20, 40)), (ones(150, 150), ones(120, 150)), "worse", "20 points fewer pass"),
        ((ones(0, 40), ones(0, 40)), (ones(150, 150), ones(120, 150)), "worse", "they got worse"),
        ((ones(10, 40), ones(0, 40)), GOOD_GUARD, "worse", "25 points fewer"),
        ((ones(0, 20), ones(12, 20)), ((), ()), "improved", "harm was not measured"),
        (
            (ones(0, 20), ones(12, 20)),
            (ones(9, 9), ones(9, 9)),
            "improved",
            "9 cases cannot exclude a loss of 5 points",
        ),
        (((), ()), GOOD_GUARD, "unproven", "no held-out case"),
    ],
)
def test_verdicts(gain, guard, verdict, says):
    found = proved(gain, guard)
    assert found["verdict"] == verdict
    assert says in found["sentence"]
    assert verdict in VERDICTS


def test_changes_both_ways_are_chance_and_the_reach_is_told():
    before, after = [1] * 10 + [0] * 10 + [0] * 20, [0] * 10 + [1] * 10 + [0] * 20
    found = proved((before, after))
    assert found["verdict"] == "unproven" and found["gain"]["p"] == 1.0
    assert "that can be chance" in found["sentence"]
    assert "40 cases can show a gain of 19 points or more, with a chance of 80 %" in found["sentence"]


def test_forgetting_is_said():
    found = proved((ones(0, 20), ones(12, 20)), GOOD_GUARD, (ones(60, 60), ones(40, 60)))
    assert "General questions: 40 of 60 right after, 60 before: the model has forgotten" in found["sentence"]


def test_an_unchanged_model_replayed_is_seldom_called_improved():
    rng = random.Random(0)
    improved = 0
    for _ in range(500):
        n = rng.choice([12, 25, 40])
        # Each case passes by its own chance, the same before and after: nothing was done to the model.
        chances = [rng.choice([0.05, 0.5, 0.8]) for _ in range(n)]
        before, after = ([rng.random() < chance for chance in chances] for _ in range(2))
        improved += proved((before, after))["verdict"] == "improved"
    assert improved <= 25
    assert proved((ones(3, 30), ones(3, 30)), GOOD_GUARD)["verdict"] == "unproven"


def test_samples_count_by_majority_and_a_row_given_twice_by_its_last():
    scores = rows("control", "gain", ones(0, 6))
    for sample, results in enumerate([ones(6, 6), ones(6, 6), ones(0, 6)]):
        scores += rows("treated", "gain", results, sample=sample)
    assert prove(scores)["treated"]["gain"]["treated_passed"] == 6
    # A tie is a failure; a repeated row replaces the one before.
    tie = scores[:6] + rows("treated", "gain", ones(6, 6)) + rows("treated", "gain", ones(0, 6), sample=1)
    assert prove(tie)["treated"]["gain"]["treated_passed"] == 0
    again = scores[:6] + rows("treated", "gain", ones(6, 6)) + rows("treated", "gain", ones(2, 6))
    assert prove(again)["treated"]["gain"]["treated_passed"] == 2


def test_cases_answered_on_one_side_only_are_counted_and_left_out():
    scores = rows("control", "gain", ones(0, 10)) + rows("treated", "gain", ones(8, 8))
    found = prove(scores)["treated"]
    assert found["gain"]["n"] == 8
    assert found["unmatched"]["gain"] == {"control_only": 2, "treated_only": 0}
    assert "2 cases answered on one side only were left out." in found["sentence"]


def test_groups_widen_the_interval_and_are_compared_each():
    groups = ["a"] * 10 + ["b"] * 10 + [""] * 4
    found = proved((ones(0, 24), ones(18, 24)), groups=groups)
    gain = found["gain"]
    assert gain["groups"]["a"] == {"n": 10, "fixed": 10, "broken": 0, "p": 2 / 2**10, "p_holm": 4 / 2**10}
    assert gain["groups"]["b"]["fixed"] == 8
    # Groups of net 10, 8, 0, 0, 0, 0: of the four flips two are as far out.
    assert gain["p_grouped"] == 0.5
    assert found["verdict"] == "improved" and "the evidence is weaker (p = 0.500)" in found["sentence"]
    plain = proved((ones(0, 24), ones(18, 24)))["gain"]["interval"]
    assert gain["interval"][1] - gain["interval"][0] > plain[1] - plain[0]


def test_many_arms_are_corrected_by_holm():
    scores = rows("control", "gain", ones(0, 30))
    for arm, fixed in (("rag", 6), ("lora", 0), ("both", 20)):
        scores += rows(arm, "gain", ones(fixed, 30))
    found = prove(scores)
    assert list(found) == ["rag", "lora", "both"]
    assert found["rag"]["p_holm"] == 0.0625
    assert "Counting that 3 variants were tried, the gain is not significant (p = 0.062)" in found["rag"]["sentence"]
    assert found["both"]["p_holm"] == pytest.approx(3 * 2 / 2**20)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        ([], "no rows"),
        (rows("control", "gain", [1]), "at least one treated arm"),
        (rows("rag", "gain", [1]), "rows of `control`"),
        ([{"id": "a", "arm": "control", "split": "gain"}], "scores row 1.*no passed"),
        ([{"id": "a", "arm": "control", "split": "test", "passed": True}], "gain, guard, general"),
        ([{"id": "a", "arm": "control", "split": "gain", "passed": "yes"}], "true or false"),
    ],
)
def test_a_users_mistake_is_named(scores, says):
    with pytest.raises(EvalError, match=says):
        prove(scores)
    with pytest.raises(EvalError, match="between 0 and 1"):
        prove(rows("control", "gain", [1]) + rows("rag", "gain", [1]), margin=5)


def test_a_thousand_cases_take_no_time():
    found = proved((ones(0, 2000), ones(300, 2000)), groups=[f"g{i % 400}" for i in range(2000)])
    assert found["verdict"] == "improved"


def test_the_page_on_proof_shows_what_is_said():
    page = (Path(__file__).parents[1] / "docs" / "proof.md").read_text(encoding="utf-8")
    found = proved((ones(1, 40), ones(24, 40)), (ones(150, 150), ones(148, 150)))
    assert found["sentence"] in " ".join(page.split())
