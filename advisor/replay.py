"""Ask again before anything is bought: a failure that the base no longer shows is not planned for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial

from advisor.cases import Case, answer_cases
from advisor.plan import answer_tokens
from advisor.records import Failure
from advisor.run import Request, Run
from advisor.stage import Models, control_of
from advisor.tell import Tell

AXES = {"form": "weights", "facts": "context", "context-ignored": "weights"}


def replay(
    cases: Mapping[str, tuple[str, Case]], failures: Sequence[Failure], request: Request, run: Run, tell: Tell
) -> dict[str, bool] | None:
    """id -> whether the untouched model passes it now; None where no model may be asked.

    Form and reading are replayed on the base, which would be trained, facts on the model that answers. At most
    `replay_limit` of each, drawn with the run's seed; of several samples the majority counts. The answers are the
    control arm of the proof.
    """
    if not request.may_ask_models or not cases:
        return None
    models = Models(request, answer_tokens(failures), tell)
    found: dict[str, bool] = {}
    for route, axis in AXES.items():
        chosen = sorted((case for own, case in cases.values() if own == route), key=lambda case: case.id)
        random.Random(request.seed).shuffle(chosen)
        arm, ask = control_of(request, axis)
        rows = answer_cases(run, arm, chosen[: request.replay_limit], partial(ask, models), tell)
        passes = Counter(row["id"] for row in rows if row["passed"])
        found.update((name, 2 * passes[name] > n) for name, n in Counter(row["id"] for row in rows).items())
    passing = sum(found.values())
    tell.say(
        f"replayed {len(found)} on {request.base}: {len(found) - passing} fail there too"
        + (f", {passing} pass and are not planned for" if passing else "")
    )
    return found
