"""What flows through the story: a failure, the evidence on it, its diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CAUSES = ("form", "facts", "both", "context-ignored", "harness", "capability", "flaky")
VERDICTS = (*CAUSES, "unsure")

Message = Mapping[str, str]
Question = Sequence[Message]


@dataclass(frozen=True)
class Failure:
    """One logged case, as read: what was asked, what came, and whatever else the log knows of it."""

    id: str
    messages: tuple[Message, ...]
    output: str
    reference: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    feedback: str = ""
    checks: tuple[Mapping[str, Any], ...] = ()
    scores: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    finish_reason: str = ""
    review: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    passed: bool = False  # the log itself says that this case passed: it guards, it is never diagnosed
    file: str = ""
    line: int = 0

    @property
    def prompt(self) -> str:
        """All that the model was shown, system message first, one blank line between messages."""
        return "\n\n".join(message["content"] for message in self.messages)

    @property
    def asked(self) -> str:
        """The last user message: the question without the standing instructions."""
        return next((m["content"] for m in reversed(self.messages) if m["role"] == "user"), self.prompt)


@dataclass(frozen=True)
class Evidence:
    """One sentence that speaks for a cause and quotes the log; weight in log-odds, 0 = only informs."""

    rung: str
    cause: str
    says: str
    quote: str = ""
    weight: float = 0.0


@dataclass(frozen=True)
class Diagnosis:
    """Why one failure failed: the verdict, a probability for each of the seven causes, the evidence."""

    id: str
    verdict: str
    probabilities: Mapping[str, float]
    evidence: tuple[Evidence, ...]
    file: str = ""
    line: int = 0
    cluster: str = ""
    review: Mapping[str, str] = field(default_factory=dict)  # a person's verdict, by, when; `router`: without it
