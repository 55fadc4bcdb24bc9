"""What an experiment has around it when it runs: the plan, the failures, the run folder, and the models to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor.cases import Answer
from advisor.errors import AdvisorError
from advisor.plan import Plan
from advisor.records import Failure
from advisor.run import Request, Run
from advisor.tell import Tell

if TYPE_CHECKING:
    from finetune.base import Base

INSTALL = "pip install 'formfacts[all]'"


class Models:
    """The models that a run asks, loaded when first needed and once."""

    def __init__(self, request: Request, max_new_tokens: int, tell: Tell) -> None:
        self.request, self.max_new_tokens, self.tell = request, max_new_tokens, tell
        self._loaded: dict[str, Base] = {}

    def base(self) -> Answer:
        """The base that is trained, untouched."""
        return self._answer(self.loaded(self.request.base))

    def answering(self) -> Answer:
        """The model that answers: the base, another folder, or an OpenAI-compatible endpoint."""
        model = self.request.answering
        if model.startswith(("http://", "https://")):
            from rag.endpoint import endpoint

            return endpoint(model, max_tokens=self.max_new_tokens)
        return self._answer(self.loaded(model))

    def tuned(self, adapter: Path) -> Answer:
        """The base with an adapter."""
        return self._answer(self.loaded(self.request.base, adapter))

    def loaded(self, model: str, adapter: Path | None = None) -> Base:
        """The model itself, for what only weights can tell."""
        key = f"{model} {adapter or ''}"
        if key not in self._loaded:
            try:
                from finetune.base import load
            except ImportError as missing:
                raise AdvisorError("a local model", f"{missing.name} is not installed", fix=INSTALL) from None
            self.tell.say(f"  loading {model}{f' with {adapter}' if adapter else ''}")
            self._loaded.clear()  # one model in memory at a time is all that a small card holds
            self._loaded[key] = load(model, adapter=adapter, trust_remote_code=self.request.trust_remote_code)
        return self._loaded[key]

    def drop(self) -> None:
        """Free the loaded model: training loads its own, fresh."""
        self._loaded.clear()

    def _answer(self, base: Base) -> Answer:
        from finetune.answer import answerer

        return answerer(base, max_new_tokens=self.max_new_tokens)


def control_of(request: Request, axis: str) -> tuple[str, Callable[[Models], Answer]]:
    """The untouched arm of an axis: the base for weights, the answering model for prompts and context."""
    if axis == "weights" and request.answering != request.base:
        return "control-base", lambda models: models.base()
    return "control", lambda models: models.answering()


@dataclass(frozen=True)
class Stage:
    """All that an experiment needs around it."""

    plan: Plan
    failures: Mapping[str, Failure]
    request: Request
    run: Run
    models: Models
    tell: Tell
