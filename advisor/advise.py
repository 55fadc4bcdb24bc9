"""The whole story in one function: from a log of failures to a proven fix."""

from __future__ import annotations

from advisor.keep import diagnosed
from advisor.launch import launch
from advisor.plan import candidates, make_plan, routed
from advisor.prompt_first import sample_targets, try_prompts
from advisor.proof import prove_plan
from advisor.read import read
from advisor.replay import replay
from advisor.report import Outcome, report
from advisor.run import Request, open_run
from advisor.teach import with_reviews
from advisor.tell import Tell


def advise(request: Request, tell: Tell) -> Outcome:
    """failures -> why each failed -> what to buy for it -> run it -> did it help, and what did it cost?"""
    run = open_run(request)
    log = with_reviews(read(request.failures), request.reviews)
    diagnoses = diagnosed(run, log, request, tell)
    cases = routed(log, diagnoses)
    replayed = replay(cases, log.failures, request, run, tell)
    found = candidates(log, cases, replayed, request, run)
    trials = try_prompts(found, log.failures, request, run, tell)
    found = sample_targets(found, trials, log.failures, request, run, tell)
    plan = make_plan(log, diagnoses, found, trials, request, run)
    if not request.agreed(plan, log, diagnoses):
        return report(run, log, diagnoses, plan)
    scores = launch(plan, log, request, run, tell)
    return report(run, log, diagnoses, plan, scores, prove_plan(plan, scores, run))
