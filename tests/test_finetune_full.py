"""Training all weights, training until a question is answered, and training on plain text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from click.testing import CliRunner  # noqa: E402

from finetune.answer import answerer, text_loss  # noqa: E402
from finetune.base import Base, load  # noqa: E402
from finetune.batches import IGNORED  # noqa: E402
from finetune.cli import finetune  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example, tokenize, tokenize_all  # noqa: E402
from finetune.formats import read_examples  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402
from finetune.replay import own_answers  # noqa: E402
from finetune.train import train  # noqa: E402
from finetune.watch import Step  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

EXAMPLES = [
    Example([{"role": "user", "content": f"Is {word} one?"}], "YES", word)
    for word in "red blue green black white pink grey gold".split()
]
FULL = Recipe(method="full", epochs=12, batch=4, learning_rate=3e-3, replay=2, max_tokens=128)
LORA = Recipe(rank=8, epochs=40, batch=4, learning_rate=1e-2, replay=0, max_tokens=128, validation_rate=0)
TEXT = "The harbour of Elmsworth opens at five and closes at nine. Boats pay four crowns a night."


class Killed(BaseException):
    pass


def says_yes(base: Base) -> bool:
    return all(text == "YES" for text in answerer(base, max_new_tokens=4)([e.messages for e in EXAMPLES]))


def test_a_full_run_writes_a_model_that_is_a_base_of_its_own(pico: Path, tmp_path: Path) -> None:
    weights = (pico / "model.safetensors").read_bytes()
    trained = train(pico, EXAMPLES, tmp_path / "whole", FULL)
    assert trained.trainable == trained.parameters == load(pico).model.num_parameters()
    assert (pico / "model.safetensors").read_bytes() == weights
    assert not list(tmp_path.glob("**/*.bin")) and not list(tmp_path.glob("**/*.pt"))
    tuned = load(trained.folder)  # as any other base, without a word about adapters
    assert tuned.model.dtype == torch.bfloat16
    rows = [tokenize(tuned, example) for example in EXAMPLES]
    moved = []
    for before, after in zip(load(pico).model.parameters(), tuned.model.parameters(), strict=True):
        moved.append(not torch.equal(before, after))
    assert sum(moved) > 0.9 * len(moved), "most tensors are as they were: not all weights were trained"
    for row in rows:
        with torch.no_grad():
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
            assert (
                tuned.model(input_ids=ids, labels=labels).loss < load(pico).model(input_ids=ids, labels=labels).loss - 1
            )
    assert json.loads((trained.folder / "training.json").read_text())["recipe"]["method"] == "full"
    train(trained.folder, EXAMPLES, tmp_path / "adapter-on-it", replace(LORA, epochs=1))


def test_a_full_run_is_held_to_the_untouched_base_on_replayed_rows(pico: Path, tmp_path: Path) -> None:
    """KL(base || tuned) on the base's own answers, computed here anew, falls with the weight that is put on it."""
    untouched = load(pico)
    rows = [tokenize(untouched, example) for example in own_answers(untouched, 8)]

    def divergence(weight: float) -> float:
        recipe = replace(FULL, replay=8, max_tokens=512, keep_weight=weight)
        tuned = load(train(pico, EXAMPLES, tmp_path / f"weight-{weight}", recipe).folder)
        total = 0.0
        for row in rows:
            ids = torch.tensor([row["input_ids"]])
            with torch.no_grad():
                old = torch.log_softmax(untouched.model(input_ids=ids).logits.double(), -1)
                new = torch.log_softmax(tuned.model(input_ids=ids).logits.double(), -1)
            total += float((old.exp() * (old - new)).sum(-1).mean())
        return total / len(rows)

    assert divergence(20.0) < 0.5 * divergence(0.0)


def test_a_killed_full_run_carries_on_and_ends_where_an_unbroken_one_does(pico: Path, tmp_path: Path) -> None:
    recipe = replace(FULL, epochs=4, replay=0)
    whole = train(pico, EXAMPLES, tmp_path / "whole", recipe)

    def kill(at: Step) -> None:
        if at.step == 5:
            raise Killed

    with pytest.raises(Killed):
        train(pico, EXAMPLES, tmp_path / "broken", recipe, progress=kill)
    steps: list[int] = []
    resumed = train(pico, EXAMPLES, tmp_path / "broken", recipe, progress=lambda at: steps.append(at.step))
    assert steps[0] > 1, "it began anew"
    assert resumed.validation_loss == pytest.approx(whole.validation_loss, rel=1e-3)


def test_the_rate_of_a_full_run_is_a_tenth_and_four_bits_are_refused() -> None:
    assert Recipe().learning_rate == 3e-4
    assert Recipe(method="full").learning_rate == pytest.approx(Recipe().learning_rate / 10)
    assert Recipe(method="qlora", quantization="nf4").learning_rate == 3e-4
    for wrong in ({"method": "full", "quantization": "nf4"}, {"method": "qlora"}, {"method": "prefix"}):
        with pytest.raises(FinetuneError, match="allowed: ") as caught:
            Recipe(**wrong)  # type: ignore[arg-type]
        assert caught.value.exit_code == 2 and "\n" not in caught.value.message


def test_training_ends_when_the_question_is_answered(pico: Path, tmp_path: Path) -> None:
    asked: list[bool] = []

    def until(base: Base) -> bool:
        assert not base.model.training
        asked.append(says_yes(base))
        return asked[-1]

    trained = train(pico, EXAMPLES, tmp_path / "adapter", LORA, until=until)
    assert trained.stopped == "until" and asked == [False] * (trained.epochs - 1) + [True]
    assert 1 < trained.epochs < LORA.epochs and trained.steps == 2 * trained.epochs
    assert says_yes(load(pico, adapter=trained.folder)), "what is kept is not what was asked"
    again = train(pico, EXAMPLES, tmp_path / "adapter", LORA, until=lambda _: pytest.fail("asked again"))
    assert (again.stopped, again.epochs) == ("until", trained.epochs)


def test_training_that_never_answers_ends_with_its_epochs(pico: Path, tmp_path: Path) -> None:
    asked: list[int] = []
    recipe = replace(LORA, epochs=3)
    trained = train(pico, EXAMPLES, tmp_path / "adapter", recipe, until=lambda _: asked.append(1) is not None)
    assert (trained.stopped, trained.epochs, len(asked)) == ("epochs", 3, 3)
    assert train(pico, EXAMPLES, tmp_path / "plain", recipe).stopped == "epochs"


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_run_killed_while_it_is_asked_is_asked_again_and_ends_the_same(
    pico: Path, tmp_path: Path, method: str
) -> None:
    recipe = replace(LORA, method=method, learning_rate=1e-2 if method == "lora" else 3e-3)
    whole = train(pico, EXAMPLES, tmp_path / "whole", recipe, until=says_yes)
    asked: list[int] = []

    def killed(base: Base) -> bool:
        asked.append(1)
        if len(asked) == whole.epochs:
            raise Killed  # just when it would have been true
        return says_yes(base)

    with pytest.raises(Killed):
        train(pico, EXAMPLES, tmp_path / "broken", recipe, until=killed)
    again: list[bool] = []

    def until(base: Base) -> bool:
        again.append(says_yes(base))
        return again[-1]

    resumed = train(pico, EXAMPLES, tmp_path / "broken", recipe, until=until)
    assert again == [True], "it began anew, or went on without having been asked"
    assert (resumed.stopped, resumed.epochs) == ("until", whole.epochs)
    assert resumed.validation_loss == pytest.approx(whole.validation_loss, rel=1e-3)


def test_an_nf4_base_is_asked_while_it_trains_and_goes_on_learning(pico: Path, tmp_path: Path) -> None:
    """What has generated on a CPU in eval mode trains nothing any more: it is asked otherwise."""
    pytest.importorskip("bitsandbytes")
    asked: list[str] = []

    def until(base: Base) -> bool:
        asked.append(answerer(base, max_new_tokens=4)([EXAMPLES[0].messages])[0])
        return len(asked) == 6

    recipe = replace(LORA, quantization="nf4", epochs=8)
    trained = train(pico, EXAMPLES, tmp_path / "adapter", recipe, until=until)
    assert trained.stopped == "until" and len(asked) == 6
    halves = trained.losses[: len(trained.losses) // 2], trained.losses[len(trained.losses) // 2 :]
    assert max(halves[1]) < min(halves[0]), "it goes on learning after it was asked"


def test_plain_text_is_trained_on_whole_in_chunks_of_like_length(pico: Path) -> None:
    base = load(pico)
    ids = base.tokenizer(TEXT)["input_ids"]
    rows, dropped = tokenize_all(base, [Example([], TEXT, "text")], 30)
    assert not dropped and [token for row in rows for token in row["input_ids"]] == ids
    assert all(row["labels"] == row["input_ids"] and IGNORED not in row["labels"] for row in rows)
    lengths = [len(row["input_ids"]) for row in rows]
    assert len(rows) == -(-len(ids) // 30) and max(lengths) <= 30 and max(lengths) - min(lengths) <= 1
    rows, dropped = tokenize_all(base, [Example([], " ", "empty"), Example([], "a", "single")], 30)
    assert not rows and {d.id for d in dropped} == {"empty", "single"}


def test_what_is_learned_from_plain_text_is_the_text(pico: Path, tmp_path: Path) -> None:
    before = text_loss(load(pico), [TEXT])[0]
    recipe = replace(FULL, epochs=30, max_tokens=48, replay=0, validation_rate=0)
    trained = train(pico, [Example([], TEXT, "text"), EXAMPLES[0]], tmp_path / "adapter", recipe)
    assert trained.n_examples == 2 and trained.completion_tokens > 30 * (len(TEXT) - 2)
    assert text_loss(load(trained.folder), [TEXT])[0] < before - 1


def test_without_a_validation_part_every_row_is_trained_on(pico: Path, tmp_path: Path) -> None:
    steps = {
        rate: train(pico, EXAMPLES, tmp_path / str(rate), replace(LORA, epochs=1, batch=1, validation_rate=rate)).steps
        for rate in (0.0, 0.5)
    }
    assert steps == {0.0: 8, 0.5: 4}


def test_a_folder_of_another_run_is_not_taken_for_this_one(pico: Path, tmp_path: Path) -> None:
    recipe = replace(LORA, epochs=1)
    train(pico, EXAMPLES, tmp_path / "adapter", recipe)
    with pytest.raises(FinetuneError, match="another recipe"):
        train(pico, EXAMPLES, tmp_path / "adapter", replace(recipe, method="full"))
    (tmp_path / "adapter" / "training.json").write_text('{"adapter": "adapter"}')
    with pytest.raises(FinetuneError, match="another version"):
        train(pico, EXAMPLES, tmp_path / "adapter", recipe)


def test_the_command_trains_all_weights_on_chat_and_text(pico: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        json.dumps({"text": TEXT})
        + "\n"
        + json.dumps({"prompt": "Is red one?", "completion": "YES", "id": "red"})
        + "\n"
    )
    assert read_examples(rows) == [
        Example([], TEXT, "rows.jsonl:1"), Example([{"role": "user", "content": "Is red one?"}], "YES", "red")
    ]  # fmt: skip
    out = tmp_path / "model"
    call = ["train", str(rows), "--base", str(pico), "--out", str(out), "--method", "full", "--epochs", "1", "--json"]
    result = CliRunner().invoke(finetune, call)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["recipe"]["learning_rate"] == 5e-5 and record["trainable"] == record["parameters"]
    assert answerer(load(out), max_new_tokens=4)([EXAMPLES[0].messages])
    refused = CliRunner().invoke(finetune, [*call, "--quantization", "nf4"])
    assert refused.exit_code == 2 and "nf4 with method full" in refused.stderr
    rows.write_text('{"text": []}\n')
    assert "rows.jsonl:1: " in CliRunner().invoke(finetune, call).stderr
