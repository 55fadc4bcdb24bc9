"""A loaded model as a plain function from questions to answers, and as a measure of text loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch

from finetune.base import Base
from finetune.constrain import Constraint, holding

Question = Sequence[Mapping[str, str]]
Answer = Callable[[Sequence[Question]], Sequence[str]]


class Written(str):
    """An answer with why it ended: stop (the model ended it) or length (it was cut)."""

    finish_reason: str

    def __new__(cls, text: str, finish_reason: str = "") -> Written:
        """Text and reason together."""
        written = super().__new__(cls, text)
        written.finish_reason = finish_reason
        return written


def render(base: Base, question: Question) -> str:
    """The prompt exactly as the model sees it: the chat template with the assistant's turn opened."""
    return str(base.tokenizer.apply_chat_template(list(question), tokenize=False, add_generation_prompt=True))


def answerer(
    base: Base,
    *,
    max_new_tokens: int = 64,
    batch: int = 16,
    constraint: Constraint | None = None,
    temperature: float = 0.0,
    seed: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Answer:
    """Greedy answers, batched by length; `progress` is told how many more are done after each batch.

    A prompt that leaves no room in the model's context loses its oldest tokens, as a server would do. With a
    `constraint` every answer is held to that JSON schema or regular expression (finetune.constrain). With a
    `temperature` they are drawn, from `seed` on in each call.
    """

    def answer(questions: Sequence[Question]) -> Sequence[str]:
        prompts = [render(base, question) for question in questions]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        answers = [""] * len(prompts)
        if temperature and seed is not None:
            torch.manual_seed(seed)
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            texts = _generate(base, [prompts[i] for i in rows], max_new_tokens, constraint, temperature)
            for row, text in zip(rows, texts, strict=True):
                answers[row] = text
            if progress is not None:
                progress(len(rows))
        return answers

    return answer


@torch.inference_mode()
def _generate(
    base: Base, prompts: list[str], max_new_tokens: int, constraint: Constraint | None, temperature: float
) -> list[str]:
    limit = base.model.config.max_position_embeddings - max_new_tokens
    inputs = base.tokenizer(
        prompts,
        return_tensors="pt",
        padding=True,
        padding_side="left",
        truncation=True,
        truncation_side="left",
        max_length=limit,
        add_special_tokens=False,  # the chat template has written them already
    ).to(base.device)
    out = base.model.generate(
        **inputs,
        max_new_tokens=max_new_tokens,
        do_sample=temperature > 0,
        temperature=temperature or None,
        top_p=None,
        top_k=None,
        pad_token_id=base.tokenizer.pad_token_id,
        logits_processor=None if constraint is None else [holding(base, constraint)],
    )
    fresh = out[:, inputs["input_ids"].shape[1] :]
    ends = base.model.generation_config.eos_token_id
    whole = torch.isin(fresh, torch.tensor(-1 if ends is None else ends, device=fresh.device)).any(dim=1).tolist()
    texts = base.tokenizer.batch_decode(fresh, skip_special_tokens=True)
    return [Written(text.strip(), "stop" if ended else "length") for text, ended in zip(texts, whole, strict=True)]


@torch.inference_mode()
def text_loss(base: Base, texts: Sequence[str]) -> list[float]:
    """Mean negative log-likelihood of each text, in nats a token (perplexity is its exponential)."""
    losses = []
    for text in texts:
        ids = base.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"].to(base.device)
        losses.append(float(base.model(input_ids=ids, labels=ids).loss))
    return losses
