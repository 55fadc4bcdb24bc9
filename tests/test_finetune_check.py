"""The gate before training: each check says no to its fault, in the line that a user sees, with exit code 3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from click.testing import CliRunner  # noqa: E402

from finetune import attention, batches, examples, layout, trainer  # noqa: E402
from finetune import train as engine  # noqa: E402
from finetune.answer import answerer  # noqa: E402
from finetune.base import load  # noqa: E402
from finetune.batches import IGNORED  # noqa: E402
from finetune.check_cli import CHECKS, check  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example  # noqa: E402
from finetune.gate import inspect, require  # noqa: E402
from finetune.masks import Span, coloured, plain, spans  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402
from finetune.rehearsal import check_gradients, rehearse, rehearsing  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

SYSTEM = {"role": "system", "content": "Say it in caps."}
WORDS = "red blue green black white pink grey gold".split()
ROWS = [
    {"id": word, "messages": [SYSTEM, {"role": "user", "content": word * n}], "completion": (word * n).upper()}
    for n, word in enumerate(WORDS, start=1)
]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Ask = Callable[..., tuple[int, dict[str, str], str]]


@pytest.fixture
def ask(pico: Path, tmp_path: Path) -> Ask:
    """Run the command: its exit code, its line of each check, and all of its output."""

    def ask(*flags: str, rows: Sequence[dict[str, Any]] = ROWS, base: Path = pico) -> tuple[int, dict[str, str], str]:
        file = tmp_path / "examples.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        result = CliRunner().invoke(check, [str(file), "--base", str(base), *flags])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.output
        words = [line.split(" ", 2) for line in result.output.splitlines() if line[:3] in ("ok ", "NO ")]
        return result.exit_code, {name.rstrip(":"): f"{word} {says}" for word, name, says in words}, result.output

    return ask


@pytest.fixture
def changed(pico: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the pico base with another chat template, or other words in one of its JSON files."""

    def changed(template: str = "", file: str = "", **words: Any) -> Path:
        folder = tmp_path / "changed"
        shutil.copytree(pico, folder)
        if template:
            (folder / "chat_template.jinja").write_text(template)
        if file:
            path = folder / file
            path.write_text(json.dumps({**json.loads(path.read_text()), **words}))
        return folder

    return changed


def test_sound_examples_pass_every_check(ask: Ask) -> None:
    code, lines, output = ask()
    assert code == 0 and tuple(lines) == CHECKS
    assert all(line.startswith("ok ") for line in lines.values())
    assert "8 rows, p50 " in lines["lengths"] and "none over the base's context of 512" in lines["lengths"]
    assert lines["end"] == "ok <|im_end|> (2) is trained in 8 of 8 rows that end"
    assert lines["render"] == "ok 8 of 8 rows are trained byte for byte as served"
    assert "14 of 14 adapter B gradients flow" in lines["gradients"]
    assert "in one row without pads" in lines["documents"]
    assert "no forecast was given" in lines["memory"]
    assert "⟦RED<|im_end|>⟧" in output and output.rstrip().endswith("training may begin")


def test_rows_over_the_limit_are_named_and_refused_shortened_or_left_out(ask: Ask) -> None:
    long = {"id": "long", "messages": [{"role": "user", "content": "x" * 200}], "completion": "YES"}
    code, lines, output = ask("--max-tokens", "150", rows=[*ROWS, long])
    assert code == 3 and "training may not begin: lengths" in output
    assert lines["lengths"].startswith("NO 9 rows, ") and "1 over the limit of 150: long (" in lines["lengths"]
    assert "cure: --max-tokens 2" in lines["lengths"] and "--truncate" in lines["lengths"]
    assert lines["render"] == "ok 9 of 9 rows are trained byte for byte as served"
    code, lines, output = ask("--max-tokens", "150", "--truncate", rows=[*ROWS, long])
    assert code == 0 and "1 over the limit of 150: long (" in lines["lengths"]
    assert lines["lengths"].endswith("these lose the oldest tokens of their prompts")
    shown = output.split("row long,")[1]
    assert "⟦YES<|im_end|>⟧" in shown and "<|im_start|>user" not in shown.split("row")[0]
    code, lines, _ = ask("--max-tokens", "150", "--accept", "lengths", rows=[*ROWS, long])
    assert code == 0 and lines["lengths"].startswith("NO ")


def test_a_completion_is_never_cut(ask: Ask) -> None:
    long = {"id": "long", "messages": [{"role": "user", "content": "x"}], "completion": "Y" * 200}
    code, lines, _ = ask("--max-tokens", "150", "--truncate", rows=[*ROWS, long])
    assert code == 3
    assert "1 with nothing to train: long (" in lines["trained"]
    assert " tokens, more than 150, and 201 of them are to be trained)" in lines["trained"]


def test_rows_over_the_context_of_the_base_cannot_be_let_in_by_a_higher_limit(ask: Ask) -> None:
    long = {"id": "long", "messages": [{"role": "user", "content": "x" * 600}], "completion": "YES"}
    code, lines, _ = ask("--max-tokens", "900", rows=[*ROWS, long])
    assert code == 3 and "1 over the base's context of 512: long (" in lines["lengths"]
    assert "cure: --truncate" in lines["lengths"]


def test_rows_with_nothing_to_train_are_named(ask: Ask) -> None:
    code, lines, _ = ask(rows=[*ROWS, {"id": "void", "messages": [SYSTEM], "completion": " "}])
    assert code == 3
    assert "1 with nothing to train: void (its completion is empty); cure: give these a completion" in lines["trained"]
    code, lines, output = ask(rows=[{"id": "void", "messages": [SYSTEM], "completion": " "}])
    assert code == 3 and "no row has a token to train: void" in lines["trained"]
    assert "no row is left to train" in output and "gradients" not in lines


def test_the_row_with_the_lowest_share_is_told(ask: Ask) -> None:
    _, lines, _ = ask(
        rows=[*ROWS, {"id": "low", "messages": [{"role": "user", "content": "x" * 99}], "completion": "Y"}]
    )
    assert "lowest share 2% (low, 2 of " in lines["trained"]


def test_a_mask_that_hides_all_is_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = examples.tokenize

    def hiding(base: Any, example: Example) -> dict[str, list[int]]:
        row = sound(base, example)
        return {**row, "labels": [IGNORED] * len(row["labels"])} if example.id == "pink" else row

    monkeypatch.setattr(examples, "tokenize", hiding)
    code, lines, _ = ask()
    assert code == 3 and "1 with nothing to train: pink (all of it is masked)" in lines["trained"]


def test_the_masks_can_be_read_with_and_without_colour() -> None:
    row = [Span("say it\n", False), Span("IT<end>", True), Span("\n", False)]
    assert plain(row) == "say it\n⟦IT<end>⟧\n"
    shown = coloured(row)
    assert shown.plain == "say it\nIT<end>\n"
    assert [(s.start, s.end, s.style) for s in shown.spans if "green" in str(s.style)] == [(7, 14, "black on green")]


def test_no_mark_is_printed_in_colour_and_no_colour_where_it_is_unwanted(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "examples.jsonl"
    file.write_text(json.dumps(ROWS[0]))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = CliRunner().invoke(check, [str(file), "--base", str(pico)]).output
    assert "\x1b[30;42mRED<|im_end|>\x1b[0m" in output and "⟦" not in output
    monkeypatch.setenv("NO_COLOR", "1")
    output = CliRunner().invoke(check, [str(file), "--base", str(pico)]).output
    assert "⟦RED<|im_end|>⟧" in output and "42m" not in output


def test_what_a_terminal_would_obey_is_shown_as_its_escape(pico: Path) -> None:
    tokenizer = load(pico).tokenizer
    ids = tokenizer("a\x1b[2Jb", add_special_tokens=False)["input_ids"]
    assert plain(spans(tokenizer, {"input_ids": ids, "labels": ids}, IGNORED)) == "⟦a\\x1b[2Jb⟧"


def test_a_long_prompt_is_shown_in_part(pico: Path) -> None:
    assert plain([Span("x" * 1000, False), Span("Y", True)]).count("x") == 320
    assert "[... 680 characters ...]" in plain([Span("x" * 1000, False)])


def test_an_end_at_which_serving_does_not_stop_is_found(ask: Ask, changed: Callable[..., Path]) -> None:
    code, lines, _ = ask(base=changed(file="generation_config.json", eos_token_id=0))
    assert code == 3
    assert "8 rows do not end with a token at which serving stops: red, blue, green, black, white and" in lines["end"]
    assert "cure: set eos_token_id in the base's generation_config.json" in lines["end"]


def test_an_answer_that_was_cut_needs_no_end(pico: Path) -> None:
    found = inspect(load(pico), [Example([SYSTEM], "RED", "red", ends=False)], 512).findings
    assert [f.says for f in found if f.name == "end"] == ["no row is to end: plain text, or cut answers"]


def test_an_end_token_inside_of_a_completion_is_found(ask: Ask) -> None:
    code, lines, _ = ask(rows=[*ROWS, {"id": "odd", "messages": [SYSTEM], "completion": "RED<|im_end|>BLUE"}])
    assert code == 3 and "1 hold it inside of their completion: odd" in lines["end"]


@pytest.mark.parametrize("collator", ["pad", "flatten"])
def test_an_end_token_that_is_masked_because_it_doubles_as_pad_is_found(
    ask: Ask, changed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, collator: str
) -> None:
    base = changed(file="tokenizer_config.json", pad_token="<|im_end|>")
    code, lines, _ = ask(base=base)
    assert code == 0
    assert lines["end"].endswith("in 8 of 8 rows that end, which doubles as pad and stays trained in padded batches")
    sound = getattr(batches, collator)

    def by_id(rows: Any, pad_id: int = 2) -> dict[str, Any]:
        batch = sound(rows, pad_id) if collator == "pad" else sound(rows)
        return {**batch, "targets": batch["targets"].masked_fill(batch["targets"] == pad_id, IGNORED)}

    monkeypatch.setattr(layout, collator, by_id)
    code, lines, _ = ask(base=base)
    assert code == 3
    assert "8 lose it where rows become a batch: red, blue, " in lines["end"]


FAULTS = {
    "drops the system message": (
        CHAT.replace("{% for m in messages %}", "{% for m in messages if m['role'] != 'system' %}"),
        "the chat template leaves out or rewrites its system message",
    ),
    "strips blanks": (
        CHAT.replace("{{ m['content'] }}", "{{ m['content'] | trim }}"),
        "its completion is trained as 'RED' where ' RED' is due",
    ),
    "thinks before the answer": (
        CHAT.replace(
            "{{ m['content'] }}",
            "{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}",
        ),
        r"its completion is trained as '<think>\n\n</think>\n\n RED' where ' RED' is due",
    ),
    "opens a thought that no turn has": (
        CHAT.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}"),
        r"serving opens the answer with '<|im_start|>assistant\n<think>\n', and no finished turn begins so",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_template_that_serves_otherwise_than_it_trains_is_found(
    ask: Ask, changed: Callable[..., Path], fault: str
) -> None:
    template, says = FAULTS[fault]
    rows = [{**row, "completion": " " + str(row["completion"])} for row in ROWS]
    code, lines, _ = ask(base=changed(template), rows=rows)
    assert code == 3
    assert lines["render"].startswith(f"NO 8 of 8 rows are not trained as served: red: {says}; cure: another --base")


def test_a_template_that_writes_the_prompt_anew_is_told_and_trained_as_asked(
    ask: Ask, changed: Callable[..., Path]
) -> None:
    anew = CHAT.replace(
        "{{ m['content'] }}", "{% if m['role'] == 'user' and not loop.last %}(earlier) {% endif %}{{ m['content'] }}"
    )
    code, lines, _ = ask(base=changed(anew))
    assert code == 0
    assert "of 8 the template writes the prompt anew once it is answered" in lines["render"]


def test_a_template_that_refuses_a_row_is_told_of_that_row(ask: Ask, changed: Callable[..., Path]) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message') }}{% endif %}" + CHAT
    rows = [*ROWS[:1], *({**row, "messages": [{"role": "user", "content": "x"}]} for row in ROWS[1:])]
    code, lines, _ = ask(base=changed(strict), rows=rows)
    assert code == 3
    assert "1 with nothing to train: red (the chat template refuses it: no system message)" in lines["trained"]


def test_a_prompt_that_is_trained_otherwise_than_it_is_served_is_found(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = examples.render
    monkeypatch.setattr(examples, "render", lambda base, question: sound(base, question).replace("caps", "small"))
    code, lines, _ = ask()
    assert code == 3 and "its prompt is trained as " in lines["render"] and "small" in lines["render"]


def test_a_tokenizer_that_puts_a_blank_before_the_completion_is_found(ask: Ask, pico: Path, tmp_path: Path) -> None:
    folder = tmp_path / "blank"
    shutil.copytree(pico, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["pre_tokenizer"]["add_prefix_space"] = True
    path.write_text(json.dumps(tokenizer))
    code, lines, _ = ask(base=folder)
    assert code == 3 and "' RED' where 'RED' is due" in lines["render"]


def test_a_boundary_that_merges_is_counted(ask: Ask, pico: Path, tmp_path: Path) -> None:
    folder = tmp_path / "merging"
    shutil.copytree(pico, folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"]["Ċ!"] = 200  # in place of a letter that no row has
    tokenizer["model"]["vocab"] = {k: v for k, v in tokenizer["model"]["vocab"].items() if v != 200 or k == "Ċ!"}
    tokenizer["pre_tokenizer"]["use_regex"] = False  # which would part blanks from signs before anything is merged
    tokenizer["model"]["merges"] = [["Ċ", "!"]]
    path.write_text(json.dumps(tokenizer))
    rows = [{**row, "completion": "!" + str(row["completion"])} for row in ROWS[:2]] + ROWS[2:]
    code, lines, _ = ask(base=folder, rows=rows)
    assert code == 0
    assert (
        "; 2 rows would be tokenised otherwise in one piece, and are trained in two as they are served"
        in lines["render"]
    )


def test_a_loss_that_is_averaged_per_micro_batch_is_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of means that transformers had until 4.46: each micro-batch by its own tokens, then by how many."""
    sound = trainer.TeachingTrainer.compute_loss

    def averaged(self: Any, model: Any, inputs: Any, *given: Any, num_items_in_batch: Any = None) -> Any:
        own = torch.tensor(trainer.counted([inputs]))
        return sound(self, model, inputs, *given, num_items_in_batch=own) / self.current_gradient_accumulation_steps

    monkeypatch.setattr(trainer.TeachingTrainer, "compute_loss", averaged)
    code, lines, _ = ask("--batch", "4", "--accumulation", "2")
    assert code == 3 and lines["accumulation"].startswith("NO loss ")
    assert lines["accumulation"].endswith("cure: --batch 8 --accumulation 1")


def test_a_gradient_that_is_divided_once_more_is_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss that is told stays right, what is learned does not."""
    sound = trainer.TeachingTrainer.training_step

    def divided(self: Any, *given: Any) -> Any:
        loss = sound(self, *given)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad /= self.current_gradient_accumulation_steps
        return loss

    monkeypatch.setattr(trainer.TeachingTrainer, "training_step", divided)
    code, lines, _ = ask()
    assert code == 3 and "(0.00% apart" in lines["accumulation"] and lines["accumulation"].startswith("NO ")


def test_documents_that_see_each_other_are_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """One causal call over the whole row: what attention does that reads no bounds of documents."""

    def leaking(module: Any, query: Any, key: Any, value: Any, attention_mask: Any, **known: Any) -> Any:
        known.pop("cu_seq_lens_q", None)
        return attention.sdpa_attention_forward(module, query, key, value, attention_mask, **known)

    code, lines, _ = ask("--layout", "padding-free")
    assert code == 0 and "in one row without pads" in lines["documents"]
    # It leaks after the layout was chosen, for the engine itself would not take such an attention.
    monkeypatch.setattr(layout, "distance", lambda *_: 0.0)
    monkeypatch.setitem(attention.AttentionInterface._global_mapping, attention.NAME, leaking)
    code, lines, _ = ask("--layout", "padding-free")
    assert code == 3
    assert lines["documents"].startswith("NO loss ") and lines["documents"].endswith("cure: --layout grouped")


def test_a_memory_limit_that_the_longest_batch_passes_is_told_with_the_mildest_relief(ask: Ask) -> None:
    code, lines, _ = ask("--memory-limit", "0.01")
    assert code == 3 and lines["memory"].startswith("NO the longest batch (8 rows, ")
    assert "over the limit of 0.01 GiB; cure: --batch 4 --accumulation 2" in lines["memory"]
    code, lines, _ = ask("--memory-limit", "0.01", "--batch", "1")
    assert code == 3 and lines["memory"].endswith("cure: --gradient-checkpointing")
    code, lines, _ = ask("--memory-limit", "64")
    assert code == 0 and "within the limit of 64.00 GiB" in lines["memory"]


def test_memory_that_runs_out_is_an_answer_not_a_traceback(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def out(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(trainer.TeachingTrainer, "create_optimizer", out)
    code, lines, _ = ask()
    assert code == 3 and "runs out of memory; cure: --batch 4 --accumulation 2" in lines["memory"]


def test_a_4_bit_model_that_has_answered_on_a_cpu_is_found(pico: Path, tmp_path: Path) -> None:
    """bitsandbytes repacks its weights for inference: it would train on, with a warning, and learn nothing."""
    pytest.importorskip("bitsandbytes")
    if torch.cuda.is_available():
        pytest.skip("bitsandbytes repacks 4-bit weights on a CPU alone")
    rows = [Example(row["messages"], str(row["completion"]), str(row["id"])) for row in ROWS]
    inspection = inspect(load(pico), rows, 512)
    recipe = Recipe(method="qlora", quantization="nf4", replay=0)
    run = engine._Run(pico, rows, recipe, tmp_path, None, None, None, False)
    with rehearsing(run.trainer):
        assert check_gradients(run.trainer, inspection.ready).ok
    answerer(run.base, max_new_tokens=2)([[SYSTEM]])
    run.base.model.eval()
    answerer(run.base, max_new_tokens=2)([[SYSTEM]])
    with rehearsing(run.trainer):
        found = check_gradients(run.trainer, inspection.ready)
    assert not found.ok
    assert found.line == (
        "NO gradients: a 4-bit layer gives its input no gradient: this model has answered on a CPU, and was repacked "
        "for that; cure: train on the base as freshly loaded, or --quantization none"
    )
    with pytest.raises(FinetuneError, match="check gradients: a 4-bit layer gives its input no gradient") as refused:
        require([found])
    assert refused.value.exit_code == 3
    require([found], accept=["gradients"])


def test_a_model_that_nothing_would_be_learned_by_is_found(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = trainer.TeachingTrainer.compute_loss
    monkeypatch.setattr(trainer.TeachingTrainer, "compute_loss", lambda *a, **k: sound(*a, **k) * 0)
    code, lines, _ = ask()
    assert code == 3 and "none of 14 adapter B gradients is other than 0" in lines["gradients"]
    monkeypatch.setattr(trainer.TeachingTrainer, "compute_loss", lambda *a, **k: sound(*a, **k) * float("nan"))
    code, lines, _ = ask()
    assert code == 3 and "14 of 14 adapter B gradients are not finite" in lines["gradients"]


@pytest.mark.parametrize("flags", [(), ("--method", "full"), ("--method", "qlora"), ("--layout", "grouped")])
def test_the_rehearsal_leaves_the_model_as_it_was(pico: Path, tmp_path: Path, flags: tuple[str, ...]) -> None:
    rows = [Example(row["messages"], str(row["completion"]), str(row["id"])) for row in ROWS]
    knobs = dict(zip(("method" if f == "--method" else "layout" for f in flags[::2]), flags[1::2], strict=True))
    recipe = Recipe(**knobs, quantization="nf4" if "qlora" in flags else "none", replay=0)  # type: ignore[arg-type]
    inspection = inspect(load(pico), rows, 512)
    run = engine._Run(pico, rows, recipe, tmp_path, None, None, None, False)
    before = {name: p.detach().clone() for name, p in run.base.model.named_parameters()}
    drawn = torch.random.get_rng_state()
    found = list(rehearse(run.trainer, inspection.ready, 64 * 2**30))
    assert [f.name for f in found] == list(CHECKS[4:]) and all(f.ok for f in found), found
    assert all(torch.equal(before[name], p) for name, p in run.base.model.named_parameters())
    assert all(p.grad is None for p in run.base.model.parameters())
    assert torch.equal(drawn, torch.random.get_rng_state())
    assert run.trainer.optimizer is None and run.watch.tokens == 0


def test_json_holds_the_findings_and_the_masks(ask: Ask) -> None:
    code, _, output = ask("--json", "--memory-limit", "0.01", "--accept", "memory")
    found = json.loads(output)
    assert code == 0 and found["passed"] is True
    assert [finding["name"] for finding in found["findings"]] == list(CHECKS)
    memory = found["findings"][-1]
    assert memory["ok"] is False and memory["accepted"] is True and memory["cure"] == "--batch 4 --accumulation 2"
    first = next(row for row in found["rows"] if row["id"] == "red")
    assert first["spans"][-1] == {"text": "RED<|im_end|>", "trained": True}
    assert first["spans"][0]["trained"] is False


def test_a_file_that_is_not_there_is_one_line(pico: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(check, [str(tmp_path / "none.jsonl"), "--base", str(pico)])
    assert result.exit_code == 1 and "no such file" in result.output and "Traceback" not in result.output


@pytest.mark.slow
def test_the_embedded_base_passes_every_check(ask: Ask) -> None:
    code, lines, _ = ask(base=Path("embedded"))
    assert code == 0 and tuple(lines) == CHECKS
    assert "which doubles as pad" in lines["end"]
    assert "210 of 210 adapter B gradients flow" in lines["gradients"]
