"""What an experiment has around it when it runs: the plan, the failures, the run folder, and the models to ask."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advisor.answers import Answer, Asked
from advisor.errors import AdvisorError
from advisor.plan import Plan
from advisor.records import Failure
from advisor.run import Request, Run
from advisor.tell import Tell
from rag.endpoint import address, endpoint

if TYPE_CHECKING:
    from finetune.base import Base
    from finetune.constrain import Constraint

INSTALL = "pip install 'formfacts[all]'"
SCHEMES = ("http://", "https://")
TIMEOUT_S = 300.0  # of one answer; a server on a CPU that takes several at a time needs minutes
# Of several samples of a case, as in self-consistency (Wang et al. 2203.11171, section 3.1: 0.5 to 0.7).
TEMPERATURE = 0.7


class Models:
    """The models that a run asks, loaded when first needed and once."""

    def __init__(self, request: Request, max_new_tokens: int, tell: Tell) -> None:
        self.request, self.max_new_tokens, self.tell = request, max_new_tokens, tell
        self._loaded: dict[str, Base] = {}

    def base(self) -> Asked:
        """The base that is trained, untouched."""
        return self._local(self.request.base)

    def answering(self) -> Asked:
        """The model that answers: the base, another folder, or an OpenAI-compatible endpoint."""
        model = self.request.answering
        return self._served(address(model).model) if model.startswith(SCHEMES) else self._local(model)

    def constrained(self, constraint: Constraint) -> Asked:
        """The model that answers, each answer held to a JSON schema or a regular expression while it is written."""
        model = self.request.answering
        if model.startswith(SCHEMES):
            return self._served(address(model).model, constraint)
        return self._local(model, constraint=constraint)

    def tuned(self, adapter: Path) -> Asked:
        """The base with an adapter: loaded here, or asked of the endpoint by the name that --model gives it there."""
        served = served_adapters(self.request)
        if not served:
            return self._local(self.request.base, adapter)
        if adapter.name not in served:
            fix = f"{self.request.model},{adapter.name}=NAME"
            raise AdvisorError("--model", f"no name for the adapter {adapter.name}", fix=fix)
        self.tell.say(f"  the endpoint has to serve {adapter} as {served[adapter.name]}")
        return self._served(served[adapter.name])

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

    def _local(self, model: str, adapter: Path | None = None, constraint: Constraint | None = None) -> Asked:
        def answer(sample: int) -> Answer:
            base = self.loaded(model, adapter)
            from finetune.answer import answerer

            return answerer(
                base,
                max_new_tokens=self.max_new_tokens,
                constraint=constraint,
                temperature=self.temperature,
                seed=self._seed(sample),
            )

        return self._asked(f"{model} with {adapter}" if adapter else model, answer, constraint)

    def _served(self, name: str, constraint: Constraint | None = None) -> Asked:
        at = address(self.request.answering).url

        def answer(sample: int) -> Answer:
            return endpoint(
                at,
                name,
                max_tokens=self.max_new_tokens,
                timeout_s=TIMEOUT_S,
                response_format=None if constraint is None else response_format(constraint),
                temperature=self.temperature,
                seed=self._seed(sample),
                parallel=self.request.parallel,
                told=lambda why: self.tell.say(f"  {why}"),
            )

        return self._asked(f"{at}#{name}", answer, constraint)

    def _asked(self, model: str, answer: Callable[[int], Answer], constraint: Constraint | None = None) -> Asked:
        if constraint is not None:
            model += f" held to {json.dumps(constraint, sort_keys=True)}"
        sampling = f"{self.max_new_tokens} tokens, temperature {self.temperature}, seed {self.request.seed}"
        return Asked(f"{model}, {sampling}", answer, self.request.samples)

    @property
    def temperature(self) -> float:
        """0, greedy, for one sample of a case; more than one are drawn."""
        return TEMPERATURE if self.request.samples > 1 else 0.0

    def _seed(self, sample: int) -> int | None:
        return self.request.seed + sample if self.temperature else None


def response_format(constraint: Constraint) -> dict[str, Any]:
    """A JSON schema as the OpenAI API takes it (chat completions, `response_format` of type json_schema)."""
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": constraint["json_schema"]}}


def served_adapters(request: Request) -> Mapping[str, str]:
    """Folder name of an adapter -> the name under which the endpoint of --model serves it; empty: none."""
    return address(request.answering).adapters if request.answering.startswith(SCHEMES) else {}


def control_of(request: Request, axis: str) -> tuple[str, Callable[[Models], Answer]]:
    """The untouched arm of an axis: the base for weights, the answering model for prompts and context.

    Where the endpoint serves the adapters too, its own model is what they are compared with.
    """
    if axis == "weights" and request.answering != request.base and not served_adapters(request):
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
