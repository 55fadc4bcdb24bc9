"""Constrained decoding: at each step only tokens that can still lead to an answer of the wanted form may be chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from finetune.errors import FinetuneError

if TYPE_CHECKING:
    import torch

    from finetune.base import Base

Constraint = Mapping[str, Any]  # {"json_schema": a schema} or {"regex": a pattern that matches the whole answer}

INSTALL = "pip install 'formfacts[constrain]'"
# JSON as json.dumps writes it. With free white space a small model may write blanks until its tokens are used up.
AS_DUMPED: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def refused(constraint: Constraint) -> str:
    """Why answers cannot be held to this constraint, in one line; "" where they can.

    Patterns are those of Rust's `regex`: no look-around, no back-references.
    """
    try:
        from llguidance import LLMatcher
    except ImportError as missing:
        return f"{missing.name} is not installed: {INSTALL}"
    try:
        wrong = str(LLMatcher.validate_grammar(_grammar(constraint)))
    except (TypeError, ValueError) as error:
        wrong = str(error)
    said = next((line for line in wrong.splitlines() if line.startswith("error: ")), wrong).removeprefix("error: ")
    return " ".join(said.split())[:160]


def holding(base: Base, constraint: Constraint) -> Held:
    """A logits processor for one call of `generate` that holds every row of the batch to the constraint.

    The mask comes from llguidance (https://github.com/guidance-ai/llguidance: an Earley parser over derivatives of
    regular expressions); what the model is sure of among the allowed tokens stays as it was. An answer that is cut
    by the limit of tokens may still be unfinished. Raises FinetuneError for a constraint or tokenizer it cannot take.
    """
    if wrong := refused(constraint):
        raise FinetuneError("constraint", wrong, "a JSON schema or a regular expression without look-around")
    from llguidance import LLMatcher

    return Held(LLMatcher(_tokens(base), _grammar(constraint), log_level=0), base.model.config.vocab_size, _ends(base))


class Held:
    """The state of one batch while it is being written: a matcher for each row."""

    def __init__(self, start: Any, vocabulary: int, ends: list[int]) -> None:
        self.start, self.vocabulary, self.ends = start, vocabulary, ends
        self.rows: list[Any] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores of the next token (rows x vocabulary), with those that break the form at minus infinity."""
        import numpy as np
        import torch

        if not self.rows:
            self.rows = [self.start.deep_copy() for _ in range(len(input_ids))]
        else:
            for row, token in zip(self.rows, input_ids[:, -1].tolist(), strict=True):
                if not row.is_stopped():  # after its end a row is padded
                    row.consume_token(token)
        allowed = torch.zeros_like(scores, dtype=torch.bool)
        for at, row in enumerate(self.rows):
            if row.is_stopped():  # also where a pattern out of a log is too big to be followed: the answer ends there
                allowed[at, self.ends] = True
                continue
            bits = np.unpackbits(np.frombuffer(row.compute_bitmask(), dtype=np.uint8), bitorder="little")
            allowed[at, : self.vocabulary] = torch.from_numpy(bits[: self.vocabulary].astype(bool)).to(scores.device)
        return scores.masked_fill(~allowed, float("-inf"))


def _grammar(constraint: Constraint) -> str:
    from llguidance import LLMatcher

    if set(constraint) == {"json_schema"}:
        return str(LLMatcher.grammar_from_json_schema(constraint["json_schema"], defaults=AS_DUMPED))
    if set(constraint) == {"regex"}:
        return str(LLMatcher.grammar_from_regex(constraint["regex"]))
    raise ValueError(f"{', '.join(constraint) or 'nothing'}; allowed: json_schema, regex")


def _ends(base: Base) -> list[int]:
    ends = base.model.generation_config.eos_token_id
    ends = base.tokenizer.eos_token_id if ends is None else ends
    return list(ends) if isinstance(ends, list | tuple) else [ends]


def _tokens(base: Base) -> Any:
    """The tokenizer as llguidance reads it (about 1 s), kept with the loaded base."""
    from llguidance import hf

    kept = getattr(base, "_constrained_tokens", None)
    if kept is None:
        try:
            kept = hf.from_tokenizer(base.tokenizer, n_vocab=base.model.config.vocab_size, eos_token=_ends(base))
        except ValueError as error:
            raise FinetuneError(
                base.source, f"cannot be constrained: {error}", "a model with a fast tokenizer"
            ) from None
        base._constrained_tokens = kept  # type: ignore[attr-defined]
    return kept
