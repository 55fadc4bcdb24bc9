"""finetune export: the same recipe in four trainers' own words, run for real where the trainer is installed."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

pytest.importorskip("torch")
pytest.importorskip("peft")

from finetune.export_cli import TOOLS as CHOICES
from finetune.export_cli import export as command
from finetune.export_tools import LORA_PLUS_RATIO, TOOLS
from finetune.exports import VLLM_RANKS, _held_out, serve_line
from finetune.formats import read_examples
from finetune.recipe import Recipe
from memory_calc.trainers import read_trainer

EVIL = 'x"""\n--- !!python/object/apply:os.system ["true"]\nimport os # \u2028 {{content}} \'; <|im_end|>'
FILES = {tool: TOOLS[tool].file for tool in TOOLS}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Eight chats (one of several turns, one with text that tries to be code), one that is too long, one plain text."""
    several = [
        {"role": "system", "content": "JSON only."},
        {"role": "user", "content": "A colour?"},
        {"role": "assistant", "content": "blue, earlier"},
        {"role": "user", "content": "As JSON."},
    ]
    found: list[dict[str, Any]] = [{"id": "several", "messages": several, "completion": '{"colour": "blue"}'}]
    found += [{"id": "evil", "prompt": EVIL, "completion": EVIL.replace("<|im_end|>", "")}]
    found += [{"id": f"r{i}", "prompt": f"Number {i}?", "completion": f'{{"n": {i}}}'} for i in range(6)]
    found += [{"id": "long", "prompt": "Long?", "completion": "y" * 400}, {"id": "plain", "text": "A document."}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def written(tool: str, rows: Path, base: Path, out: Path, *words: str) -> dict[str, Any]:
    """The settings that the command wrote for a trainer."""
    result = run(rows, "--to", tool, "--base", base, "--out", out, "--max-tokens", "256", *words)
    assert result.exit_code == 0, result.output
    return yaml.safe_load((out / FILES[tool]).read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_the_command_offers_what_there_is() -> None:
    assert tuple(TOOLS) == CHOICES
    from finetune.trainer import LORA_PLUS_RATIO as OURS

    assert OURS == LORA_PLUS_RATIO


@pytest.mark.parametrize("tool", CHOICES)
def test_each_file_says_what_is_left_out_and_what_is_not_carried_over(
    tool: str, rows: Path, pico: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run(rows, "--to", tool, "--base", pico, "--out", out, "--max-tokens", "256")
    assert result.exit_code == 0, result.output
    assert "left out: long: " in result.stderr and "more than 256" in result.stderr
    assert "left out: plain: plain text" in result.stderr
    top = [line for line in (out / FILES[tool]).read_text().splitlines() if line.startswith("#")]
    assert any("replay 32, keep_weight 5" in line for line in top) and "replay 32" in result.stderr
    if TOOLS[tool].script:
        script = out / TOOLS[tool].command.split()[1]
        assert script.read_text().splitlines()[: len(top)] == top
    assert f"serve: vllm serve {pico} --enable-lora --max-lora-rank 16 --lora-modules adapter={out}/adapter" in (
        result.stdout
    )
    held = lines(out / "validation.jsonl")
    assert len(held) == 2 and len(lines(out / "train.jsonl")) == 6
    again = run(rows, "--to", tool, "--base", pico, "--out", out)
    assert again.exit_code == 1 and "is not an empty folder" in again.output


@pytest.mark.parametrize("tool", CHOICES)
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ("--method", "qlora", "--quantization", "nf4", "--rank", "8", "--targets", "q_proj,v_proj"),
            {"method": "qlora", "quantization": "nf4-dq", "rank": 8, "targets": "q_proj,v_proj"},
        ),
        (("--batch", "2", "--accumulation", "4", "--gradient-checkpointing"), {"batch": 2, "accumulation": 4}),
        (("--variant", "dora", "--optimizer", "paged_adamw_8bit"), {"dora": True, "optimizer": "paged_adamw_8bit"}),
        (("--quantization", "int8"), {"method": "lora", "quantization": "int8"}),
        (("--method", "full"), {"method": "full"}),
    ],
)
def test_memcalc_reads_the_same_job_out_of_it(
    tool: str, words: tuple[str, ...], expected: dict[str, Any], rows: Path, pico: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    written(tool, rows, pico, out, *words)
    read = read_trainer(out / FILES[tool])
    assert read.framework == {"llama-factory": "llamafactory", "unsloth": "trl"}.get(tool, tool)
    assert read.model == str(pico)
    # What every file says beyond what the words changed.
    common = {"seq": 256, "batch": 8, "accumulation": 1, "gradient_checkpointing": "--gradient-checkpointing" in words}
    if "full" not in words:
        common |= {"method": "lora", "rank": 16, "targets": "all-linear"}
    common |= {"optimizer": "adamw_torch_fused", **expected}
    assert {name: read.knobs.get(name) for name in common} == common
    if tool in ("axolotl", "llama-factory"):
        assert read.unknown == () and read.not_modelled == ()


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ("rslora", {"axolotl": "peft_use_rslora", "llama-factory": "use_rslora", "trl": "lora.use_rslora"}),
        ("dora", {"axolotl": "peft_use_dora", "llama-factory": "use_dora", "trl": "lora.use_dora"}),
        ("lora+", {"axolotl": "loraplus_lr_ratio", "llama-factory": "loraplus_lr_ratio", "trl": "loraplus_lr_ratio"}),
        (
            "pissa",
            {"axolotl": "peft_init_lora_weights", "llama-factory": "pissa_init", "trl": "lora.init_lora_weights"},
        ),
    ],
)
def test_a_variant_is_each_tools_own_switch_and_off_without_it(
    variant: str, said: dict[str, str], rows: Path, pico: Path, tmp_path: Path
) -> None:
    said = {**said, "unsloth": "sft.loraplus_lr_ratio" if variant == "lora+" else said["trl"]}
    for tool, key in said.items():
        for asked in (variant, "lora"):
            settings: Any = written(tool, rows, pico, tmp_path / f"{tool}-{asked}", "--variant", asked)
            for part in key.split("."):
                settings = settings.get(part)
            value = LORA_PLUS_RATIO if variant == "lora+" else "pissa" if key.endswith("init_lora_weights") else True
            assert settings == (value if asked == variant else None), (tool, asked)


def test_nothing_is_cut_and_only_the_last_answer_is_taught(rows: Path, pico: Path, tmp_path: Path) -> None:
    axolotl = written("axolotl", rows, pico, tmp_path / "axolotl")
    assert axolotl["excess_length_strategy"] == "raise" and axolotl["datasets"][0]["train_on_eos"] == "turn"
    chats = [row["messages"] for name in ("train", "validation") for row in lines(tmp_path / f"axolotl/{name}.jsonl")]
    assert all([turn["training"] for turn in chat] == [False] * (len(chat) - 1) + [True] for chat in chats)
    assert max(len(chat) for chat in chats) == 5  # the one of several turns, whole
    factory = written("llama-factory", rows, pico, tmp_path / "lf")
    assert factory["mask_history"] is True and factory["packing"] is False
    info = json.loads((tmp_path / "lf/dataset_info.json").read_text())
    # Its form `openai` would write "detailed thinking off" into every system prompt.
    assert {entry["formatting"] for entry in info.values()} == {"sharegpt"} and set(info) == {"training", "validation"}
    for tool in ("trl", "unsloth"):
        sft = written(tool, rows, pico, tmp_path / tool)["sft"]
        assert sft["completion_only_loss"] is True and sft["packing"] is False and sft["max_length"] == 256
        assert {len(row["completion"]) for row in lines(tmp_path / tool / "train.jsonl")} == {1}


def test_no_text_becomes_code(rows: Path, pico: Path, tmp_path: Path) -> None:
    """Scripts are byte for byte those of the package under a comment; what a user names is quoted YAML."""
    evil = 'q_proj"\n!!python/object/apply:os.system ["true"] #'
    for tool in CHOICES:
        out = tmp_path / tool
        settings = written(tool, rows, pico, out, "--targets", evil, "--optimizer", evil)
        held = json.dumps(settings)
        assert json.dumps(evil)[1:-1] in held
        prompts = json.dumps([lines(out / "train.jsonl"), lines(out / "validation.jsonl")])
        assert json.dumps(EVIL)[1:-1] in prompts
        if TOOLS[tool].script:
            script = (out / TOOLS[tool].command.split()[1]).read_text(encoding="utf-8")
            body = "".join(line for line in script.splitlines(keepends=True) if not line.startswith("# "))
            own = (Path(sys.modules["finetune"].__file__ or "").parent / TOOLS[tool].script).read_text(encoding="utf-8")
            assert body == "".join(line for line in own.splitlines(keepends=True) if not line.startswith("# "))


def test_a_recipe_of_a_finished_run_is_taken_and_typed_options_go_over_it(
    rows: Path, pico: Path, tmp_path: Path
) -> None:
    record = tmp_path / "training.json"
    record.write_text(json.dumps({"steps": 3, "recipe": {"rank": 4, "alpha": 8, "learning_rate": 0.001}}))
    settings = written("trl", rows, pico, tmp_path / "a", "--recipe", str(record), "--alpha", "64")
    assert (settings["lora"]["r"], settings["lora"]["lora_alpha"], settings["sft"]["learning_rate"]) == (4, 64, 0.001)
    full = written("trl", rows, pico, tmp_path / "b", "--recipe", str(record), "--method", "full")
    assert full["sft"]["learning_rate"] == 3e-5 and full["dtype"] == "float32" and "lora" not in full


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[1]", "holds no recipe"),
        ('{"recipe": {"rank": "16; rm"}}', "recipe.rank: '16; rm'; allowed: int"),
        ('{"recipe": {"rank": true}}', "recipe.rank: True"),
        ('{"recipe": {"speed": 2}}', "unknown field 'speed'"),
        ('{"recipe": {"rank": 0}}', "a whole number from 1"),
    ],
)
def test_a_wrong_recipe_is_one_line(text: str, said: str, rows: Path, tmp_path: Path) -> None:
    record = tmp_path / "training.json"
    record.write_text(text)
    result = run(rows, "--to", "trl", "--out", tmp_path / "out", "--recipe", record)
    assert result.exit_code in (1, 2) and said in result.output and len(result.output.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_examples_that_nothing_can_be_made_of_are_one_line(pico: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    path.write_text(json.dumps({"id": "two", "messages": turns, "completion": "c"}) + "\n")
    result = run(path, "--to", "llama-factory", "--base", pico, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "turns of user and assistant" in result.output
    assert run(path, "--to", "trl", "--base", pico, "--out", tmp_path / "trl").exit_code == 0


def test_a_template_without_an_end_token_is_refused(pico: Path, tmp_path: Path, rows: Path) -> None:
    """The trainers train what the template writes: without an end token in it the model would never learn to stop."""
    import shutil

    base = tmp_path / "base"
    shutil.copytree(pico, base)
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if (base / name).is_file():
            (base / name).write_text((base / name).read_text().replace("<|im_end|>\n{% endfor", "\n{% endfor"))
    result = run(rows, "--to", "trl", "--base", base, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "writes no end token after the answer" in result.output


def test_the_same_rows_are_held_out_as_by_finetune_train(rows: Path) -> None:
    from finetune.train import _hold_out

    for n in (3, 8, 10):
        examples: Any = (read_examples(rows) * 2)[:n]
        for recipe in (Recipe(), Recipe(seed=7, validation_rate=0.4)):
            held, taught = _hold_out(examples, recipe)
            assert _held_out(examples, recipe) == (taught, held)


def test_the_line_that_serves(tmp_path: Path) -> None:
    adapter = tmp_path / "it's; an adapter"
    adapter.mkdir()
    for rank, allowed in ((1, 1), (2, 8), (16, 16), (17, 32), (300, 320), (512, 512)):
        words = shlex.split(serve_line("org/base", adapter, rank))
        assert words[:4] == ["vllm", "serve", "org/base", "--enable-lora"]
        assert words[4:] == ["--max-lora-rank", str(allowed), "--lora-modules", f"it-s-an-adapter={adapter}"]
        assert allowed in VLLM_RANKS
    assert serve_line("org/base", adapter, 513).startswith("# ")
    assert shlex.split(serve_line("-x", adapter, 8))[2] == "./-x"
    comma = tmp_path / "a,b"
    assert json.loads(shlex.split(serve_line("org/base", comma, 8))[-1]) == {"name": "a-b", "path": str(comma)}
    for config in ({"use_dora": True}, {"init_lora_weights": "pissa_niter_16"}):
        (adapter / "adapter_config.json").write_text(json.dumps(config))
        line = serve_line("org/base", adapter, 8)
        assert line.startswith("# vLLM does not load") and "\n" not in line
    (adapter / "adapter_config.json").write_text(json.dumps({"init_lora_weights": True, "use_dora": False}))
    assert serve_line("org/base", adapter, 8).startswith("vllm serve ")


RUN = """
import json, runpy, sys, trl
train = trl.SFTTrainer.train
def watched(self, *given, **named):
    rows = [{k: list(row[k]) for k in ("input_ids", "labels")} for row in self.train_dataset]
    with open("seen.json", "w") as file:
        json.dump(rows, file)
    return train(self, *given, **named)
trl.SFTTrainer.train = watched
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed: pip install trl")
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # of peft's, about transformers
@pytest.mark.parametrize("words", [("--variant", "lora+"), ("--method", "full")], ids=["lora+", "full"])
def test_the_script_for_trl_runs_and_trains_our_tokens(
    words: tuple[str, ...], rows: Path, pico: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from finetune.base import Base, load
    from finetune.batches import IGNORED
    from finetune.examples import tokenize

    out = tmp_path / "out"
    settings = written("trl", rows, pico, out, "--max-steps", "2", "--batch", "2", "--rank", "4", *words)
    program = [sys.executable, "-c", RUN, str(out / "train_trl.py")]
    ran = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, timeout=500)
    assert ran.returncode == 0, ran.stderr[-2000:]
    untouched = AutoModelForCausalLM.from_pretrained(pico)
    adapter = out / "adapter"
    if "full" in words:
        trained = AutoModelForCausalLM.from_pretrained(adapter)
    else:
        assert settings["loraplus_lr_ratio"] == LORA_PLUS_RATIO
        trained = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(pico), adapter).merge_and_unload()
        assert serve_line(pico, adapter, 4).startswith(f"vllm serve {pico} --enable-lora --max-lora-rank 8 ")
    before, after = untouched.state_dict(), trained.state_dict()
    assert any(not before[name].float().equal(after[name].float()) for name in before)
    base: Base = load(pico)
    newline = base.tokenizer("\n", add_special_tokens=False)["input_ids"]
    ours = [tokenize(base, example) for example in read_examples(rows) if example.id not in ("long", "plain")]
    seen = json.loads((out / "seen.json").read_text())
    assert len(seen) == 6 and all(row["labels"].count(IGNORED) for row in seen)
    # The same prompt and answer with the end token, and then the template's line break, as the comment says.
    expected = [(row["input_ids"] + newline, row["labels"] + newline) for row in ours]
    assert all((row["input_ids"], row["labels"]) in expected for row in seen)


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed: pip install trl")
def test_the_script_for_trl_refuses_a_row_that_trl_would_cut(rows: Path, pico: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written("trl", rows, pico, out)
    long = {"prompt": [{"role": "user", "content": "x" * 300}], "completion": [{"role": "assistant", "content": "y"}]}
    with (out / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(long) + "\n")
    ran = subprocess.run([sys.executable, str(out / "train_trl.py")], capture_output=True, text=True, timeout=500)
    assert ran.returncode == 1 and "train.jsonl:7: " in ran.stderr and "over max_length 256" in ran.stderr
    assert not (out / "adapter").exists()
