"""Before and after: verdicts, numbers and sentences on tables whose answer is known."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from eval.compare import paired_interval
from eval.errors import EvalError
from eval.judge_error import Measured
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
        "Improved: 12 of 20 cases pass after the change, 0 without it: 60 points more "
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
            "unproven",
            "9 cases cannot exclude a loss of 5 points; at least 73 guard cases are needed for a margin of 5 points.",
        ),
        ((ones(0, 20), ones(12, 20)), (ones(73, 73), ones(73, 73)), "improved", "a loss of 5 points or more is excl"),
        ((ones(0, 20), ones(12, 20)), (ones(72, 72), ones(72, 72)), "unproven", "The gain is shown, but not that noth"),
        ((ones(0, 20), ones(12, 20)), (ones(165, 165), ones(165, 165)), "improved", "is excluded"),
        ((ones(0, 20), ones(12, 20)), (ones(150, 150), ones(146, 150)), "unproven", "is not excluded (-6.7 to +0.3"),
        (((), ()), GOOD_GUARD, "unproven", "no case was answered"),
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


def test_a_row_given_twice_counts_as_last_given():
    scores = rows("control", "gain", ones(0, 6))
    again = scores + rows("treated", "gain", ones(6, 6)) + rows("treated", "gain", ones(2, 6))
    assert prove(again)["treated"]["gain"]["treated_passed"] == 2


def test_several_samples_count_by_their_share_and_a_tie_is_no_pass():
    scores = []
    for sample in range(2):
        scores += rows("control", "gain", ones(0, 20), sample=sample)
        scores += rows("treated", "gain", ones(20 - 4 * sample, 20), sample=sample)
    found = prove(scores)["treated"]
    gain = found["gain"]
    assert (gain["samples"], gain["treated_passed"], gain["treated_rate"]) == (2, 16, 0.9)
    assert (gain["difference"], gain["test"]) == (0.9, "sign flips of 20 cases, exact")
    # All 20 cases moved up, 16 by two halves and 4 by one: of the 2**20 flips only all and none lie as far out.
    assert gain["p"] == pytest.approx(2 / 2**20)
    assert found["sentence"].startswith(
        "Improved: 20 cases, asked up to 2 times each, pass 90 % of the time after the change, 0 % without"
    )


def test_samples_are_paired_and_what_one_side_alone_has_is_told():
    scores = rows("control", "gain", ones(0, 6))
    for sample, results in enumerate([ones(6, 6), ones(0, 6), ones(0, 6)]):
        scores += rows("treated", "gain", results, sample=sample)
    found = prove(scores)["treated"]
    assert found["gain"]["treated_passed"] == 6 and found["gain"]["samples_left_out"] == 12
    assert "12 samples that only one side has were left out." in found["sentence"]
    # No sample in common: nothing can be paired, all count.
    lone = [{**row, "sample": 7} for row in rows("control", "gain", ones(0, 6))]
    found = prove(lone + scores[6:])["treated"]["gain"]
    assert found["treated_rate"] == pytest.approx(1 / 3) and found["samples_left_out"] == 0


def trained(results_by_seed, **more):
    """Rows of an arm that was trained with several seeds."""
    return [
        {**row, "trained": True, "seed": seed, **more}
        for seed, results in results_by_seed.items()
        for row in rows("lora", "gain", results)
    ]


def test_training_seeds_are_averaged_over_and_counted():
    control = rows("control", "gain", ones(0, 20))
    one = prove(control + [{**row, "trained": True} for row in rows("lora", "gain", ones(12, 20))])["lora"]
    assert one["seeds"] == 1 and "One training seed: another run" in one["sentence"]
    three = prove(control + trained({1: ones(10, 20), 2: ones(12, 20), 3: ones(14, 20)}))["lora"]
    assert three["seeds"] == 3 and three["by_seed"] == {"1": 0.5, "2": 0.6, "3": 0.7}
    assert three["gain"]["difference"] == pytest.approx(0.6)
    assert "Averaged over 3 training seeds, whose gains lie between +50.0 and +70.0 points." in three["sentence"]
    prompt = proved((ones(0, 20), ones(12, 20)))
    assert prompt["seeds"] == 0 and "seed" not in prompt["sentence"]
    # Seeds that the untouched model was sampled with too are no seeds of training.
    sampled = [{**row, "seed": seed} for seed in (1, 2) for row in control]
    assert prove(sampled + trained({1: ones(10, 20), 2: ones(12, 20)}))["lora"]["by_seed"] == {}


def test_what_a_judge_graded_is_said_and_corrected():
    scores = rows("control", "gain", ones(10, 60)) + rows("treated", "gain", ones(40, 60))
    scores = [{**row, "grader": "judge: says the same"} for row in scores]
    assert "A judge graded, and its error is not in these numbers" in prove(scores)["treated"]["sentence"]
    found = prove(scores, judge=Measured(90, 100, 80, 100))["treated"]
    fixed = found["gain"]["judge_corrected"]
    better = 91 / 102 + 81 / 102 - 1  # one success and one failure added to each
    assert fixed["difference"] == pytest.approx(0.5 / better)
    assert fixed["interval"][0] < fixed["difference"] < fixed["interval"][1]
    assert fixed["interval"][1] - fixed["interval"][0] > (found["gain"]["interval"][1] - found["gain"]["interval"][0])
    assert "corrected for its errors on 200 answers graded by people" in found["sentence"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_cases_answered_on_one_side_only_are_counted_and_left_out():
    scores = rows("control", "gain", ones(0, 10)) + rows("treated", "gain", ones(8, 8))
    found = prove(scores)["treated"]
    assert found["gain"]["n"] == 8
    assert found["unmatched"]["gain"] == {"control_only": 2, "treated_only": 0}
    assert "2 cases answered on one side only were left out." in found["sentence"]


def test_few_clusters_prove_nothing_and_that_is_said():
    groups = ["a"] * 10 + ["b"] * 10 + [""] * 4
    found = proved((ones(0, 24), ones(18, 24)), groups=groups)
    gain = found["gain"]
    assert gain["groups"]["a"] == {"n": 10, "fixed": 10, "broken": 0, "p": 2 / 2**10, "p_holm": 4 / 2**10}
    assert gain["groups"]["b"]["fixed"] == 8
    # Groups of net 10, 8, 0, 0, 0, 0: of the four flips two are as far out.
    assert gain["p"] == 0.5 and gain["p_cases"] == 2 / 2**18
    assert found["verdict"] == "unproven"
    assert "24 cases are only 6 clusters of related cases; 15 are needed" in found["sentence"]
    plain = proved((ones(0, 24), ones(18, 24)))["gain"]["interval"]
    assert gain["interval"][1] - gain["interval"][0] > plain[1] - plain[0]
    # However sure the sum is: 14 clusters that all got better stay unproven, 15 do not.
    for k, verdict in ((14, "unproven"), (15, "improved")):
        all_fixed = proved((ones(0, 2 * k), ones(2 * k, 2 * k)), groups=[f"g{i // 2}" for i in range(2 * k)])
        assert all_fixed["gain"]["p"] == 2 / 2**k and all_fixed["verdict"] == verdict


def test_the_group_is_the_unit_of_the_primary_test():
    # 20 pages of 5 questions: 13 pages got better in one question each, 7 in all five; none worse.
    after = [i % 5 == 0 or i >= 65 for i in range(100)]
    found = proved((ones(0, 100), after), GOOD_GUARD, groups=[f"page {i // 5}" for i in range(100)])
    assert found["gain"]["test"] == "sign flips of 20 groups, exact"
    assert found["gain"]["p"] == 2 / 2**20 and found["verdict"] == "improved"
    # 45 fixed and 15 broken, but each page as a whole: 60 changes are 12, 9 against 3.
    before = [40 <= i < 55 for i in range(100)]
    found = proved((before, [i < 40 or 55 <= i < 60 for i in range(100)]), groups=[f"p{i // 5}" for i in range(100)])
    assert found["gain"]["p"] == pytest.approx(2 * (1 + 12 + 66 + 220) / 2**12) and found["verdict"] == "unproven"
    assert found["gain"]["p_cases"] < 0.001
    assert "counted by their 20 groups the evidence is weaker" in found["sentence"]
    assert "100 cases in 20 groups can show a gain of" in found["sentence"]
    assert found["gain"]["related"]["icc"] > 0.9


def test_a_guard_of_few_clusters_excludes_nothing():
    scores = rows("control", "gain", ones(0, 20)) + rows("treated", "gain", ones(12, 20))
    for groups, verdict in ((14, "unproven"), (40, "unproven"), (150, "improved")):
        guard = [f"g{i % groups}" for i in range(150)]
        both = rows("control", "guard", ones(150, 150), guard) + rows("treated", "guard", ones(150, 150), guard)
        found = prove(scores + both)["treated"]
        assert found["verdict"] == verdict and found["guard"]["non_inferior"] is (verdict == "improved")
    assert found["guard"]["needed"] == 73
    few = prove(scores + [{**row, "group": f"g{i % 40}"} for i, row in enumerate(both)])["treated"]
    assert "150 cases in 40 groups cannot exclude a loss of 5 points; at least 73 unrelated guard" in few["sentence"]


def test_many_arms_are_corrected_by_holm():
    scores = rows("control", "gain", ones(0, 30))
    for arm, fixed in (("rag", 6), ("lora", 0), ("both", 20)):
        scores += rows(arm, "gain", ones(fixed, 30))
    found = prove(scores)
    assert list(found) == ["rag", "lora", "both"]
    assert found["rag"]["p_holm"] == 0.0625
    assert "Counting that 3 variants were tried, the gain is not significant (p = 0.062)" in found["rag"]["sentence"]
    # Alone it would have been improved: the best of several tries has to be better than that.
    alone = prove([row for row in scores if row["arm"] in ("control", "rag")])
    assert found["rag"]["verdict"] == "unproven" and alone["rag"]["verdict"] == "improved"
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
