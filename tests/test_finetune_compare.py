"""compare-bases: bits per byte, the order of bases that are known to differ, saturation, honest forecasts."""

from __future__ import annotations

import json
import math
import random
import runpy
from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from click.testing import CliRunner  # noqa: E402

from finetune.base import load  # noqa: E402
from finetune.batches import pad  # noqa: E402
from finetune.compare import (  # noqa: E402
    Budget,
    Measured,
    bits,
    blocks,
    completion_rows,
    ladder,
    measure,
    rank,
    recipe,
    split,
    spread,
    text_row,
)
from finetune.compare_cli import compare_bases, saturations, sizes  # noqa: E402
from finetune.embedded import embedded_base  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example, tokenize  # noqa: E402
from finetune.general import TEXTS  # noqa: E402
from finetune.saturation import Rung, forecast, saturates  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

STEPS = 120  # of the base's own training


def words(n: int, seed: int) -> list[str]:
    """Invented words: a consonant and a vowel, three times."""
    draw = random.Random(seed)
    return ["".join(draw.choice("bdgklmnprst") + draw.choice("aeiou") for _ in range(3)) for _ in range(n)]


def say(word: str, answer: str) -> Example:
    """One example of a task that is to say a word in a given form."""
    return Example([{"role": "user", "content": f"Say {word}"}], answer, word)


EXAMPLES = [say(word, f"[{word}]") for word in words(24, seed=0)]
QUICK = Budget(steps=24, batch=4, rank=8, learning_rate=5e-3, ladder=False)


@pytest.fixture(scope="module")
def knowing(pico: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pico model that knows something: a little English by heart, and how such tasks are answered."""
    base = load(pico)
    texts = [base.tokenizer(text)["input_ids"] for text in TEXTS]
    model = base.model.float().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    fading = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=STEPS)
    for step in range(STEPS):
        chats = [tokenize(base, say(word, f"({word})"))["input_ids"] for word in words(24, seed=step + 1)]
        rows = [{"input_ids": ids, "labels": ids} for ids in (*texts, sum(chats[:12], []), sum(chats[12:], []))]
        batch = pad(rows, base.tokenizer.pad_token_id)
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        fading.step()
    folder = tmp_path_factory.mktemp("knowing")
    model.to(torch.bfloat16).save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return folder


def noisy(folder: Path, out: Path, rate: float | None) -> Path:
    """A base with noise of so much of each tensor's standard deviation in its weights; None: random weights."""
    from transformers import LlamaForCausalLM

    base = load(folder)
    torch.manual_seed(1)
    model = LlamaForCausalLM(base.model.config) if rate is None else base.model.float()
    if rate is not None:
        with torch.no_grad():
            for weight in model.parameters():
                weight += rate * weight.std() * torch.randn(weight.shape)
    model.to(torch.bfloat16).save_pretrained(out)
    base.tokenizer.save_pretrained(out)
    return out


def measured(name: str, tuned: Sequence[float], general: float, seeds: int = 1) -> Measured:
    """A candidate whose held-out completions took so many bits each, of eight bytes."""
    mean = sum(tuned) / (8 * len(tuned))
    return Measured(name, 1, general, 1.0, mean, tuple(tuned), (8,) * len(tuned), seeds, 1, 1, 1.0, ())


def test_bits_are_those_of_the_counted_tokens_alone(pico: Path) -> None:
    base = load(pico)
    row, n_bytes = text_row(base, "héron by the sea")
    assert n_bytes == len(" by the sea")
    ids = row["input_ids"]
    with torch.inference_mode():
        likely = base.model(input_ids=torch.tensor([ids])).logits[0].float().log_softmax(-1)
    by_hand = -sum(float(likely[at - 1, ids[at]]) for at in range(len(ids) - n_bytes, len(ids))) / math.log(2)
    assert bits(base, [row]) == pytest.approx([by_hand], rel=1e-4)
    # Of a chat the completion counts, and its end of turn.
    chat = completion_rows(base, EXAMPLES[:1], 128)[0]
    assert sum(label != -100 for label in chat["labels"]) == len(EXAMPLES[0].completion) + 1


def test_bits_per_byte_do_not_depend_on_the_tokenizer(pico: Path) -> None:
    # The same uniform guess, told byte by byte or two bytes at a time from a vocabulary squared: equal per byte only.
    base = load(pico)
    for weight in base.model.parameters():
        torch.nn.init.zeros_(weight)
    row, n_bytes = text_row(base, "a quiet sea")
    assert bits(base, [row])[0] / n_bytes == pytest.approx(math.log2(base.model.config.vocab_size))


def test_known_bases_come_in_the_order_that_is_right(knowing: Path, tmp_path: Path) -> None:
    right = [knowing, *(noisy(knowing, tmp_path / str(rate), rate) for rate in (0.01, 0.05, None))]
    found = [measure(str(base), EXAMPLES, tmp_path / "runs", QUICK, lambda line: None) for base in reversed(right)]
    groups = rank(found)
    assert [one.base for group in groups for one in group] == [str(base) for base in right]
    best, worst = groups[0][0], groups[-1][-1]
    assert best.tuned < best.task and best.general + 1 < worst.general
    assert [len(group) for group in groups][-1] == 1, "random weights are told apart on the task itself"
    model = load(knowing).model
    assert best.weights_bytes == sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    assert best.peak_bytes > best.weights_bytes and best.tiny_s > 0


def test_what_the_task_does_not_tell_apart_is_ordered_by_general_text() -> None:
    few = [8.0, 9, 7, 8, 10, 6]
    lucky = measured("lucky", [8.5, 8, 7.5, 7.5, 9.5, 6.5], general=2.0)
    wiser = measured("wiser", few, general=1.0)
    worse = measured("worse", [n + 4 for n in few], general=0.5)
    assert lucky.tuned < wiser.tuned < worse.tuned
    assert [[one.base for one in group] for group in rank([worse, lucky, wiser])] == [["wiser", "lucky"], ["worse"]]
    # A sixth better in every completion may be the luck of one run; of four runs it is not.
    for seeds, apart in ((1, ["wiser", "better"]), (4, ["better", "wiser"])):
        better = measured("better", [n / 1.2 for n in few], general=2.0, seeds=seeds)
        assert [one.base for group in rank([measured("wiser", few, 1.0, seeds), better]) for one in group] == apart


def test_the_ladder_varies_one_thing_at_a_time_and_smaller_choices_lie_in_larger_ones(pico: Path) -> None:
    runs = ladder(30, 64, Budget(rank=16))
    assert runs[0] == Rung(30, 16, 64, 0)
    assert [(run.layers, run.rank) for run in runs if run.examples == 64][1:] == [
        *((layers, 1) for layers in (1, 2, 4, 8, 16)),
        *((30, rank) for rank in (1, 4)),
    ]
    assert [run.examples for run in runs if (run.layers, run.rank) == (30, 16)] == [64, 8, 16, 32]
    for n in (1, 2, 7, 30):
        assert spread(n, n) == list(range(n))
        assert all(set(spread(n, k)) < set(spread(n, k + 1)) for k in range(1, n))
    names = blocks(load(pico).model)
    assert len(names) == 2 and all(len(layer) == 7 for layer in names)
    assert recipe(Rung(1, 1, 8, 0), names, Budget()).targets == ",".join(names[1])


def test_no_example_is_both_taught_and_held_out() -> None:
    taught, held = split([*EXAMPLES, *EXAMPLES], Budget())
    assert len(taught) + len(held) == len(EXAMPLES) and len(held) == 8
    assert not {e.id for e in taught} & {e.id for e in held}
    with pytest.raises(FinetuneError, match="examples: 7 that can be compared on; allowed: at least 8"):
        split(EXAMPLES[:7], Budget())


def test_the_gain_saturates_at_the_smallest_size_with_nine_tenths_of_it() -> None:
    found = saturates([(1, 0.8), (4, 0.15), (16, 0.05), (64, 0.0)], untrained=1.0)
    assert (found.at, found.smallest, found.largest) == (16, False, False)
    assert saturates([(1, 0.05), (4, 0.0)], 1.0).smallest
    assert saturates([(1, 0.9), (4, 0.5)], 1.0).largest
    assert saturates([(1, 0.6), (1, 1.0), (4, 0.1)], 1.0).at == 4, "of several runs of a size the mean counts"
    assert saturates([(1, 1.2), (4, 1.1)], 1.0).at is None


@pytest.mark.parametrize("curve", [lambda n: 2 - 0.15 * math.log(n), lambda n: 3 * n**-0.2])
def test_a_forecast_finds_what_a_larger_run_took(curve: object) -> None:
    seen = [(n, curve(n)) for n in (1000, 2000, 4000, 8000)]  # type: ignore[operator]
    found = forecast(seen, curve(32000))  # type: ignore[operator]
    assert not found.refused and 0.5 < found.likely / 32000 < 2
    assert found.low <= found.likely <= found.high


def test_a_forecast_that_cannot_be_made_says_why() -> None:
    flat = [(1000, 0.5), (2000, 0.51), (4000, 0.49), (8000, 0.505)]
    falling = [(1000, 0.9), (2000, 0.8), (4000, 0.7), (8000, 0.6)]
    assert "does not fall" in forecast(flat, 0.3).refused
    assert "3 sizes were run, 4 are needed" in forecast(falling[:3], 0.3).refused
    assert "better already" in forecast(falling, 0.95).refused
    assert "allow all from" in forecast([(1000, 0.9), (2000, 0.6), (4000, 0.8), (8000, 0.55)], 0.1).refused
    assert forecast(falling, 0).refused


def test_the_command_shows_a_table_and_carries_on_where_it_was(knowing: Path, tmp_path: Path) -> None:
    file = tmp_path / "examples.jsonl"
    rows = [{"messages": list(e.messages), "completion": e.completion} for e in EXAMPLES]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    knobs = ["--steps", "6", "--batch", "4", "--rank", "4", "--learning-rate", "5e-3", "--out", str(tmp_path / "runs")]
    call = [str(knowing), "--examples", str(file), *knobs, "--target", "0.5"]
    told = CliRunner().invoke(compare_bases, [*call, "--json"])
    assert told.exit_code == 0, told.output
    (one,) = json.loads(told.stdout)
    assert one["base"] == str(knowing) and one["group"] == 1 and 0 < one["tuned"] < one["task"]
    assert {rung["trainable"] for rung in one["rungs"]} > {one["rungs"][0]["trainable"]}
    assert set(one["saturates"]) == {"parameters", "rank", "examples"}
    assert one["forecast"]["target"] == 0.5
    written = {f: f.stat().st_mtime_ns for f in (tmp_path / "runs").rglob("*.safetensors")}
    shown = CliRunner().invoke(compare_bases, call)
    assert shown.exit_code == 0, shown.output
    assert (
        "best first" in shown.output and f"{one['tuned']:.3f}" in shown.output and "0.5 bits per byte" in shown.output
    )
    assert {f: f.stat().st_mtime_ns for f in (tmp_path / "runs").rglob("*.safetensors")} == written, "trained anew"


def test_wrong_input_gets_one_line(pico: Path, tmp_path: Path) -> None:
    file = tmp_path / "examples.jsonl"
    file.write_text("\n".join(json.dumps({"prompt": f"Say {n}", "completion": str(n)}) for n in range(9)))
    for words, line in (
        ([str(tmp_path / "none")], "no such model folder"),
        ([str(pico), str(pico)], "twice; allowed: each candidate once"),
        ([str(pico), "--steps", "0"], "steps: 0; allowed: a whole number from 1"),
        ([str(pico), "--max-tokens", "5"], "allowed: up to 5; fix: --max-tokens"),
    ):
        told = CliRunner().invoke(compare_bases, [*words, "--examples", str(file)])
        assert told.exit_code in (1, 2) and not isinstance(told.exception, FinetuneError), told.output
        assert line in told.output and "Traceback" not in told.output


@pytest.mark.slow
def test_the_embedded_base_its_twins_and_the_parameters_that_reach_a_loss(tmp_path: Path) -> None:
    try:
        embedded_base()
    except FinetuneError as problem:
        pytest.skip(str(problem))
    claim = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "compare_bases.py"))
    examples = claim["form_examples"](48)
    right = ["embedded", *claim["twins"]("embedded", tmp_path)]
    budget = Budget(steps=16, batch=4)
    quick = Budget(steps=16, batch=4, ladder=False)
    found = [measure(base, examples, tmp_path / "runs", quick, print) for base in reversed(right)]
    assert [one.base for group in rank(found) for one in group] == right
    climbed = measure("embedded", examples, tmp_path / "runs", budget, print)
    assert saturations(climbed)["parameters"].at in [size for size, _ in sizes(climbed)]
    told = [row for row in claim["forecasts"](climbed) if not row["refused"]]
    assert told and all(0.5 <= row["likely"] / row["actual"] <= 2 for row in told)
