"""The engine of a run: the loss in chunks, rows without pads, whole batches, other heads; each against plain torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("peft")

from torch.nn.functional import cross_entropy, kl_div, log_softmax  # noqa: E402

from finetune import loss as losses  # noqa: E402
from finetune.base import load  # noqa: E402
from finetune.batches import IGNORED, flatten, pad  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example, tokenize, tokenize_all  # noqa: E402
from finetune.layout import choose_layout, distance  # noqa: E402
from finetune.loss import Head, summed, teach  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402
from finetune.replay import own_answers  # noqa: E402
from finetune.train import train  # noqa: E402
from finetune.trainer import counted  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

EXAMPLES = [
    Example([{"role": "user", "content": f"Is {word} one?"}], f"YES, {word.upper()}", word)
    for word in "red blue green black white pink grey gold".split()
]


def test_the_loss_in_chunks_is_the_loss_with_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against one matrix of all logits, of a head that is trained too."""
    torch.manual_seed(0)
    head = torch.nn.Linear(6, 11)
    hidden, labels = torch.randn(23, 6, requires_grad=True), torch.randint(11, (23,))
    whole = cross_entropy(head(hidden), labels, reduction="sum")
    wanted = torch.autograd.grad(whole, [hidden, head.weight, head.bias])
    monkeypatch.setattr(losses, "CHUNK_TOKENS", 5)
    ours = summed(
        hidden, lambda part, at: cross_entropy(head(part), labels[at], reduction="sum"), [head.weight, head.bias]
    )
    got = torch.autograd.grad(3 * ours, [hidden, head.weight, head.bias])
    assert float(ours) == pytest.approx(float(whole), rel=1e-5)
    for one, other in zip(got, wanted, strict=True):
        assert torch.allclose(one, 3 * other, atol=1e-4)


def plain_loss(base: object, rows: list[dict], replayed: list[dict], weight: float) -> float:
    """The same objective from whole logits of one row at a time: nothing of the engine in it."""
    model = base.model  # type: ignore[attr-defined]
    nll, divergence, n_taught, n_kept = 0.0, 0.0, 0, 0
    with torch.no_grad():
        for row in rows:
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].float()
            labels = torch.tensor(row["labels"][1:])
            nll += float(cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
            n_taught += int((labels != IGNORED).sum())
        for row in replayed:
            logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].float()
            old = (row["teacher"][:-1].float() @ model.get_output_embeddings().weight.float().T).float()
            divergence += float(kl_div(log_softmax(logits, -1), log_softmax(old, -1), log_target=True, reduction="sum"))
            n_kept += len(logits)
    return nll / n_taught + (weight * divergence / n_kept if n_kept else 0.0)


@pytest.mark.parametrize("layout", ["padding-free", "grouped"])
def test_a_batch_has_the_loss_of_its_rows(pico: Path, layout: str) -> None:
    base = load(pico)
    base.model.float()  # so that what differs is the engine and not the rounding
    rows, _ = tokenize_all(base, EXAMPLES, 128)
    replayed = []
    for row in tokenize_all(base, own_answers(base, 2), 512)[0]:
        with torch.no_grad():
            hidden = base.model.base_model(input_ids=torch.tensor([row["input_ids"]])).last_hidden_state[0]
        replayed.append({**row, "teacher": hidden + 0.1})  # another base than this one: a divergence above 0
    wanted = plain_loss(base, rows, replayed, 5.0)
    assert choose_layout(base.model, rows, layout) == layout
    teach(base.model, 5.0, frozen_head=True)
    batch = flatten([*rows, *replayed]) if layout == "padding-free" else pad([*rows, *replayed], 0)
    n_taught, n_kept = counted([batch])
    with torch.no_grad():
        ours = float(base.model(**batch, n_taught=n_taught, n_kept=n_kept)["loss"])
    assert ours == pytest.approx(wanted, rel=1e-4)
    parts = 0.0
    for some in ([*rows[:3], replayed[0]], [*rows[3:], replayed[1]]):
        batch = flatten(some) if layout == "padding-free" else pad(some, 0)
        with torch.no_grad():
            parts += float(base.model(**batch, n_taught=n_taught, n_kept=n_kept)["loss"])
    assert parts == pytest.approx(ours, rel=1e-5), "micro-batches of unequal size add up to the batch"


def test_documents_in_one_row_do_not_see_each_other(pico: Path) -> None:
    base = load(pico)
    base.model.float()
    rows, _ = tokenize_all(base, EXAMPLES[:3], 128)
    assert choose_layout(base.model, rows, "auto") == "padding-free"
    assert distance(base.model, rows) < 1e-4


def test_a_window_shorter_than_a_document_is_padded_not_lost(tmp_path: Path, pico: Path) -> None:
    config = json.loads((pico / "config.json").read_text())
    kept = {k: v for k, v in config.items() if k not in ("model_type", "architectures", "transformers_version")}
    model = transformers.MistralForCausalLM(transformers.MistralConfig(**kept | {"sliding_window": 8}))
    rows = [tokenize(load(pico), example) for example in EXAMPLES]
    assert choose_layout(model, rows, "auto") == "grouped"
    with pytest.raises(FinetuneError, match="padding-free"):
        choose_layout(model, rows, "padding-free")


@pytest.mark.parametrize("knob", ["final_logit_softcapping", "logits_scaling", "logit_scale", "unknown"])
def test_a_head_that_scales_or_caps_its_logits_is_read_as_the_model_reads_it(pico: Path, knob: str) -> None:
    from finetune.train import _head_is_plain

    sizes = dict(vocab_size=259, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                 num_key_value_heads=2, max_position_embeddings=128, pad_token_id=0)  # fmt: skip
    torch.manual_seed(0)
    if knob == "final_logit_softcapping":
        config = transformers.Gemma2Config(**sizes, head_dim=8, final_logit_softcapping=0.05)
        model = transformers.Gemma2ForCausalLM(config)
    elif knob == "logits_scaling":
        model = transformers.GraniteForCausalLM(transformers.GraniteConfig(**sizes, logits_scaling=7.0))
    elif knob == "logit_scale":
        model = transformers.CohereForCausalLM(transformers.CohereConfig(**sizes, logit_scale=0.1))
    else:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes))
        bare = transformers.LlamaForCausalLM.forward

        class Odd(transformers.LlamaForCausalLM):
            def forward(self, *given, **known):  # type: ignore[no-untyped-def]
                out = bare(self, *given, **known)
                out.logits = out.logits * 3 + 1
                return out

        model.__class__ = Odd
    model.eval()
    row = {"input_ids": [5, 6, 7, 8, 9], "labels": [IGNORED, IGNORED, 7, 8, 9]}
    assert _head_is_plain(model, row) == (knob != "unknown")
    whole = knob == "unknown"
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0, :-1].float()
    wanted = float(cross_entropy(logits, torch.tensor(row["labels"][1:]), ignore_index=IGNORED))
    teach(model, 0.0, frozen_head=True, whole=whole)
    with torch.no_grad():
        ours = float(model(**pad([row], 0), n_taught=3, n_kept=1)["loss"])
    assert ours == pytest.approx(wanted, rel=1e-4)
    assert isinstance(Head(model).original.func, type(transformers.LlamaForCausalLM.forward))


def test_half_the_batch_with_twice_the_accumulation_trains_the_same(pico: Path, tmp_path: Path) -> None:
    losses_ = []
    for batch, accumulation in ((4, 1), (1, 4)):
        recipe = Recipe(
            rank=4, epochs=3, batch=batch, accumulation=accumulation, learning_rate=1e-2, replay=2, max_tokens=512
        )
        losses_.append(train(pico, EXAMPLES, tmp_path / str(batch), recipe).losses)
    assert losses_[0] == pytest.approx(losses_[1], rel=2e-2)
