"""The route itself on trial: documents for the form failures, an adapter for the facts, each given its best chance."""

from __future__ import annotations

import json
import random
import re
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from advisor.adapting import text_losses, train_adapter
from advisor.cases import Case, Score, answer_cases
from advisor.experiments import ON_FACTS, ON_FORM, Experiment
from advisor.grounding import documents, indexed, looked_up
from advisor.phrasings import Found, phrasings_for
from advisor.redact import redact
from advisor.run import Run
from advisor.splits import instructions
from advisor.stage import Stage
from advisor.targets import target_of
from advisor.tell import spoken
from advisor.wording import p_value, percent, points, points_span
from eval.fold import words
from eval.grade import grade
from eval.leaks import LEAST_WORDS
from eval.prove import prove

if TYPE_CHECKING:
    from finetune.base import Base
    from rag.documents import Document

ADAPTER, EXAMPLES, KNOWN = "cross/facts-adapter", "cross/examples.jsonl", "cross/known.jsonl"
TRIAL, LOSSES, STALENESS = "cross/trial.json", "cross/text_loss.json", "cross/staleness.json"
# Of its own training phrasings an adapter must answer this share; else it was not taught, and its trial shows nothing.
TAUGHT = 0.9
SAMPLED = 64  # training phrasings that are asked after an epoch before all are: most epochs are far from enough
PASSAGES = (1, 2, 3)
TRIED = 15  # train cases on which the number of passages is chosen
# The 2 x 2: failures of a route, and the experiments that try a cure on them.
CELLS = {"form": {"rag": ON_FORM, "lora": "lora"}, "facts": {"rag": "rag", "lora": ON_FACTS}}


def retrieval_on_form(
    experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage
) -> list[Score]:
    """Look the format up: an index of the house style guide with an example, passages as serve the train side best."""
    from finetune.replay import PROMPTS
    from rag.tune import tune

    index = indexed(guide(experiment, stage), "cross/index", stage)
    facts = next((e.train for e in stage.plan.experiments if e.route == "facts"), ())
    asked = [(stage.failures[name].asked, ()) for name in experiment.train]
    settings = tune(index, asked, [*PROMPTS, *(stage.failures[name].asked for name in facts)])
    tried = random.Random(stage.request.seed).sample(sorted(experiment.train), min(TRIED, len(experiment.train)))
    passed = {}
    for k in (k for k in PASSAGES if k <= len(index.chunks)):
        always = settings._replace(passages=k, min_similarity=-1.0)
        rows = looked_up(index, always, f"{ON_FORM}-{k}", [stage.plan.cases[name] for name in tried], (), stage)
        passed[k] = sum(bool(row["passed"]) for row in rows)
    settings = settings._replace(passages=max(passed, key=lambda k: (passed[k], -k)))
    stage.tell.say(
        f"  passages: {settings.passages} (of {len(tried)} train cases pass with "
        f"{', '.join(f'{k}: {n}' for k, n in passed.items())}); shown from {settings.min_similarity:.2f}"
    )
    stage.run.write("cross/index/settings.json", json.dumps(settings._asdict(), indent=1) + "\n")
    return looked_up(index, settings, experiment.id, cases, control, stage)


def guide(experiment: Experiment, stage: Stage) -> list[Document]:
    """The house style guide: the documents given, else each standing instruction with one solved train case."""
    from rag.documents import documents_from_texts, read_documents

    if (given := stage.request.style_guide) is not None:
        return [document._replace(text=redact(document.text)[0]) for document in read_documents(given)]
    solved = {instructions(stage.failures[name].messages): name for name in reversed(experiment.train)}
    texts = (
        (f"format {number}", f"{rule}\n\nExample. Given: {stage.failures[name].asked}\nWritten:\n{target}")
        for number, (rule, name) in enumerate(sorted(solved.items()), start=1)
        if (target := stage.plan.targets.get(name))
    )
    return documents_from_texts((name, redact(text)[0].strip()) for name, text in texts)


def adapter_on_facts(
    experiment: Experiment, cases: Sequence[Case], control: Sequence[Score], stage: Stage
) -> list[Score]:
    """Train the facts in: on the documents and on other phrasings of what is asked, until the phrasings are known."""
    from rag.answer import last_user

    run = stage.run
    judged = {case.id: last_user(case.messages) for case in cases}
    record = json.loads((run.folder / TRIAL).read_text(encoding="utf-8")) if (run.folder / TRIAL).is_file() else {}
    folder = run.path(ADAPTER)
    if not record:
        found = phrasings_for(experiment.held_out, judged, stage)
        rows, cut = training_rows(found, documents(experiment, stage), judged, stage)
        found = Found(found.phrasings, found.leaks + cut)
        run.write_rows(EXAMPLES, rows)
        asked = [row for row in rows if "messages" in row]
        stage.tell.say(
            f"  {len(asked)} phrasings of {len(found.taught())} of {len(experiment.held_out)} held-out questions "
            f"({', '.join(f'{n} from the {source}' for source, n in found.sources().items()) or 'none'}), "
            f"{len(rows) - len(asked)} passages of documents; {found.leaks} left out, being what will be asked"
        )
        train_adapter(rows, experiment.recipe, stage.models, folder, stage.tell, known_by(asked, stage))
        record = trial(found, experiment, run)
        run.write(TRIAL, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    stage.tell.say("  a fair trial" if record["fair"] else f"  no fair trial: {'; '.join(record['reasons'])}")
    scores = answer_cases(run, experiment.id, cases, partial(stage.models.tuned, folder), stage.tell)
    text_losses(LOSSES, folder, stage)
    return scores


def training_rows(
    found: Found, pages: Sequence[Document], judged: Mapping[str, str], stage: Stage
) -> tuple[list[dict[str, Any]], int]:
    """Rows for training, and how many questions of `judged` were cut out of the documents.

    Phrasings first, in the words around the case's own question and with its reference; then the documents by
    paragraph, each under its title: short rows, as long as the phrasings, so that little is padded.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for phrasing in found.phrasings:
        failure = stage.failures[phrasing.id]
        last = max((i for i, m in enumerate(failure.messages) if m["role"] == "user"), default=0)
        messages = [
            {"role": m["role"], "content": redact(phrasing.prompt if i == last else m["content"], personal=True)[0]}
            for i, m in enumerate(failure.messages)
        ]
        if target := target_of(failure):
            row = {"messages": messages, "completion": redact(target, personal=True)[0], "id": phrasing.id}
            rows.setdefault((json.dumps(messages), target), row)  # two cases can share a fact and its phrasings
    cut, texts = 0, []
    for page in pages:
        text, n = without_questions(redact(page.text, personal=True)[0], judged.values())
        cut += n
        for part in re.split(r"\n\s*\n", text):
            if part.strip() and part.strip("# \n") != page.title:
                head = f"# {page.title}\n\n" if page.title else ""
                texts.append({"text": head + part.strip(), "id": page.id})
    return [*rows.values(), *texts], cut


def without_questions(text: str, asked: Any) -> tuple[str, int]:
    """The text without the questions that stand in it word for word, as those of a page of frequent questions do."""
    cut = 0
    for question in dict.fromkeys(asked):
        if len(words(question)) >= LEAST_WORDS:
            pattern = r"\s+".join(map(re.escape, question.split()))
            text, n = re.subn(pattern, "", text, flags=re.I)
            cut += n
    return text, cut


def known_by(asked: Sequence[Mapping[str, Any]], stage: Stage) -> Any:
    """The question put to training after each epoch: are TAUGHT of these phrasings answered? None without any."""
    if not asked:
        return None

    def known(base: Base) -> bool:
        from finetune.answer import answerer

        answer = answerer(base, max_new_tokens=stage.plan.max_new_tokens)
        drawn = random.Random(stage.request.seed).sample(asked, len(asked))
        right = of = 0
        for part in (drawn[:SAMPLED], drawn[SAMPLED:]):
            if right < TAUGHT * of:
                break
            answers = answer([row["messages"] for row in part]) if part else []
            graded = zip(part, answers, strict=True)
            right += sum(grade(text, stage.plan.cases[row["id"]].checks).passed for row, text in graded)
            of += len(part)
        stage.run.append_rows(KNOWN, [{"right": right, "of": of}])
        stage.tell.say(f"  {right} of {of} training phrasings are answered")
        return right >= TAUGHT * of

    return known


def trial(found: Found, experiment: Experiment, run: Run) -> dict[str, Any]:
    """Whether the adapter had a fair trial, and why not: {fair, reasons, ...counts, seconds of training}."""
    trained = json.loads((run.folder / ADAPTER / "training.json").read_text(encoding="utf-8"))
    told = list(run.rows(KNOWN))
    share = told[-1]["right"] / told[-1]["of"] if told else 0.0
    held, taught = len(experiment.held_out), len(found.taught())
    reasons = []
    if taught < TAUGHT * held:
        reasons.append(
            f"only {taught} of {held} held-out questions have enough other phrasings to be learned from "
            "(give more with --phrasings)"
        )
    if share < TAUGHT:
        reasons.append(
            f"after {trained['epochs']} epochs it answers {percent(share)} of the training phrasings that it was "
            f"asked, less than {percent(TAUGHT)}"
        )
    return {
        "fair": not reasons,
        "reasons": reasons,
        "phrasings": sum("messages" in row for row in run.rows(EXAMPLES)),
        "sources": found.sources(),
        "taught": taught,
        "held_out": held,
        "leaks": found.leaks,
        "known": told,
        "known_rate": share,
        "epochs": trained["epochs"],
        "seconds": trained["seconds"],
    }


def crossed(proofs: Mapping[str, Any], scores: Sequence[Score], run: Run) -> dict[str, Any] | None:
    """The 2 x 2 as found, which cure was better on each kind of failure, the trial, staleness; None without --cross.

    `table` {form | facts: {rag | lora: {experiment, n, control_passed, treated_passed, difference, interval,
    rate_interval, verdict} or None}}; `between` {form | facts: RAG minus LoRA on the cases that both answered, as the
    gain of `eval.prove`, or None}; rates and differences lie between 0 and 1, intervals at 95 %.
    """
    if not {ON_FORM, ON_FACTS} & set(proofs):
        return None
    shown = ("n", "control_passed", "treated_passed", "difference", "interval", "rate_interval")
    table: dict[str, Any] = {}
    between: dict[str, Any] = {}
    for route, cells in CELLS.items():
        table[route] = {
            cure: {"experiment": name, "verdict": proofs[name]["verdict"]}
            | {key: proofs[name]["gain"][key] for key in shown}
            if name in proofs
            else None
            for cure, name in cells.items()
        }
        arms = {name: arm for arm, name in (("control", cells["lora"]), ("rag", cells["rag"])) if name in proofs}
        rows = [{**row, "arm": arms[row["arm"]]} for row in scores if row["arm"] in arms and row["split"] == "gain"]
        between[route] = prove(rows)["rag"]["gain"] if len(arms) == 2 else None
    kept = {
        name: json.loads((run.folder / file).read_text(encoding="utf-8")) if (run.folder / file).is_file() else None
        for name, file in (("trial", TRIAL), ("staleness", STALENESS))
    }
    return {"table": table, "between": between, **kept}


def told(found: Mapping[str, Any]) -> list[str]:
    """What the 2 x 2 came to, in sentences."""
    lines = []
    for route, gain in found["between"].items():
        if gain and gain["n"]:
            lines.append(
                f"On {gain['n']} held-out {route} failures RAG passes {gain['treated_passed']}, LoRA "
                f"{gain['control_passed']}: RAG minus LoRA {points(gain['difference'])} points "
                f"({points_span(gain['interval'])}), p {p_value(gain['p'])}."
            )
    if trial := found["trial"]:
        known = f"{trial['known'][-1]['right']} of {trial['known'][-1]['of']}" if trial["known"] else "none"
        known += f" of its {trial['phrasings']} training phrasings after {trial['epochs']} epochs"
        leaks = f"; {trial['leaks']} questions that will be asked were left out" if trial["leaks"] else ""
        fair = "A fair trial of LoRA on facts" if trial["fair"] else "No fair trial of LoRA on facts"
        why = "" if trial["fair"] else f": {'; '.join(trial['reasons'])}"
        lines.append(f"{fair}{why}. It answered {known}{leaks}.")
    if rows := found["staleness"]:
        n, seconds = len(rows), statistics.median(row["rag_seconds"] for row in rows)
        new, old = (sum(row[key] for row in rows) for key in ("rag_says_new", "adapter_says_old"))
        lines.append(
            f"{n} facts changed in the documents, one at a time: RAG said the new one in {new} of {n}, {seconds:.1f} s "
            f"after the change (median; index rebuilt, question answered); the adapter still said the old one in {old}."
        )
        if trial:
            lines[-1] += f" Training it had taken {spoken(trial['seconds'])}."
    return lines
