"""The same recipe as a ready folder for another trainer, and the line that serves an adapter with vLLM."""

from __future__ import annotations

import json
import random
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.errors import FinetuneError
from finetune.export_tools import TOOLS, TRAINING, VALIDATION, Job, Settings, Tool, dataset_info, not_carried, turns_of
from finetune.recipe import Recipe

if TYPE_CHECKING:
    from finetune.examples import Dropped, Example

# vllm/config/lora.py MaxLoRARanks (0.33.0): the ranks that --max-lora-rank takes.
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# vllm/lora/peft_helper.py _init_is_supported (0.33.0): other ways to begin change the base itself.
VLLM_INITS = ("gaussian", "eva", "orthogonal", "mica", "lora_ga")


@dataclass(frozen=True)
class Exported:
    """What was written, and what could not be."""

    tool: str
    version: str
    folder: Path
    files: tuple[str, ...]
    n_training: int
    n_validation: int
    left_out: tuple[Dropped, ...]
    not_carried: tuple[str, ...]  # of the recipe, one sentence each
    command: str
    serve: str


def export(to: str, base: str | Path, examples: Sequence[Example], out: Path, recipe: Recipe) -> Exported:
    """Write `recipe` and `examples` to the folder `out` as the trainer `to` (of TOOLS) reads them.

    Examples are data files beside the settings, written by json; settings are written by yaml.safe_dump; a script is
    copied as it is and reads both, so that nothing of an example or a name can become code. Rows over max_tokens are
    left out and named, as `finetune train` does, since most of these trainers would cut them without a word.
    Raises FinetuneError for an unknown trainer, a folder that is not empty, and examples that it could not train on.
    """
    if to not in TOOLS:
        raise FinetuneError("--to", to, ", ".join(TOOLS), exit_code=2)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FinetuneError(str(out), "is not an empty folder", fix="name another folder with --out")
    tool = TOOLS[to]
    name, tokenizer = _tokenizer(base)
    fitting, left_out, closing = _fitting(tokenizer, examples, tool, recipe.max_tokens)
    training, validation = _held_out(fitting, recipe)
    thinks = "<think>" in str(tokenizer.chat_template)
    job = Job(name, recipe, len(training), len(validation), *closing, str(tokenizer.eos_token), thinks)
    missing = tuple(not_carried(tool, job))
    out.mkdir(parents=True, exist_ok=True)
    _write_rows(out / TRAINING, [tool.row(example) for example in training])
    if validation:
        _write_rows(out / VALIDATION, [tool.row(example) for example in validation])
    if tool is TOOLS["llama-factory"]:
        (out / "dataset_info.json").write_text(json.dumps(dataset_info(job), indent=2) + "\n", encoding="utf-8")
    comment = "".join(f"# {line}\n" for line in _comment(tool, missing))
    (out / tool.file).write_text(comment + _yaml(tool.settings(job)), encoding="utf-8")
    if tool.script:
        script = resources.files("finetune").joinpath(tool.script).read_text(encoding="utf-8")
        (out / tool.command.split()[-1]).write_text(comment + script, encoding="utf-8")
    return Exported(
        tool=to,
        version=tool.checked,
        folder=out,
        files=tuple(sorted(path.name for path in out.iterdir())),
        n_training=len(training),
        n_validation=len(validation),
        left_out=tuple(left_out),
        not_carried=missing,
        command=f"cd {shlex.quote(_no_option(str(out)))} && {tool.command}",
        serve=_served(name, out / "adapter", recipe),
    )


# --- examples


def _tokenizer(base: str | Path) -> tuple[str, Any]:
    """The base's folder or hub id, and its tokenizer; no weights are read."""
    from transformers import AutoTokenizer

    from finetune.base import locate

    where = locate(base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, local_files_only=Path(where).is_dir())
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0][:160]
        raise FinetuneError(
            str(base), f"its tokenizer cannot be loaded ({reason})", "a model folder, or a hub id within reach"
        ) from problem
    if tokenizer.chat_template is None:
        raise FinetuneError(str(base), "its tokenizer has no chat template", "an instruct model")
    return where, tokenizer


def _fitting(
    tokenizer: Any, examples: Sequence[Example], tool: Tool, max_tokens: int
) -> tuple[list[Example], list[Dropped], tuple[str, str]]:
    """The examples that the trainer can train on as we would, the others with the reason, and how an answer is closed.

    Every trainer here renders with the chat template and trains what comes after the prompt; so it trains the end of
    the turn where the template writes one, and where the prompt is rendered the same with and without its answer.
    """
    from finetune.examples import Dropped

    fitting, left_out, closing = [], [], ("", "")
    for example in examples:
        closed, reason = _closing(tokenizer, example, tool, max_tokens)
        if reason:
            left_out.append(Dropped(example.id, reason))
        else:
            fitting.append(example)
            closing = closed  # by the template, so alike for all
    if not fitting:
        reasons = "; ".join(f"{d.id}: {d.reason}" for d in left_out[:3]) or "there is none"
        raise FinetuneError("examples", f"{tool.name} can train on none ({reasons})", f"up to {max_tokens} tokens each")
    return fitting, left_out, closing


def _closing(tokenizer: Any, example: Example, tool: Tool, max_tokens: int) -> tuple[tuple[str, str], str]:
    """The token that closes the answer with what follows it, and why the example is left out (empty: it is not)."""
    none = ("", "")
    if not example.messages:
        return none, "plain text: only `finetune train` trains it"
    if not example.completion.strip():
        return none, "its completion is empty"
    if not example.ends:
        return none, "it was cut, and the trainer would teach the model to stop there"
    messages = turns_of(example)
    try:
        "".join(turn["content"] for turn in messages).encode("utf-8")
    except UnicodeEncodeError:
        return none, "not text: half of a surrogate pair"
    roles = [turn["role"] for turn in messages]
    turns = roles[1:] if roles[0] == "system" else roles
    if tool.name == "LLaMA-Factory" and turns != ["user", "assistant"] * (len(turns) // 2):
        return none, "LLaMA-Factory takes turns of user and assistant by turns only"
    try:
        prompt = tokenizer.apply_chat_template(messages[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(messages, tokenize=False)
    except Exception as problem:  # the template's own code, which raises what it likes
        return none, f"its chat template refuses it ({' '.join(str(problem).split())[:80]})"
    n = len(tokenizer(whole, add_special_tokens=False)["input_ids"])
    if n > max_tokens:
        return none, f"{n} tokens, more than {max_tokens}"
    if not whole.startswith(prompt):
        return none, "the chat template renders its prompt otherwise once it is answered"
    text = whole[len(prompt) :]
    answer = tokenizer(text.rstrip(), add_special_tokens=False)["input_ids"]
    if not answer or answer[-1] not in tokenizer.added_tokens_decoder:
        return none, "the chat template writes no end token after the answer"
    return (str(tokenizer.convert_ids_to_tokens(answer[-1])), text[len(text.rstrip()) :]), ""


def _held_out(examples: list[Example], recipe: Recipe) -> tuple[list[Example], list[Example]]:
    """Training and validation rows: those that `finetune train` holds out, so that losses can be set side by side."""
    if not recipe.validation_rate:
        return examples, []
    order = list(range(len(examples)))
    random.Random(recipe.seed).shuffle(order)
    n = max(min(4, len(examples) // 3), round(recipe.validation_rate * len(examples)))
    return [examples[i] for i in order[n:]], [examples[i] for i in order[:n]]


def _write_rows(path: Path, rows: Sequence[Settings]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _comment(tool: Tool, missing: Sequence[str]) -> Iterator[str]:
    yield f"Written by `finetune export` for {tool.name}; checked against {tool.checked}. To start: {tool.command}"
    yield "What `finetune train` does with the same recipe and this does not:"
    yield from (f"- {sentence}" for sentence in missing or ["nothing"])


def _yaml(settings: Settings) -> str:
    import yaml

    own = json.loads(json.dumps(settings))  # a list that stands in two places would be written as an anchor
    return str(yaml.safe_dump(own, sort_keys=False, allow_unicode=True, width=120))


# --- serving


def serve_line(base: str | Path, adapter: Path, rank: int) -> str:
    """The command that serves a base with an adapter (a plain peft folder) by vLLM, ready to paste into a shell.

    Where vLLM loads no such adapter, a shell comment that says why. Ranks and refusals as in vLLM 0.33.0:
    vllm/config/lora.py, vllm/lora/peft_helper.py, vllm/entrypoints/common/cli_args.py (`name=path`, or JSON).
    """
    refused = _refusal(adapter, rank)
    if refused:
        return f"# vLLM does not load this adapter: {refused}"
    if str(base) == "embedded":
        from finetune.embedded import embedded_base

        base = embedded_base()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", adapter.resolve().name).strip("-.") or "adapter"
    path = str(adapter)
    module = f"{name}={path}" if "," not in path else json.dumps({"name": name, "path": path})
    allowed = next(r for r in VLLM_RANKS if r >= rank)
    words = ["vllm", "serve", _no_option(str(base)), "--enable-lora", "--max-lora-rank", str(allowed)]
    return shlex.join([*words, "--lora-modules", module])


def _refusal(adapter: Path, rank: int) -> str:
    """Why vLLM would not load the adapter, from its adapter_config.json where there is one; empty where it would."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        config = {}
    config = config if isinstance(config, dict) else {}
    init = config.get("init_lora_weights")
    if config.get("use_dora"):
        return "it is a DoRA; merge it into the base (peft's merge_and_unload) and serve that"
    if isinstance(init, str) and init.lower() not in VLLM_INITS:
        return "it changes the base's own weights (PiSSA and its kin); save it anew with peft's " + (
            "path_initial_model_for_weight_conversion, or merge it"
        )
    if rank > VLLM_RANKS[-1]:
        return f"its rank is {rank}, over {VLLM_RANKS[-1]}; merge it into the base (peft's merge_and_unload)"
    return ""


def _served(base: str, adapter: Path, recipe: Recipe) -> str:
    """The line for what the export will have trained; nothing is there yet to be looked into."""
    if recipe.method == "full":
        return shlex.join(["vllm", "serve", _no_option(str(adapter))])
    if recipe.variant in ("dora", "pissa"):
        return f"# vLLM loads no adapter of the variant {recipe.variant}: merge it (peft's merge_and_unload) first"
    return serve_line(base, adapter, recipe.rank)


def _no_option(path: str) -> str:
    """A path that no program takes for an option."""
    return f"./{path}" if path.startswith("-") else path
