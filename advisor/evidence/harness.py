"""Rung 0, the gate: is it the model that failed, or the test around it?"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from advisor.evidence.mathematics import sum_of
from advisor.evidence.text import contains, folded, numbers, quoted, words
from advisor.records import Evidence, Failure
from eval.checks import CrashedCheck, axis_of, passes
from eval.grade import grade

RUNG = "harness"
SURE, LIKELY, HINT = 8.0, 5.0, 2.0  # log-odds: proves it; hardly anything else; worth a look

# Jinja / mustache / promptfoo {{x}}, {%...%}; ERB and EJS <%= x %>; Python format {user_question};
# shell ${X}.
_DOUBLE = re.compile(r"\{\{\s*[\w.\[\]'\"| -]{1,60}\s*\}\}|\{%-?\s*\w+.{0,60}?%\}|<%[=-]?\s*\w[^%]{0,60}%>")
_SINGLE = re.compile(r"(?<![\w{$\\])\{[a-z][a-z0-9]*(?:_[a-z0-9]+)*\}(?!\})|\$\{[A-Za-z_]\w*\}")
_ABOUT_TEMPLATES = re.compile(r"template|placeholder|jinja|mustache|handlebars|f-string|format string|latex", re.I)
_STEM = re.compile(r"[A-Za-z0-9]+(?:[_-][A-Za-z0-9]+)*(?:\.(?:txt|md|j2|jinja2?|ya?ml|json|py|prompt))?")
_PLACEHOLDER = re.compile(
    r"(?:todo|tbd|tba|fixme|n/?a|none|null|nan|undefined|placeholder|lorem ipsum|xxx+|\?+|-+|\.\.\.|expected output|"
    r"\[?insert .{1,40}\]?|<[a-z _-]{2,40}>|string)\.?",
    re.I,
)
# The classes of JavaScript and Python errors, and what runners write when a check itself raises.
_CRASH = re.compile(
    r"\b(?:Syntax|Reference|Type|Range|Key|Name|Value|Index|Attribute|ZeroDivision|JSONDecode|Import|ModuleNotFound|"
    r"Assertion|Runtime|NotImplemented|UnicodeDecode)Error\b|Traceback \(most recent|is not defined|"
    r"(?:custom function|assert\w*|metric|scorer|grader|check) (?:threw|raised|crashed)|"
    r"Cannot read propert|is not a function|malformed metric|graderError",
    re.I,
)
_PROVIDER = re.compile(
    r"rate.?limit|too many requests|quota|time(?:d)? ?out|ECONN|connection (?:reset|refused|error|aborted)|"
    r"\b(?:429|500|502|503|504|529)\b|overloaded|service unavailable|bad gateway|internal server error|api error|"
    r"invalid api key|unauthori[sz]ed|authentication|context[_ ]length|maximum context|content[_ ]filter|CUDA out of",
    re.I,
)
_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "token_limit"}
_FILTERED = {"content_filter", "safety", "recitation", "error", "blocklist", "prohibited_content"}
_OPTION = re.compile(
    r"(?:^|(?<=\s))(?:option\s*)?[(\[]?([A-Ha-h]|\d)[)\].:][ \t]+(\S.{0,200}?)\s*"
    r"(?=$|[.,;]?\s[(\[]?(?:[A-Ha-h]|\d)[)\]]\s)",
    re.M,
)

SHORT_ANSWER_WORDS = 12
MOST_REFERENCES = 20  # of one row that are held against another's: what bounds the work on a row with thousands
_LATEX = re.compile(r"\\[a-zA-Z]+\{|\$[^$\n]+\$")  # its braces are no template's
_PAIR = re.compile(
    r"(?<!\d)1(?:\.(?!\d)|\)) ?(?P<one>[^,;\n]{1,80}?) ?[,;\n] ?2(?:\.(?!\d)|\)) ?(?P<two>[^,;\n]{1,80}?) ?(?=$|"
    r"[,;.\n])"
)


def harness(failure: Failure) -> list[Evidence]:
    """What one row alone shows of a broken template, provider, check or reference."""
    found = [*_prompt(failure), *_output(failure), *_error(failure), *_reference(failure), *_options(failure)]
    found += _wrong_sum(failure)
    return found + (_own_checks(failure) if failure.checks else _lenient_score(failure))


def duplicates(failures: Sequence[Failure]) -> dict[int, Evidence]:
    """Equal prompts that expect different things: index of the failure -> evidence."""
    same: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, failure in enumerate(failures):
        if failure.reference:
            same[failure.prompt, "\n".join(failure.context)].append(at)
    found = {}
    for rows in same.values():
        wanted = {tuple(sorted(map(folded, failures[at].reference))) for at in rows}
        if len(wanted) < 2 or any(len(folded(failures[at].reference[0]).split()) > 12 for at in rows):
            continue  # long references differ in wording without contradicting each other
        for at in rows:
            other = next(
                o for o in rows if set(map(folded, failures[o].reference)) != set(map(folded, failures[at].reference))
            )
            says = f"the same prompt expects something else in `{failures[other].id}`; both cannot be the reference"
            found[at] = Evidence(RUNG, "harness", says, quoted(failures[other].reference[0]), HINT)
    return found


def loose_checks(failures: Sequence[Failure]) -> dict[int, Evidence]:
    """Checks of the content that no answer can be told by: index of the failure -> evidence.

    The empty answer must fail them, and so must the references of other rows: the next, the one before and the one
    farthest off, so that checks which slipped by a row are found. An answer that fails even a loose check may still be
    wrong, so this is a hint; where they pass another row's reference and not their own, rows and checks are mixed up.
    """
    told = [at for at, failure in enumerate(failures) if failure.reference]
    place = {at: n for n, at in enumerate(told)}
    found = {}
    for at, failure in enumerate(failures):
        near = [told[(place[at] + step) % len(told)] for step in (1, -1, len(told) // 2)] if at in place else []
        try:
            claims = [c for c in failure.checks if axis_of(c) != "form" and c["type"] not in ("not-contains", "not")]
            if not claims:
                continue  # what claims nothing of the content rightly passes any answer
            others = [failures[other] for other in dict.fromkeys(near) if _differs(failures[other], failure)]
            if evidence := _loose(failure, claims, others):
                found[at] = evidence
        except CrashedCheck:
            continue  # `harness` speaks of this
    return found


def _differs(other: Failure, failure: Failure) -> bool:
    """Whether a right answer to the other is a wrong one here, as far as the references say."""
    if other.prompt == failure.prompt:
        return False
    pairs = product(other.reference[:MOST_REFERENCES], failure.reference[:MOST_REFERENCES])
    return not any(
        folded(theirs) == folded(ours) or contains(theirs, ours) or contains(ours, theirs) for theirs, ours in pairs
    )


def _loose(failure: Failure, claims: Sequence[Mapping[str, Any]], others: Sequence[Failure]) -> Evidence | None:
    def accept(answer: str) -> bool:
        return all(passes(answer, check, content_only=True) for check in claims)

    quote = quoted("; ".join(f"{check['type']} {check.get('value', '')}" for check in claims))
    if any(map(accept, ("", " \n"))):
        return Evidence(RUNG, "harness", "an empty answer passes the row's checks of the content", quote, HINT)
    passing = [other for other in others if any(map(accept, other.reference[:MOST_REFERENCES]))]
    if passing and not any(map(accept, failure.reference)):
        says = f"the checks pass the reference of `{passing[0].id}` and not the row's own: they belong to another row"
        return Evidence(RUNG, "harness", says, quote, LIKELY)
    if len(passing) * 2 > len(others):  # one of several may share a word or a number by chance
        says = f"the reference of `{passing[0].id}` passes the row's checks of the content: they do not measure it"
        return Evidence(RUNG, "harness", says, quote, HINT)
    return None


def _prompt(failure: Failure) -> list[Evidence]:
    asked = failure.asked.strip()
    if not asked:
        return [Evidence(RUNG, "harness", "the user's message is empty", "", SURE)]
    found = []
    left = [m for m in _DOUBLE.findall(failure.prompt)] + [m for m in _SINGLE.findall(failure.prompt)]
    code = "```" in failure.prompt or re.search(r"\bdef |\bclass |f\"|f'|import |function\s*\(", failure.prompt)
    if left and not _ABOUT_TEMPLATES.search(failure.prompt) and not _LATEX.search(failure.prompt):
        double = bool(_DOUBLE.search(failure.prompt))
        if double or not code:
            says = "the prompt was sent with its template variable unfilled"
            found.append(Evidence(RUNG, "harness", says, quoted(left[0]), SURE if double and not code else LIKELY))
    if _STEM.fullmatch(asked) and (re.search(r"[_.]", asked) or re.search(r"[a-z]-?v?\d+$", asked)):
        if len(asked) > 3 and any(c.isalpha() for c in asked):
            says = "the whole prompt is the name of a template or file, not its text"
            found.append(Evidence(RUNG, "harness", says, quoted(asked), LIKELY))
    return found


def _output(failure: Failure) -> list[Evidence]:
    output, found = failure.output.strip(), []
    reason = failure.finish_reason.strip().lower()
    if not output or output in ("null", "None", '""', "{}", "[]") and not _wanted(failure, output):
        found.append(Evidence(RUNG, "harness", "the provider returned an empty output", quoted(output), LIKELY + 1))
    elif reason in _CUT:
        says = f"the output was cut off at the token limit (finish_reason {reason})"
        found.append(Evidence(RUNG, "harness", says, quoted(output[-80:]), LIKELY))
    if reason in _FILTERED:
        says = f"the provider stopped the answer (finish_reason {reason})"
        found.append(Evidence(RUNG, "harness", says, quoted(output[-80:]), LIKELY))
    extracted = str(failure.metadata.get("extracted") or output).strip()
    if re.fullmatch(r"\[?invalid\]?|\[no ?answer\]", extracted, re.I):
        found.append(Evidence(RUNG, "harness", "the extractor found no answer in the output", quoted(output), HINT))
    head = output[:200]
    if len(output) < 400 and re.match(r"(?:error|exception|\{\"error\")\b", head, re.I) and _PROVIDER.search(head):
        found.append(Evidence(RUNG, "harness", "the output is the provider's error message", quoted(head), SURE))
    return found


def _wanted(failure: Failure, output: str) -> bool:
    return any(reference.strip() == output for reference in failure.reference)


def _complaints(failure: Failure) -> list[str]:
    """What graders and the provider said of this case."""
    texts = [failure.error, failure.feedback if len(failure.feedback) < 4000 else ""]
    for score in failure.scores.values():
        if isinstance(score, dict):
            texts += [str(score.get(key) or "") for key in ("error", "reason", "explanation")]
    grading = failure.metadata.get("gradingResult")
    if isinstance(grading, dict):
        parts = [grading, *(p for p in grading.get("componentResults") or [] if isinstance(p, dict))]
        texts += [str(part.get("reason") or "") for part in parts]
    return texts


def _error(failure: Failure) -> list[Evidence]:
    for text in _complaints(failure):
        if match := _CRASH.search(text):
            if text is failure.feedback and not re.search(r"Traceback|threw|raised|graderError|malformed", text):
                continue  # a reviewer who names an error in the answer is not a crashed check
            around = text[max(0, match.start() - 60) : match.end() + 60]
            return [Evidence(RUNG, "harness", "the check itself crashed", quoted(around), LIKELY)]
    assertion = failure.metadata.get("failureReason") == 1  # promptfoo: `error` then holds the assertion's reason
    if failure.error and not assertion:
        if _PROVIDER.search(failure.error):
            return [Evidence(RUNG, "harness", "the provider answered with an error", quoted(failure.error), SURE)]
        weight = LIKELY if not failure.output.strip() else HINT
        return [Evidence(RUNG, "harness", "the row holds an error", quoted(failure.error), weight)]
    return []


def _reference(failure: Failure) -> list[Evidence]:
    found = []
    for reference in failure.reference:
        text = reference.strip()
        open_template = _DOUBLE.search(text) and not _DOUBLE.search(failure.prompt)
        if _PLACEHOLDER.fullmatch(text) and not re.search(rf"(?<!\w){re.escape(text)}(?!\w)", failure.prompt, re.I):
            if folded(text) not in ("none", "string", "null") or len(failure.reference) == 1:
                says = "the reference is a placeholder, no answer can match it"
                found.append(Evidence(RUNG, "harness", says, quoted(text), LIKELY))
        elif open_template:
            says = "the reference still holds an unfilled template variable"
            found.append(Evidence(RUNG, "harness", says, quoted(text), LIKELY))
    return found[:1]


def _options(failure: Failure) -> list[Evidence]:
    """Two options that are the same, or a reference that names an option which is not there."""
    pair = _PAIR.search(failure.asked)
    if pair and not _LATEX.search(failure.asked) and folded(pair.group("one")) == folded(pair.group("two")) != "":
        says = "options 1 and 2 of the question are the same"
        return [Evidence(RUNG, "harness", says, quoted(pair.group(0)), LIKELY)]
    seen: dict[str, str] = {}
    groups = [(label.upper(), text.rstrip(" .,;")) for label, text in _OPTION.findall(failure.asked)]
    groups = [(label, re.split(r"\. (?=[A-Z])", text)[0]) for label, text in groups]
    labels = [label for label, _ in groups]
    if not 2 <= len(groups) <= 10 or len(set(labels)) < len(labels) or labels != sorted(labels):
        return []
    for label, text in groups:
        key = " ".join(text.lower().split())
        if key in seen:
            says = f"options {seen[key]} and {label} of the question are the same"
            return [Evidence(RUNG, "harness", says, quoted(text), LIKELY)]
        seen[key] = label
    wanted = [re.fullmatch(r"\(?([A-Z])\)?\.?", reference.strip()) for reference in failure.reference]
    absent = [match.group(1) for match in wanted if match and match.group(1) not in labels]
    if wanted and len(absent) == len(wanted) and labels[0] == "A":
        says = f"the reference is option {absent[0]}, the question has {labels[0]} to {labels[-1]}"
        return [Evidence(RUNG, "harness", says, quoted(failure.reference[0]), LIKELY)]
    return []


def _wrong_sum(failure: Failure) -> list[Evidence]:
    """The prompt asks for one plain sum, the output has it right, and what failed it wants another number."""
    value = sum_of(failure.asked)
    if value is None or numbers(failure.output) != (value,) or len(words(failure.output)) > SHORT_ANSWER_WORDS:
        return []
    wanted = [text.replace("\\b", " ") for text in (*failure.reference, *_complaints(failure))]  # a regex's word bounds
    figures = {figure for text in wanted for figure in numbers(text)}
    if not figures or value in figures:
        return []
    says = f"the sum in the prompt is {value:g}, which the output says; the check wants another number"
    return [Evidence(RUNG, "harness", says, quoted(next(text for text in wanted if numbers(text))), LIKELY)]


def _own_checks(failure: Failure) -> list[Evidence]:
    checks = list(failure.checks)
    try:
        now = grade(failure.output, checks)
    except CrashedCheck as crash:
        return [Evidence(RUNG, "harness", "the row's own check cannot run", quoted(str(crash)), SURE)]
    found = []
    if now.passed and failure.output.strip():
        says = "the output passes all of the row's own checks; what failed it is not in the log"
        found.append(Evidence(RUNG, "harness", says, quoted(failure.output), LIKELY))
    held = [grade(reference, checks) for reference in failure.reference]
    if held and not any(one.content for one in held):
        says = f"the reference itself fails the row's own check ({held[0].says})"
        found.append(Evidence(RUNG, "harness", says, quoted(failure.reference[0]), LIKELY))
    return found


def _lenient_score(failure: Failure) -> list[Evidence]:
    """A strict and a lenient score of one answer that disagree: the extractor, not the answer, failed."""
    lenient = {
        n: v for n, v in failure.scores.items() if re.search(r"flexible|lenient|relaxed|fuzzy|contains", n, re.I)
    }
    strict = {n: v for n, v in failure.scores.items() if re.search(r"strict|exact|extract(?:ed)?_match", n, re.I)}
    strict = {n: v for n, v in strict.items() if n not in lenient}
    for right, wrong in ((lenient, strict), (strict, lenient)):  # the second: what follows the right answer failed it
        passed = next((n for n, value in right.items() if value in (1, True)), "")
        failed = next((n for n, value in wrong.items() if value in (0, False)), "")
        if passed and failed:
            says = f"right under `{passed}` and failed under `{failed}`: the shape of the answer, or the extractor"
            by_chance = re.search(r"contains|fuzzy", passed, re.I)  # a word of a wrong answer can pass these
            return [Evidence(RUNG, "form", says, quoted(failure.output), HINT if by_chance else LIKELY)]
    if any(failure.output.strip() == reference.strip() for reference in failure.reference):
        says = "the output is the reference, character for character, and was still failed"
        return [Evidence(RUNG, "harness", says, quoted(failure.output), LIKELY)]
    return []
