"""The plan: a recipe that fits the card, forecasts that say so, routes that follow the verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.cases import case_of, guard_of
from advisor.errors import AnswerIsNo
from advisor.experiments import Experiment, showing
from advisor.machine import Machine, machine
from advisor.records import Failure
from advisor.size import EMBEDDED_SHAPE, LEAST_STEPS, answering_s, learning_rate, shape_for, size, training_s
from advisor.splits import source_of
from advisor.targets import target_of
from memory_calc.cards import Card
from memory_calc.configs import shape_of

CPU = Machine(Card("cpu", 24 * 2**30, "given", "cpu"), (1e11, 2e11, 4e11))
LENGTHS = [90] * 60


def test_the_embedded_base_has_the_shape_of_its_config() -> None:
    shape = shape_for("embedded")
    assert shape is not None and shape.n_params == 134_515_008
    assert shape == shape_of(EMBEDDED_SHAPE)


def test_a_recipe_is_sized_to_the_card_lora_first() -> None:
    shape = shape_of("Llama-3.1-8B")
    roomy, roomy_needs = size(shape, [512] * 100, Machine(Card("80gib", 80 * 2**30, "given"), None))
    assert roomy["method"] == "lora"
    tight, tight_needs = size(shape, [512] * 100, Machine(Card("16gib", 16 * 2**30, "given"), None))
    assert tight["method"] == "qlora" and tight["quantization"] == "nf4"
    assert tight_needs.process.high <= 16 * 2**30 < roomy_needs.process.high
    assert tight["batch"] * tight["accumulation"] == roomy["batch"] * roomy["accumulation"] == 8


def test_where_nothing_fits_the_answer_is_no() -> None:
    with pytest.raises(AnswerIsNo, match="GiB") as caught:
        size(shape_of("Llama-3.1-8B"), LENGTHS, Machine(Card("2gib", 2 * 2**30, "given"), None))
    assert caught.value.exit_code == 3


def test_few_examples_get_more_epochs_and_the_steps_add_up() -> None:
    few, _ = size(shape_of(EMBEDDED_SHAPE), [90] * 20, CPU)
    many, _ = size(shape_of(EMBEDDED_SHAPE), [90] * 2000, CPU)
    assert few["epochs"] > many["epochs"] == 3
    assert few["steps"] >= LEAST_STEPS
    assert many["steps"] == 3 * -(-(2000 - 200 + 32) // 32), "many examples are taken 32 at a time"


def test_the_rate_follows_the_width_within_its_bounds() -> None:
    assert learning_rate(4096) == pytest.approx(2.86e-4, rel=0.01)  # the published 2.9e-4 of an 8B Llama
    assert learning_rate(576) == 5e-4 and learning_rate(10**6) == 1e-4


def test_forecasts_of_time_are_ordered_and_unknown_where_the_rate_is() -> None:
    shape = shape_of(EMBEDDED_SHAPE)
    recipe, _ = size(shape, LENGTHS, CPU)
    low, likely, high = training_s(shape, LENGTHS, recipe, CPU) or []
    assert 0 < low < likely < high
    assert training_s(shape, LENGTHS, recipe, replace(CPU, flops_per_s=None)) is None
    one, ten = answering_s(shape, 1, 100, 20, CPU), answering_s(shape, 10, 100, 20, CPU)
    assert one is not None and ten is not None and one[1] < ten[1]


def test_the_machine_at_hand_is_measured() -> None:
    here = machine("cpu")
    assert here.flops_per_s is not None and here.flops_per_s[0] > 1e8 and here.card.memory_bytes > 2**28
    assert machine("H100").flops_per_s is not None
    assert machine("24gib").flops_per_s is None


def failure(**given: object) -> Failure:
    row = {"id": "a", "messages": ({"role": "user", "content": "Where is the pump made?"},), "output": "In Paris."}
    return Failure(**{**row, **given})  # type: ignore[arg-type]


def test_a_correction_is_the_target_before_the_reference_and_neither_if_it_fails_the_checks() -> None:
    checks = ({"type": "contains", "value": "Lund"},)
    assert target_of(failure(reference=("Lund",), checks=checks)) == "Lund"
    assert target_of(failure(reference=("Lund",), checks=checks, review={"correction": "In Lund."})) == "In Lund."
    assert target_of(failure(reference=("Rome",), checks=checks)) == ""
    assert target_of(failure()) == ""


def test_what_cannot_be_graded_is_no_case_and_a_pass_that_fails_guards_nothing() -> None:
    assert case_of(failure()) is None
    assert case_of(failure(checks=({"type": "regex", "value": "("},))) is None
    assert case_of(failure(reference=("Lund",))) is not None
    assert guard_of(failure(checks=({"type": "contains", "value": "Paris"},))) is not None
    assert guard_of(failure(checks=({"type": "contains", "value": "Lund"},))) is None


def test_a_fact_belongs_to_the_document_that_answers_it() -> None:
    documents = {"pump.md": "The pump is made in Lund.", "lamp.md": "The lamp is sold in Lund.", "x.md": "Nothing."}
    assert source_of(failure(reference=("Lund",)), documents) == "pump.md"
    assert source_of(failure(reference=("Oslo",)), documents) == ""


def test_what_cases_can_show_counts_related_cases_as_related() -> None:
    def shown(clusters: dict[str, str]) -> float | None:
        held = tuple(f"c{n}" for n in range(60))
        return showing(
            Experiment("x", "context", "facts", (), held, {}, {}, {}, None, "", "", ""), clusters
        ).detectable_effect

    alone, related = shown({}), shown({f"c{n}": f"page {n // 3}" for n in range(60)})
    assert alone is not None and related is not None and 0.1 < alone < related < 0.3
    assert shown({f"c{n}": f"page {n % 14}" for n in range(60)}) is None, "fourteen clusters can show nothing"
