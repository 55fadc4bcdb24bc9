"""Training a LoRA adapter: what is learned, what is refused, and that a killed run carries on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from finetune.answer import answerer, render, text_loss  # noqa: E402
from finetune.base import load  # noqa: E402
from finetune.batches import IGNORED, flatten, pad  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example, tokenize, tokenize_all  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402
from finetune.replay import own_answers  # noqa: E402
from finetune.train import train  # noqa: E402
from finetune.watch import Step  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

QUESTION = [{"role": "system", "content": "Say it in caps."}, {"role": "user", "content": "red"}]
EXAMPLES = [
    Example([{"role": "user", "content": f"Is {word} one?"}], "YES", word)
    for word in "red blue green black white pink grey gold".split()
]
RECIPE = Recipe(rank=8, epochs=12, batch=4, learning_rate=1e-2, replay=2, max_tokens=128)


def test_only_the_completion_is_trained_and_the_model_learns_to_stop(pico: Path) -> None:
    base = load(pico)
    row = tokenize(base, Example(QUESTION, "RED"))
    trained = [label for label in row["labels"] if label != IGNORED]
    assert base.tokenizer.decode(trained) == "RED<|im_end|>"
    assert base.tokenizer.decode(row["input_ids"][: -len(trained)]) == render(base, QUESTION)


def test_padding_is_neither_seen_nor_trained() -> None:
    rows = [{"input_ids": [5, 6], "labels": [IGNORED, 6]}, {"input_ids": [7], "labels": [7]}]
    batch = pad(rows, pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 6], [7, 0]]
    assert batch["targets"].tolist() == [[6, IGNORED], [IGNORED, IGNORED]], "nothing follows a last token"
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    flat = flatten(rows)
    assert flat["input_ids"].tolist() == [[5, 6, 7]]
    assert flat["targets"].tolist() == [[6, IGNORED, IGNORED]], "no document teaches the next one's first token"
    assert flat["position_ids"].tolist() == [[0, 1, 0]]


def test_examples_that_cannot_be_trained_on_are_named_never_cut(pico: Path) -> None:
    base = load(pico)
    rows, dropped = tokenize_all(
        base, [EXAMPLES[0], Example(QUESTION, " ", "empty"), Example(QUESTION, "X" * 400, "long")], 128
    )
    assert len(rows) == 1
    assert {d.id for d in dropped} == {"empty", "long"}
    assert "128" in next(d.reason for d in dropped if d.id == "long")


def test_a_run_learns_its_examples_and_leaves_the_base_alone(pico: Path, tmp_path: Path) -> None:
    weights = (pico / "model.safetensors").read_bytes()
    seen: list[tuple[int, int]] = []
    trained = train(pico, EXAMPLES, tmp_path / "adapter", RECIPE, progress=lambda at: seen.append((at.step, at.steps)))
    assert trained.validation_loss < trained.validation_loss_before - 1
    assert seen[-1][0] == seen[-1][1] == trained.steps
    assert (pico / "model.safetensors").read_bytes() == weights
    assert json.loads((tmp_path / "adapter" / "training.json").read_text())["n_examples"] == len(EXAMPLES)
    assert not list(tmp_path.glob(".adapter.work"))
    assert not list((tmp_path / "adapter").glob("*.bin")) and not list((tmp_path / "adapter").glob("*.pt"))
    tuned = load(pico, adapter=tmp_path / "adapter")
    learned = [base_loss(tuned, e) < base_loss(load(pico), e) - 1 for e in EXAMPLES]
    assert all(learned)
    again = train(pico, EXAMPLES, tmp_path / "adapter", RECIPE, progress=lambda *_: pytest.fail("trained again"))
    assert again.validation_loss == trained.validation_loss


def test_replayed_rows_hold_the_adapted_model_to_the_base(pico: Path, tmp_path: Path) -> None:
    """The same run moves less on the replayed rows the more it is held to the base there: KL, computed here anew."""
    untouched = load(pico)
    rows = [tokenize(untouched, example) for example in own_answers(untouched, 8)]

    def divergence(weight: float) -> float:
        recipe = Recipe(rank=8, epochs=12, batch=4, learning_rate=5e-3, replay=8, max_tokens=512, keep_weight=weight)
        train(pico, EXAMPLES, tmp_path / f"weight-{weight}", recipe)
        tuned = load(pico, adapter=tmp_path / f"weight-{weight}")
        total = 0.0
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            with torch.no_grad():
                old = torch.log_softmax(untouched.model(input_ids=ids).logits.double(), -1)
                new = torch.log_softmax(tuned.model(input_ids=ids).logits.double(), -1)
            total += float((old.exp() * (old - new)).sum(-1).mean())
        return total / len(rows)

    assert divergence(20.0) < 0.5 * divergence(0.0)


def test_checkpointing_changes_the_memory_not_the_result(pico: Path, tmp_path: Path) -> None:
    losses = []
    for checkpointing in (False, True):
        recipe = Recipe(rank=4, epochs=2, batch=4, replay=2, max_tokens=256, gradient_checkpointing=checkpointing)
        losses.append(train(pico, EXAMPLES, tmp_path / str(checkpointing), recipe).validation_loss)
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def base_loss(base: object, example: Example) -> float:
    """Loss of the completion given its prompt, computed here without the Trainer."""
    row = tokenize(base, example)  # type: ignore[arg-type]
    ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
    with torch.no_grad():
        return float(base.model(input_ids=ids, labels=labels).loss)  # type: ignore[attr-defined]


def test_a_killed_run_carries_on_and_ends_where_an_unbroken_one_does(pico: Path, tmp_path: Path) -> None:
    recipe = Recipe(rank=4, epochs=4, batch=4, learning_rate=1e-2, replay=0, max_tokens=128)
    whole = train(pico, EXAMPLES, tmp_path / "whole", recipe)

    class Killed(BaseException):
        pass

    def kill(at: Step) -> None:
        if at.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(pico, EXAMPLES, tmp_path / "broken", recipe, progress=kill)
    assert not (tmp_path / "broken").exists()
    steps: list[int] = []
    resumed = train(pico, EXAMPLES, tmp_path / "broken", recipe, progress=lambda at: steps.append(at.step))
    assert steps[0] > 1, "it began anew"
    assert resumed.validation_loss == pytest.approx(whole.validation_loss, rel=1e-3)


def test_nf4_trains_on_fresh_weights_after_the_base_has_generated(pico: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    recipe = Recipe(rank=8, epochs=12, batch=4, learning_rate=1e-2, replay=2, max_tokens=128, quantization="nf4")
    trained = train(pico, EXAMPLES, tmp_path / "adapter", recipe)
    assert trained.recipe.quantization == "nf4"
    assert trained.validation_loss < trained.validation_loss_before - 0.5


def test_an_answer_depends_on_its_question_not_on_its_neighbours(pico: Path) -> None:
    answer = answerer(load(pico), max_new_tokens=8, batch=4)
    questions = [[{"role": "user", "content": text}] for text in ("a", "a much longer question than the first", "b")]
    together = answer(questions)
    assert len(together) == 3
    assert answer(list(reversed(questions))) == list(reversed(together))


def test_text_loss_is_the_mean_negative_log_likelihood(pico: Path) -> None:
    base = load(pico)
    text = "The harbour was quiet."
    ids = base.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logs = torch.log_softmax(base.model(input_ids=ids).logits.float(), dim=-1)
    by_hand = -logs[0, :-1].gather(1, ids[0, 1:, None]).mean().item()
    assert text_loss(base, [text])[0] == pytest.approx(by_hand, rel=2e-2)


@pytest.mark.parametrize(
    ("base", "says"),
    [
        ("./nowhere", "no such model folder"),
        ("a/b/c", "no such model folder"),
        ("someorg/some-model-that-is-not-here", "cannot be loaded"),
    ],
)
def test_an_unknown_base_is_one_line(base: str, says: str) -> None:
    with pytest.raises(FinetuneError) as caught:
        load(base)
    assert says in caught.value.message and "\n" not in caught.value.message


def test_an_adapter_with_pickled_weights_is_refused(pico: Path, tmp_path: Path) -> None:
    recipe = Recipe(rank=2, epochs=1, batch=8, replay=0, max_tokens=128)
    train(pico, EXAMPLES, tmp_path / "adapter", recipe)
    shutil.move(tmp_path / "adapter" / "adapter_model.safetensors", tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(FinetuneError, match="safetensors"):
        load(pico, adapter=tmp_path / "adapter")


def test_a_recipe_without_sense_is_one_line() -> None:
    with pytest.raises(FinetuneError, match="rank") as caught:
        Recipe(rank=0)
    assert caught.value.exit_code == 2
