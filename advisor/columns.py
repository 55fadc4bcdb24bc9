"""One row of a log, whatever its columns are called, as a failure."""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from advisor.records import Failure, Message

# field -> accepted names, best first; compared in lower case without `_`, `-`, `.` or spaces, so that actual_output,
# actualOutput and "Actual Output" are one. From the public schemas of: ours; ragas (user_input, response,
# retrieved_contexts); DeepEval (actual_output, expected_output, retrieval_context); OpenAI evals (sampled, ideal);
# LangSmith and Langfuse (inputs, outputs, expected_output); HELM (completion); mlflow (ground_truth); RAGChecker
# (query, gt_answer, retrieved_context).
COLUMNS: dict[str, tuple[str, ...]] = {
    "prompt": (
        "prompt",
        "input",
        "question",
        "query",
        "user_input",
        "instruction",
        "inputs",
        "request",
        "user",
        "task",
    ),
    "output": (
        "output",
        "response",
        "completion",
        "prediction",
        "answer",
        "actual_output",
        "model_output",
        "generation",
        "generated_text",
        "predicted",
        "sampled",
        "outputs",
        "model_answer",
        "result",
    ),
    "reference": (
        "reference",
        "references",
        "expected",
        "expected_output",
        "target",
        "ideal",
        "gold",
        "ground_truth",
        "ground_truths",
        "label",
        "gt_answer",
        "correct_answer",
        "gold_answer",
        "expected_answer",
        "reference_output",
        "solution",
        "correction",
    ),
    "context": (
        "context",
        "contexts",
        "retrieved_contexts",
        "retrieval_context",
        "retrieved_context",
        "passages",
        "documents",
        "sources",
        "passage",
        "document",
    ),
    "feedback": ("feedback", "comment", "comments", "reason", "note", "notes", "critique", "explanation", "rationale"),
    "error": ("error", "exception"),
    "finish_reason": ("finish_reason", "stop_reason"),
    "system": ("system", "system_prompt", "system_message"),
}
# These alone say that a case passed or failed, whatever the other scores are.
DECIDING = ("passed", "pass", "success", "correct", "is_correct")
SAID = "result"  # the name of an output, too: it decides where it holds a word for passed or failed
SCORES = ("score", "accuracy", "exact_match", "em", "f1", "rating")
_WORDS = {"true": True, "pass": True, "passed": True, "yes": True, "correct": True, "c": True, "success": True}
_WORDS |= {"wahr": True, "falsch": False, "vrai": True, "faux": False}  # what spreadsheets write in other languages
_WORDS |= {"false": False, "fail": False, "failed": False, "no": False, "incorrect": False, "i": False, "wrong": False}
MAX_DEPTH = 64


class BadRow(ValueError):
    """This row cannot be used; the text says why and never quotes the row."""


def failure_of(row: Any, file: str, line: int) -> Failure:
    """The failure (or, where the row's scores say so, the passing case) that a row of a log describes.

    Raises BadRow, with a reason for the user, when there is no prompt or no output in it.
    """
    if not isinstance(row, Mapping):
        raise BadRow(f"{_kind(row)}, not an object with a prompt and an output")
    row = _from_harness(mended(row))
    if not all(isinstance(key, str) for key in row):
        raise BadRow("more cells than the header has columns")
    names: dict[str, str] = {}
    for key in row:
        names.setdefault(_plain(key), key)
    used: set[str] = set()

    def take(field: str) -> Any:
        for name in COLUMNS[field]:
            key = names.get(_plain(name))
            if key is not None and row[key] is not None:
                used.add(key)
                return row[key]
        return None

    raw_prompt, raw_output, error = take("prompt"), take("output"), take("error")
    has_output = raw_output is not None or any(_plain(name) in names for name in COLUMNS["output"])
    messages = messages_of(row.get("messages")) if row.get("messages") else messages_of(raw_prompt)
    used.add("messages")
    output = text_of(raw_output)
    if messages and messages[-1]["role"] == "assistant" and (not has_output or messages[-1]["content"] == output):
        output, has_output = messages[-1]["content"], True
        messages = messages[:-1]
    system = text_of(take("system"))
    if system and not (messages and messages[0]["role"] == "system"):
        messages = ({"role": "system", "content": system}, *messages)
    if not any(message["content"].strip() for message in messages):
        raise BadRow(f"no prompt (a column called messages, {', '.join(COLUMNS['prompt'][:5])}, ...)")
    if not has_output and not error:
        raise BadRow(f"no output (a column called {', '.join(COLUMNS['output'][:5])}, ...)")
    scores, said = _scores(row, names, used)
    metadata = row["metadata"] if isinstance(row.get("metadata"), Mapping) else {}
    fields = {field: take(field) for field in ("reference", "context", "feedback", "finish_reason")}
    kept = {"metadata", "scores", "checks", "review", "id", names.get("id", "id")}
    rest = {key: value for key, value in row.items() if key not in used | kept}
    name = metadata.get("id", row.get(names.get("id", "id")))
    return Failure(
        id=str(name) if isinstance(name, str | int) and str(name) else "",
        messages=messages,
        output=output,
        reference=_texts(fields["reference"]),
        context=_texts(fields["context"]),
        feedback="\n".join(_texts(fields["feedback"])),
        checks=_checks(row.get("checks"), file),
        scores=scores,
        error=text_of(error),
        finish_reason=text_of(fields["finish_reason"]),
        review=_review(row.get("review")),
        metadata={**rest, **metadata},
        passed=said is True and not error,
        file=file,
        line=line,
    )


def _from_harness(row: Any) -> Any:
    """A row of lm-eval's samples_*.jsonl (evaluator.py, `--log_samples`) under our names; any other row as it is."""
    if not {"resps", "arguments", "target"} <= row.keys() or not isinstance(row["resps"], list) or not row["resps"]:
        return row
    asked = row["arguments"]
    asked = list(asked.values()) if isinstance(asked, Mapping) else asked
    asked = [list(one.values()) if isinstance(one, Mapping) else one for one in asked if one]
    first, target = row["resps"][0], row["target"]
    answer = first[0] if isinstance(first, list) and first else first
    if isinstance(answer, list) or len(row["resps"]) > 1:  # one [log likelihood, is greedy] a choice
        chances = [one[0] if isinstance(one, list) and one else one for one in row["resps"]]
        chances = [one[0] if isinstance(one, list) and one else one for one in chances]
        if not all(isinstance(chance, int | float) for chance in chances):
            raise BadRow("resps holds neither a text nor a log likelihood for every choice")
        at = max(range(len(chances)), key=lambda choice: chances[choice])
        options = [one[1] if isinstance(one, list) and len(one) > 1 else one for one in asked]
        answer = options[at] if at < len(options) else str(at)
        if str(target).isdigit() and int(target) < len(options):
            target = options[int(target)]
    prompt = asked[0][0] if asked and isinstance(asked[0], list) and asked[0] else asked[0] if asked else ""
    prompt = prompt[0] if isinstance(prompt, list) and len(prompt) == 1 else prompt
    extracted = (
        row["filtered_resps"][0] if isinstance(row.get("filtered_resps"), list) and row["filtered_resps"] else ""
    )
    name = "-".join(str(row[part]) for part in ("doc_id", "filter") if row.get(part) not in (None, "none"))
    metadata = {"doc": row.get("doc"), "extracted": extracted, "filter": row.get("filter")}
    found = {"id": name, "prompt": prompt, "output": answer, "reference": target, "metadata": metadata}
    return found | {"scores": row["scores"] if isinstance(row.get("scores"), Mapping) else harness_scores(row)}


def harness_scores(row: Mapping[str, Any]) -> dict[str, float]:
    """What decides in a row of lm-eval: `exact_match` where it is measured, else every metric of the row."""
    names = row["metrics"] if isinstance(row.get("metrics"), list) else SCORES
    scores = {name: row[name] for name in map(str, names) if isinstance(row.get(name), int | float)}
    return {"exact_match": scores["exact_match"]} if "exact_match" in scores else scores


def messages_of(value: Any) -> tuple[Message, ...]:
    """Chat messages from a list of them, a string that holds such a list as JSON, {"messages": ...} or plain text."""
    if isinstance(value, Mapping):
        for key in ("messages", "raw", "prompt", "content", "text", "input", "question", "query"):
            if value.get(key):
                return messages_of(value[key])
    if isinstance(value, str) and value.lstrip().startswith("[{") and '"role"' in value:
        try:
            return messages_of(json.loads(value)) or ({"role": "user", "content": value},)
        except ValueError:
            pass
    if isinstance(value, list) and value and all(isinstance(m, Mapping) and "content" in m for m in value):
        roles = {"human": "user", "ai": "assistant"}
        role_of = [str(m.get("role") or m.get("type") or "user") for m in value]
        return tuple(
            {"role": roles.get(role, role), "content": text_of(m["content"])}
            for role, m in zip(role_of, value, strict=True)
        )
    text = text_of(value)
    return ({"role": "user", "content": text},) if text else ()


def text_of(value: Any) -> str:
    """A cell as text: parts of a message joined, the answer inside a provider's envelope, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        for key in ("output", "completion", "content", "text"):
            if isinstance(value.get(key), str) and len(value) <= 12:
                return str(value[key])
    if isinstance(value, list) and value and all(isinstance(part, Mapping) and "type" in part for part in value):
        return "\n".join(str(part["text"]) for part in value if isinstance(part.get("text"), str))
    return json.dumps(value, ensure_ascii=False)


def mended(value: Any, depth: int = 0) -> Any:
    """The value with lone surrogates replaced by U+FFFD, so that it can be written as UTF-8 again."""
    if depth > MAX_DEPTH:
        raise BadRow(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if isinstance(value, Mapping):
        return {mended(key, depth + 1): mended(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [mended(item, depth + 1) for item in value]
    return value


def _plain(name: str) -> str:
    return re.sub(r"[_\-. ?]", "", name).lower()


def _kind(value: Any) -> str:
    kinds = {list: "a list", str: "a bare string", bool: "a bare true or false", type(None): "null"}
    return kinds.get(type(value), "a bare number")


def _review(value: Any) -> Mapping[str, Any]:
    """A review from an object, from one as JSON in a CSV cell, or from the bare verdict."""
    if isinstance(value, str) and value.strip():
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = None
        return parsed if isinstance(parsed, Mapping) else {"verdict": value}
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value.lstrip()[:1] == "[" and value.rstrip()[-1:] == "]":
        for parse in (json.loads, ast.literal_eval):  # a list in a CSV cell: JSON, or what pandas writes
            try:
                parsed = parse(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                continue
            if isinstance(parsed, list) and parsed and all(isinstance(item, str) for item in parsed):
                return tuple(parsed)
            break
    items: Iterable[Any] = value if isinstance(value, list | tuple) else [value]
    return tuple(text for text in map(text_of, items) if text.strip())


def _checks(value: Any, file: str) -> tuple[Mapping[str, Any], ...]:
    if not value:
        return ()
    items = value if isinstance(value, list) else [value]
    if any(_is_outside(named, file) for named in _databases(items)):
        raise BadRow("a check names a database outside the folder of the log")
    return tuple(item if isinstance(item, Mapping) else {"type": str(item)} for item in items)


def _databases(value: Any) -> Iterator[str]:
    """The files that checks would open, wherever they stand in them (`sql-result`, also inside `not` and `all`)."""
    if isinstance(value, Mapping):
        if "database" in value:
            yield str(value["database"])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _databases(item)


def _is_outside(named: str, file: str) -> bool:
    """A log is not trusted: what it has opened has to lie beside it or below."""
    try:
        return not Path(named).resolve().is_relative_to(Path(file).resolve().parent)
    except (OSError, ValueError, RuntimeError):
        return True


def _scores(row: Mapping[str, Any], names: Mapping[str, str], used: set[str]) -> tuple[dict[str, Any], bool | None]:
    """All scores of the row, and whether they say passed (True), failed (False) or nothing (None)."""
    given = row.get("scores")
    scores: dict[str, Any] = dict(given) if isinstance(given, Mapping) else ({"scores": given} if given else {})
    for name in (*DECIDING, *SCORES):
        if (key := names.get(_plain(name))) is not None:
            scores.setdefault(key, row[key])
            used.add(key)
    key = names.get(SAID)
    if key is not None and key not in used and str(row[key]).strip().lower() in _WORDS:
        scores.setdefault(key, row[key])
        used.add(key)
    return scores, said_by(scores)


def decides(name: str) -> bool:
    """Whether a score of this name alone says that a case passed or failed."""
    return _plain(name) in map(_plain, (*DECIDING, SAID))


def said_by(scores: Mapping[str, Any]) -> bool | None:
    """Whether a log's scores say passed (True), failed (False) or nothing (None)."""
    deciding = [_holds(value) for name, value in scores.items() if decides(name)]
    known = [said for said in deciding if said is not None]
    known = known or [said for said in map(_holds, scores.values()) if said is not None]
    return all(known) if known else None


def _holds(value: Any) -> bool | None:
    """Whether one score is a pass: true, 1 or at its own threshold. 0.7 without a threshold is not known to be one."""
    if isinstance(value, Mapping):
        for key in ("passed", "pass", "success"):
            if isinstance(value.get(key), bool):
                return bool(value[key])
        number, threshold = value.get("score", value.get("value")), value.get("threshold")
        if isinstance(number, int | float) and isinstance(threshold, int | float):
            return float(number) >= float(threshold)
        return _holds(number) if not isinstance(number, Mapping) else None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _WORDS.get(value.strip().lower())
    if isinstance(value, int | float):
        return None if math.isnan(value) else value == 1
    return None
