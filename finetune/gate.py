"""The gate before the first step: what the rows are, which of their tokens are trained, and that it is what is served.

Each check is one function and one Finding. Those that run the model stand in finetune/rehearsal.py.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jinja2 import TemplateError

from finetune import examples as taught
from finetune.answer import render
from finetune.base import Base
from finetune.batches import IGNORED
from finetune.errors import FinetuneError
from finetune.examples import Example
from finetune.layout import collator

BARS = "▁▂▃▄▅▆▇█"
BINS = 16
NAMED = 5  # rows that a line names; the others are counted
FOLLOWED = 16  # rows, of all lengths, whose end tokens are followed into their batches
EXIT_NO = 3  # all was read and understood, and the answer is no


@dataclass(frozen=True)
class Finding:
    """What one check found: whether training may begin, in one line, and what cures it where not."""

    name: str
    ok: bool
    says: str
    cure: str = ""

    @property
    def line(self) -> str:
        """As it is printed."""
        return f"{'ok' if self.ok else 'NO'} {self.name}: {self.says}" + (f"; cure: {self.cure}" if self.cure else "")


@dataclass(frozen=True)
class Tokenised:
    """An example as it is trained; `refused` says why nothing of it can be."""

    id: str
    example: Example
    input_ids: list[int]
    labels: list[int]
    refused: str = ""

    @property
    def n_trained(self) -> int:
        """Tokens that a loss is taken of: nothing comes before the first of a row, so it is none of them."""
        return sum(label != IGNORED for label in self.labels[1:])

    @property
    def n_prompt(self) -> int:
        """Tokens before the first that is trained."""
        return next((i for i, label in enumerate(self.labels) if label != IGNORED), len(self.labels))


def rows_of(base: Base, examples: Sequence[Example], max_tokens: int) -> list[Tokenised]:
    """Every example through the function that training tokenises with; plain text as the rows it is split into."""
    rows = []
    for number, example in enumerate(examples, start=1):
        name = example.id or f"example {number}"
        try:
            if example.messages and example.completion.strip():
                row = taught.tokenize(base, example)
                rows.append(Tokenised(name, example, row["input_ids"], row["labels"]))
                continue
            chunks, dropped = taught.tokenize_all(base, [example], max_tokens)
        except TemplateError as refusal:
            rows.append(Tokenised(name, example, [], [], f"the chat template refuses it: {refusal}"))
            continue
        rows += [Tokenised(name, example, chunk["input_ids"], chunk["labels"]) for chunk in chunks]
        rows += [Tokenised(name, example, [], [], one.reason) for one in dropped]
    return rows


def shortened(base: Base, row: Tokenised, max_tokens: int) -> Tokenised:
    """The row as training shortens it with `truncate`: of its prompt, never of its completion; else it is refused."""
    if len(row.input_ids) <= max_tokens:
        return row
    rows, dropped = taught.tokenize_all(base, [row.example], max_tokens, truncate=True)
    if dropped:
        return replace(row, refused=f"{dropped[0].reason}, and {row.n_trained} of them are to be trained")
    return replace(row, input_ids=rows[0]["input_ids"], labels=rows[0]["labels"])


@dataclass(frozen=True)
class Inspection:
    """What was found without running the model, and the rows that may be trained."""

    findings: tuple[Finding, ...]
    rows: tuple[Tokenised, ...]  # of every example, those that are refused too
    limit_tokens: int

    @property
    def trained(self) -> list[Tokenised]:
        """The rows that would be trained: with something to train, and within the limit."""
        return [r for r in self.rows if not r.refused and r.n_trained and len(r.input_ids) <= self.limit_tokens]

    @property
    def ready(self) -> list[dict[str, list[int]]]:
        """Those rows as the trainer takes them."""
        return [{"input_ids": row.input_ids, "labels": row.labels} for row in self.trained]

    @property
    def examples(self) -> list[Example]:
        """The examples that they come from, each once."""
        return list({id(row.example): row.example for row in self.trained}.values())


def inspect(base: Base, examples: Sequence[Example], max_tokens: int, *, truncate: bool = False) -> Inspection:
    """The checks that look at the rows alone; with `truncate` rows over the limit are shortened, and said to be."""
    context = getattr(base.model.config.get_text_config(), "max_position_embeddings", max_tokens)
    limit = min(max_tokens, context)
    rows = rows_of(base, examples, limit)
    lengths = check_lengths(rows, max_tokens, context, truncate)
    if truncate:
        rows = [shortened(base, row, limit) for row in rows]
    found = (lengths, check_trained(rows), check_end(base, rows), check_render(base, rows))
    return Inspection(found, tuple(rows), limit)


def check_lengths(rows: Sequence[Tokenised], max_tokens: int, context_tokens: int, truncate: bool = False) -> Finding:
    """How long the rows are; those over `max_tokens`, or over the base's context, are named and refused."""
    lengths = np.array([len(row.input_ids) for row in rows if row.input_ids])
    if not len(lengths):
        return Finding("lengths", False, "no example became a row", "see the examples named below")
    limit = min(max_tokens, context_tokens)
    p50, p90, p99 = (round(float(p)) for p in np.percentile(lengths, [50, 90, 99]))
    counts, _ = np.histogram(lengths, bins=min(BINS, int(np.ptp(lengths)) + 1))
    bars = "".join(BARS[round(float(c) / counts.max() * (len(BARS) - 1))] if c else " " for c in counts)
    says = (
        f"{len(lengths)} rows, p50 {p50}, p90 {p90}, p99 {p99}, longest {lengths.max()} tokens, "
        f"{lengths.min()} [{bars}] {lengths.max()}"
    )
    over = [f"{row.id} ({len(row.input_ids)})" for row in rows if len(row.input_ids) > limit]
    whose = f"the limit of {limit}" if max_tokens <= context_tokens else f"the base's context of {limit}"
    if not over:
        return Finding("lengths", True, f"{says}; none over {whose}")
    said = f"{says}; {len(over)} over {whose}: {_named(over)}"
    if truncate:
        return Finding("lengths", True, f"{said}; these lose the oldest tokens of their prompts")
    raised = f"--max-tokens {lengths.max()}, or " if lengths.max() <= context_tokens else ""
    cure = f"{raised}--truncate (the oldest tokens of a prompt go), or --accept lengths (these rows are left out)"
    return Finding("lengths", False, said, cure)


def check_trained(rows: Sequence[Tokenised]) -> Finding:
    """The share of tokens that are trained, of all and of the row with the lowest; rows with none are refused."""
    none = [f"{row.id} ({row.refused or 'all of it is masked'})" for row in rows if row.refused or not row.n_trained]
    some = [row for row in rows if row.n_trained and not row.refused]
    if not some:
        return Finding("trained", False, f"no row has a token to train: {_named(none)}", "give completions in EXAMPLES")
    trained, read = sum(row.n_trained for row in some), sum(len(row.input_ids) for row in some)
    lowest = min(some, key=lambda row: row.n_trained / len(row.input_ids))
    says = (
        f"{trained} of {read} tokens ({trained / read:.0%}) are trained; lowest share "
        f"{lowest.n_trained / len(lowest.input_ids):.0%} ({lowest.id}, {lowest.n_trained} of {len(lowest.input_ids)})"
    )
    if not none:
        return Finding("trained", True, says)
    cure = "give these a completion in EXAMPLES, or --accept trained (they are left out)"
    return Finding("trained", False, f"{says}; {len(none)} with nothing to train: {_named(none)}", cure)


def check_end(base: Base, rows: Sequence[Tokenised]) -> Finding:
    """A completion ends with a token at which serving stops, holds none before, and keeps it where rows are padded.

    A pad token that is the end token too is masked with the padding by collators that go by its id: then the model
    never learns to stop (https://github.com/huggingface/transformers/issues/22794).
    """
    stops, ends = stop_ids(base), end_ids(base)
    chats = [row for row in rows if row.example.messages and not row.refused]
    ending = [row for row in chats if row.example.ends]
    if not ending:
        return Finding("end", True, "no row is to end: plain text, or cut answers")
    name = f"{base.tokenizer.eos_token} ({base.tokenizer.eos_token_id})"
    unended = [row.id for row in ending if not stops & set(row.labels[row.n_prompt + len(_body(row, ends)) :])]
    inside = [row.id for row in chats if ends & set(_body(row, ends))]
    masked = masked_ends(base, ending, stops)
    faults = [
        f"{len(unended)} rows do not end with a token at which serving stops: {_named(unended)}" if unended else "",
        f"{len(inside)} hold it inside of their completion: {_named(inside)}" if inside else "",
        f"{len(masked)} lose it where rows become a batch: {_named(masked)}" if masked else "",
    ]
    if any(faults):
        cures = [
            "set eos_token_id in the base's generation_config.json to what its chat template ends a turn with",
            f"take {base.tokenizer.eos_token} out of these completions",
            "--batch 1, or a pad token of its own in the base's tokenizer_config.json",
        ]
        cure = "; ".join(c for c, fault in zip(cures, faults, strict=True) if fault)
        return Finding("end", False, f"{name}: {'; '.join(f for f in faults if f)}", cure)
    twice = ", which doubles as pad and stays trained in padded batches" if base.tokenizer.pad_token_id in ends else ""
    return Finding("end", True, f"{name} is trained in {len(ending)} of {len(ending)} rows that end{twice}")


def stop_ids(base: Base) -> set[int]:
    """The tokens at which answering stops: the generation config's (finetune.answer), else the tokenizer's end."""
    given = base.model.generation_config.eos_token_id
    if given is None:
        given = base.tokenizer.eos_token_id
    return set(given) if isinstance(given, list) else {int(given)}


def end_ids(base: Base) -> set[int]:
    """All tokens that end a turn: those at which answering stops, and the tokenizer's own that training appends."""
    return stop_ids(base) | {base.tokenizer.eos_token_id}


def masked_ends(base: Base, rows: Sequence[Tokenised], stops: set[int]) -> list[str]:
    """Rows of which an end token is no longer among the targets once training's collators have laid them out.

    Some of all lengths are followed, each beside the longest, padded and without pads.
    """
    by_length = sorted(rows, key=lambda row: len(row.input_ids))
    few = [by_length[i] for i in np.unique(np.linspace(0, len(rows) - 1, FOLLOWED).round().astype(int))]
    longest, lost = few[-1], []
    for row in few:
        pair = [{"input_ids": r.input_ids, "labels": r.labels} for r in (row, longest)]
        due = sum(label in stops for r in (row, longest) for label in r.labels[1:])
        for layout in ("grouped", "padding-free"):
            targets = collator(layout, base.tokenizer.pad_token_id)(pair)["targets"].flatten().tolist()
            if sum(target in stops for target in targets) != due and row.id not in lost:
                lost.append(row.id)
    return lost


def check_render(base: Base, rows: Sequence[Tokenised]) -> Finding:
    """What is trained is what is served, byte for byte: the prompt's tokens and the completion that follows them.

    The prompt is compared with `finetune.answer.render`, tokenised as answering does; the completion with the one that
    the example has. Templates are caught that leave a message out, put something before the answer, strip its blanks,
    or open an answer in serving as no finished turn begins. A token that would join the last of the prompt and the
    first of the completion is only counted: answering cuts there as well.
    """
    chats = [row for row in rows if row.example.messages and not row.refused]
    if not chats:
        return Finding("render", True, "no row has a prompt: plain text is trained as it is")
    ends, faults, merged, rewritten = end_ids(base), [], 0, 0
    for row in chats:
        prompt, finished = render(base, row.example.messages), _templated(base, _answered(row.example))
        served, taught_ids = _ids(base, prompt), row.labels[row.n_prompt :]
        in_one = _ids(base, prompt + _text(base, taught_ids))
        fault = _prompt_fault(base, row, prompt, served, finished)
        fault = fault or _completion_fault(base, row, served + taught_ids, in_one, ends)
        faults += [f"{row.id}: {fault}"] if fault else []
        merged += in_one != served + taught_ids
        rewritten += not finished.startswith(prompt)
    notes = [
        f"{merged} rows would be tokenised otherwise in one piece, and are trained in two as they are served",
        f"of {rewritten} the template writes the prompt anew once it is answered, and they are trained as asked",
        "the template writes the current time, which will be another in serving",
    ]
    holds = [merged, rewritten, "strftime_now" in str(base.tokenizer.chat_template)]
    note = "".join(f"; {text}" for text, held in zip(notes, holds, strict=True) if held)
    if not faults:
        return Finding("render", True, f"{len(chats)} of {len(chats)} rows are trained byte for byte as served{note}")
    cure = "another --base, or a chat_template of it that keeps the text as given, or --accept render"
    return Finding("render", False, f"{len(faults)} of {len(chats)} rows are not trained as served: {faults[0]}", cure)


def _prompt_fault(base: Base, row: Tokenised, prompt: str, served: list[int], finished: str) -> str:
    missing = [m["role"] for m in row.example.messages if m["content"].strip() not in prompt]
    if missing:
        return f"the chat template leaves out or rewrites its {missing[0]} message"
    read = row.input_ids[: row.n_prompt]
    if served[-len(read) :] != read:
        return f"its prompt is trained as {_apart(_text(base, read), prompt)}"
    unasked = _templated(base, row.example.messages)
    if finished.startswith(unasked) and not finished.startswith(prompt):
        return f"serving opens the answer with {prompt[len(unasked) :]!r}, and no finished turn begins so"
    return ""


def _completion_fault(base: Base, row: Tokenised, in_two: list[int], in_one: list[int], ends: set[int]) -> str:
    if (text := _text(base, _body(row, ends))) != row.example.completion:
        return f"its completion is trained as {_apart(text, row.example.completion)}"
    if in_two != in_one and (apart := _text(base, in_two)) != (whole := _text(base, in_one)):
        return f"tokenised apart from its prompt it reads {_apart(apart, whole)}"
    return ""


def _templated(base: Base, messages: Sequence[object]) -> str:
    return str(base.tokenizer.apply_chat_template(list(messages), tokenize=False))


def _ids(base: Base, text: str) -> list[int]:
    """As answering tokenises a prompt: the chat template has written the special tokens already."""
    return list(base.tokenizer(text, add_special_tokens=False)["input_ids"])


def _answered(example: Example) -> list[object]:
    return [*example.messages, {"role": "assistant", "content": example.completion}]


def _text(base: Base, ids: Sequence[int]) -> str:
    return str(base.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def _body(row: Tokenised, ends: set[int]) -> list[int]:
    """The trained tokens without those that end the turn."""
    body = row.labels[row.n_prompt :]
    while body and body[-1] in ends:
        body = body[:-1]
    return body


def _apart(given: str, wanted: str) -> str:
    """Both texts from shortly before they part, so that blanks are seen."""
    start = max(0, len(os.path.commonprefix([given, wanted])) - 8)
    return f"{given[start : start + 48]!r} where {wanted[start : start + 48]!r} is due"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def telling(rows: Sequence[Tokenised]) -> list[Tokenised]:
    """The three rows to look at: the longest, the one with the lowest trained share, and the first of the others."""
    whole = [row for row in rows if row.input_ids]
    if not whole:
        return []
    chosen = [
        max(whole, key=lambda row: len(row.input_ids)),
        min(whole, key=lambda row: row.n_trained / len(row.input_ids)),
        *whole,
    ]
    return list({id(row): row for row in chosen}.values())[:3]


def require(findings: Sequence[Finding], accept: Sequence[str] = ()) -> None:
    """Raise FinetuneError (exit code 3) where a check says no that is not in `accept`, with its line and its cure."""
    wrong = [finding for finding in findings if not finding.ok and finding.name not in accept]
    if wrong:
        more = f" (and {len(wrong) - 1} more: {', '.join(f.name for f in wrong[1:])})" if wrong[1:] else ""
        raise FinetuneError(f"check {wrong[0].name}", wrong[0].says + more, fix=wrong[0].cure, exit_code=EXIT_NO)
