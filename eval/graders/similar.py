"""Likeness of meaning by sentence vectors that the caller gives: weak, and it says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from eval.graders.row import Check, Wrong, each, fields_of, share_of, texts_of

Encode = Callable[[Sequence[str]], Any]
# promptfoo's default for `similar` (src/assertions/similar.ts); ours too, for want of a better one.
AT_LEAST = 0.75
MAX_CHARS = 20_000  # of an answer, encoded; the usual models read 256 to 512 tokens of it
_registered: list[Encode] = []


def use_encoder(encode: Encode | None) -> None:
    """Take `encode` (texts -> one vector a row) for the checks `similar` from now on; None takes it away again."""
    _registered[:] = [encode] if encode else []


def _similar(answer: str, value: Any) -> bool:
    import numpy as np

    text, at_least = fields_of(value, "text", "at_least")
    texts, least = texts_of(text), share_of(at_least)
    if not _registered:
        raise Wrong("there are no sentence vectors: give some with eval.graders.similar.use_encoder(encode)")
    if not answer.strip():
        return False
    asked = [one[:MAX_CHARS].encode("utf-8", "replace").decode() for one in (answer, *texts)]
    vectors = np.asarray(_registered[0](asked), dtype=float)
    if vectors.ndim != 2 or len(vectors) != len(asked) or not np.isfinite(vectors).all():
        raise Wrong(f"the encoder gave {vectors.shape}, not one finite vector for each of {len(asked)} texts")
    lengths = np.linalg.norm(vectors, axis=1)
    if not lengths.all():
        return False
    unit = vectors / lengths[:, None]
    return bool((unit[1:] @ unit[0]).max() >= least)


def _made(references: Sequence[str]) -> dict[str, Any] | None:
    texts = each([reference for reference in references if reference.strip()])
    return {"text": texts, "at_least": AT_LEAST} if texts else None


CHECKS: dict[str, Check] = {
    "similar": Check(
        _similar,
        "content",
        "is near to `text` in meaning (cosine of sentence vectors of `at_least`; WEAK evidence)",
        "{text: one or several, at_least: 0 to 1}",
        False,
        "other words for the same",
        "WEAK: another figure, name or a denial in the same sentence is as near; the threshold belongs to the "
        "encoder; long texts are cut; needs an encoder given by the caller",
        made=_made,
    ),
}
