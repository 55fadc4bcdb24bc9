"""From failures to a recipe that fits: what kind of form they ask for, what is trained for it, what the card allows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from advisor import size as sizing
from advisor.errors import AnswerIsNo
from advisor.experiments import Experiment, adapter
from advisor.kind import SHAPE, SYNTAX, TONE, Kind, kind_for, kind_of
from advisor.ledger import compared, entry
from advisor.machine import Machine
from advisor.records import Diagnosis, Evidence, Failure
from advisor.run import Request
from advisor.size import FUSED, default_for, shape_for, size, training_s, training_tokens_per_s
from finetune.defaults import BATCH, DEFAULTS, MARGIN, rank_cap
from memory_calc.cards import Card
from memory_calc.configs import shape_of
from memory_calc.estimate import Job, estimate
from memory_calc.losses import LOSSES
from memory_calc.models import known
from memory_calc.terms import adapter_params

CPU = Machine(Card("cpu", 24 * 2**30, "given", "cpu"), (1e11, 2e11, 4e11))
LLAMA = shape_of("Llama-3.1-8B")


def gpu(gib: float) -> Machine:
    return Machine(Card(f"{gib}gib", int(gib * 2**30), "given"), None)


def failure(output: str, *checks: dict[str, Any], system: str = "", name: str = "a", feedback: str = "") -> Failure:
    messages = [{"role": "system", "content": system}] if system else []
    asked = {"role": "user", "content": "Where is the pump made?"}
    return Failure(name, (*messages, asked), output, checks=checks, feedback=feedback)


def of_form(kind: str, value: Any = True) -> dict[str, Any]:
    return {"type": kind, "value": value, "of": "form"}


@pytest.mark.parametrize(
    ("failed", "kind"),
    [
        (failure("It is made in Lund.", of_form("max-words", 2)), TONE),
        (failure("It is made in Lund.", of_form("lower-case")), TONE),
        (failure("It is made in Lund.", {"type": "not", "value": of_form("contains-any", ["made"])}), TONE),
        (failure("It is made in Lund.", of_form("json-keys", ["town"])), SHAPE),
        (failure("It is made in Lund.", of_form("full-match", r"ANSWER: [a-z]+\.")), SHAPE),
        (failure("It is made in Lund.", of_form("full-match", r"\d{4}-\d{2}-\d{2}")), SHAPE),
        (failure("It is made in Lund.", of_form("full-match", r"\[[A-Z]+\] [^/]+ / [^/]+")), SYNTAX),
        (failure("It is made in Lund.", of_form("is-sql", "duckdb")), SYNTAX),
        (failure("It is made in Lund.", of_form("max-words", 2), of_form("is-sql", "duckdb")), SYNTAX),
        (failure("Lund", of_form("max-words", 2), of_form("is-json")), SHAPE),  # what passes asks for nothing
        (failure("It is made in Lund.", of_form("full-match", "([unclosed")), SHAPE),  # a broken check asks for nothing
        (failure("It is made in Lund.", system="Answer with one word."), TONE),
        (failure("It is made in Lund.", system="Answer in JSON."), SHAPE),
        (failure("It is made in Lund."), SHAPE),
    ],
)
def test_the_most_demanding_check_that_fails_is_the_kind(failed: Failure, kind: str) -> None:
    assert kind_of(failed) == kind


def test_without_checks_the_heaviest_evidence_for_form_decides() -> None:
    def shown(rung: str, weight: float, cause: str = "form") -> Evidence:
        return Evidence(rung, cause, "says so", "", weight)

    plain = failure("It is made in Lund.")
    assert kind_of(plain, [shown("sql", 4.0), shown("constraints", 2.0)]) == SYNTAX
    assert kind_of(plain, [shown("sql", 1.0), shown("constraints", 2.0)]) == TONE
    assert kind_of(plain, [shown("sql", 5.0, "facts"), shown("constraints", 2.0)]) == TONE
    assert kind_of(failure("x", feedback="far too formal for us"), [shown("feedback", 3.0)]) == TONE
    assert kind_of(failure("x", feedback="not the format we asked for"), [shown("feedback", 3.0)]) == SHAPE


def test_an_adapter_is_made_for_the_most_demanding_format_that_is_no_rarity() -> None:
    wordy = [
        failure("It is made in Lund.", of_form("max-words", 2), system="Be brief.", name=f"t{n}") for n in range(30)
    ]
    sql = [failure("It is made in Lund.", of_form("is-sql"), system="Write SQL.", name=f"s{n}") for n in range(10)]
    assert kind_for([*wordy, *sql]) == Kind(SYNTAX, {TONE: 30, SYNTAX: 10})
    assert kind_for([*wordy, *sql[:1]]).name == TONE
    assert "30 tone and style, 10 a syntax of its own" == kind_for([*wordy, *sql]).says
    known = {"a": Diagnosis("a", "form", {}, (Evidence("sql", "form", "another dialect", "", 4.0),))}
    assert kind_for([failure("x")], known).name == SYNTAX and kind_for([failure("x")]).name == SHAPE


def test_bf16_lora_is_taken_with_its_margin_and_the_4_bit_base_below_it() -> None:
    seen = []
    for gib in (12, 14, 16, 18, 20, 22, 24, 32, 48, 80):
        recipe, memory = size(LLAMA, [512] * 100, gpu(gib))
        seen.append(recipe["method"])
        free = 1 - memory.process.likely / (gib * 2**30)
        assert memory.process.high <= gib * 2**30
        assert recipe["method"] == "qlora" or free >= MARGIN
        assert (recipe["quantization"] == "nf4") == (recipe["method"] == "qlora")
        told = " ".join(recipe["why"])
        assert f"{free:.0%} stay free" in told if recipe["method"] == "lora" else "NF4, double quantisation" in told
    assert seen == sorted(seen, reverse=True) and set(seen) == {"lora", "qlora"}


def test_what_makes_it_fit_keeps_the_effective_batch_and_comes_mildest_first() -> None:
    lengths = [900] * 3000
    found = {gib: size(LLAMA, lengths, gpu(gib))[0] for gib in (11, 18, 22, 24, 40, 80, 400)}
    assert {r["batch"] * r["accumulation"] for r in found.values()} == {BATCH[1]}
    assert found[400]["accumulation"] == 1 and not any("to fit" in line for line in found[400]["why"])
    for gib, recipe in found.items():
        # Nothing rougher is done than what is needed: a milder recipe of the same method would not fit.
        milder = [j for j in jobs_before(recipe, lengths) if j.method == recipe["method"]]
        assert not any(sizing._fits(estimate(LLAMA, job), job, gpu(gib)) for job in milder), gib
    assert found[80]["optimizer"] == FUSED and not found[80]["gradient_checkpointing"]
    assert found[24]["gradient_checkpointing"]
    assert found[11]["method"] == "qlora" and "base in 4 bits" in " ".join(found[11]["why"])


def jobs_before(recipe: dict[str, Any], lengths: list[int]) -> list[Job]:
    default = DEFAULTS["syntax"]
    start = Job(
        rank=recipe["rank"], targets=(default.targets,), batch=recipe["batch"] * recipe["accumulation"],
        loss="finetune", upcast="none",
    )  # fmt: skip
    jobs = list(sizing._from_the_mildest(start, [n + sizing.TEMPLATE_TOKENS for n in lengths]))
    same = ("method", "batch", "gradient_checkpointing", "optimizer")
    return jobs[: next(at for at, job in enumerate(jobs) if all(getattr(job, n) == recipe[n] for n in same))]


def test_where_nothing_fits_the_answer_names_the_smallest_run() -> None:
    with pytest.raises(AnswerIsNo, match="GiB") as caught:
        size(LLAMA, [512] * 100, gpu(4))
    assert caught.value.exit_code == 3


def test_the_cap_is_a_value_of_the_row_and_is_said() -> None:
    row = DEFAULTS["shape"]
    per_rank = adapter_params(LLAMA, Job(rank=1, targets=tuple(row.targets.split(","))))
    assert per_rank == 851_968  # 32 layers x (8,192 + 5,120 + 5,120 + 8,192)
    few, _ = size(LLAMA, [500] * 1000, gpu(80), row, completion_tokens=100_000)
    many, _ = size(LLAMA, [500] * 1000, gpu(80), row, completion_tokens=10**8)
    some, _ = size(LLAMA, [500] * 1000, gpu(80), row, completion_tokens=10**6)
    assert few["rank"] == 1 and "the least" in few["why"][1]
    assert many["rank"] == row.rank and not any("capped" in line for line in many["why"])
    assert some["rank"] == rank_cap(per_rank, round(some["epochs"] * 10**6 * 0.9)).rank == 3
    assert "rank capped at 3: 2,555,904 trainable parameters stay below the 2,700,000" in some["why"][1]


@pytest.mark.parametrize("kind", DEFAULTS)
@pytest.mark.parametrize("name", ["gpt2", "pythia-1.4b", "phi-2", "DeepSeek-V3", "Mixtral-8x7B-v0.1", "Qwen3-8B"])
def test_every_kind_of_base_has_the_matrices_of_every_kind_of_form(name: str, kind: str) -> None:
    recipe, memory = size(known(name), [100] * 200, gpu(4000), DEFAULTS[kind], completion_tokens=10**11)
    assert recipe["rank"] == DEFAULTS[kind].rank and memory.trainable_params > 0


def test_all_weights_are_sized_beside_the_adapter_and_take_more() -> None:
    recipe, memory = size(LLAMA, [512] * 100, gpu(80))
    assert recipe["why"][-1].startswith("training all weights in the same batches would take 1")
    assert recipe["method"] == "lora"


def test_the_kind_decides_once_no_row_is_held_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "IN_FORCE", None)
    assert [default_for(Kind(kind, {})).kind for kind in DEFAULTS] == list(DEFAULTS)
    brief = of_form("max-words", 2)
    failures = {f"f{n}": failure("It is made in Lund.", brief, system="Be brief.", name=f"f{n}") for n in range(20)}
    names = tuple(failures)
    found = adapter(names[:15], names[15:], failures, dict.fromkeys(names, "Lund"), Request((), base="embedded"), CPU)
    assert found.recipe["targets"] == "q_proj,v_proj" and found.recipe["asks_for"] == {TONE: 15}
    assert found.recipe["rank"] == 1 and any("completion tokens" in line for line in found.recipe["why"])
    assert len(found.costs["peak_bytes"]) == len(found.costs["seconds"]) == len(found.costs["tokens_per_s"]) == 3


def test_a_base_without_a_shape_gets_the_row_and_says_that_it_was_not_sized() -> None:
    failures = {f"f{n}": failure("It is made in Lund.", of_form("is-sql"), name=f"f{n}") for n in range(20)}
    names = tuple(failures)
    request = Request((), base="nobody/no-such-model")
    found = adapter(names[:15], names[15:], failures, dict.fromkeys(names, "select 1"), request, CPU)
    assert found.recipe["sized"] is False and found.recipe["rank"] == 16 and found.recipe["targets"] == "all-linear"


def test_speed_and_time_agree() -> None:
    shape = shape_for("embedded")
    assert shape is not None
    recipe, _ = size(shape, [90] * 60, CPU)
    seconds, speed = training_s(shape, [90] * 60, recipe, CPU), training_tokens_per_s(shape, recipe, CPU)
    tokens = recipe["epochs"] * (60 * (90 + sizing.TEMPLATE_TOKENS) + 32 * (90 + sizing.TEMPLATE_TOKENS))
    assert seconds and speed and seconds[1] - sizing.LOAD_S == pytest.approx(tokens / speed[1], rel=0.01)


def test_the_ledger_sets_forecast_beside_outcome(tmp_path: Path) -> None:
    planned = Experiment(
        "lora", "weights", "form", ("t",), ("h",), {"does": "x", "steps": 70}, {"fixed": [1, 5, 9], "of": 10},
        {"peak_bytes": [2**30, 2 * 2**30, 3 * 2**30], "seconds": [60, 120, 300], "tokens_per_s": [100, 200, 400]},
        None, "", "", "",
    )  # fmt: skip
    record = {
        "seconds": 350.0,
        "peak_bytes": 2**31,
        "steps": 60,
        "tokens_per_s": 150.5,
        "reliefs": [],
        "forecast": None,
    }
    file = tmp_path / "training.json"
    proof = {"gain": {"fixed": 7}, "verdict": "improved"}
    untrained = entry(planned, proof, file)
    assert [c.label for c in compared(untrained)] == ["fixed"]
    file.write_text(json.dumps(record), encoding="utf-8")
    row = entry(planned, proof, file)
    assert row["outcome"] | {"calibrated": None} == row["outcome"] and row["forecast"]["steps"] == 70
    sides = {found.label: found.side for found in compared(json.loads(json.dumps(row)))}
    wanted = {"fixed": "within", "time": "above", "memory": "within", "steps": "below", "tokens/s": "within"}
    assert sides == wanted


def test_the_forecast_of_the_loss_is_that_of_the_engine() -> None:
    pytest.importorskip("torch")
    from finetune.loss import CHUNK_TOKENS

    assert LOSSES["finetune"].chunk_tokens == CHUNK_TOKENS, "memory_calc and finetune never import each other"
