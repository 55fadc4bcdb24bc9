"""The shape of the question: to know, to reason, to call a tool, to rework a given text, or to keep a form."""

from __future__ import annotations

import re

from advisor.evidence.text import instructions, numbers, quoted, words
from advisor.records import Evidence, Failure

RUNG = "question"

_SUM = re.compile(r"\d\s*[-+*/×÷^%]\s*\(?\d|√|∫|∑|\\frac|\\sqrt|\b(?:sin|cos|log)\s*\(")
_MATHS = re.compile(
    r"\b(?:how many|how much|calculate|compute|solve|total|sum of|product of|average|percent(?:age)?|probability|"
    r"equation|remainder|divisible|twice as|half as|times as|per hour|per day|altogether|in total|prove that|"
    r"simplify|integral|derivative|perimeter|area of|wie viele?|berechne|insgesamt)\b|多少|计算|解方程|"
    r"求[^职助救]|方程|概率",
    re.I,
)
_LOGIC = re.compile(
    r"\b(?:hypothesis|premise|entail\w*|imply|implies|deduc\w+|conclude|syllogism|logical(?:ly)?|step by step|"
    r"think through|reason(?:ing)? about|correct option|which of the (?:following|options)|choose the correct|"
    r"if .{3,60} then)\b|推理|逻辑|因此可以",
    re.I,
)
_TOOL = re.compile(
    r"function call|tool call|possible functions|\btool_choice\b|you can invoke|call the (?:tool|function)", re.I
)
_KNOW = re.compile(
    r"\b(?:who|whom|whose|when|where|which (?:year|country|city|person|company|film|book)|what (?:is|are|was|were) the|"
    r"capital of|author of|founded|born|died|invented|history of|tell me about|wer|wann|wo)\b|谁|哪|什么时候|何时|几年",
    re.I,
)
_CITE = re.compile(
    r"\b(?:cite|citation|references?|sources?|"
    r"(?:research|scientific|academic|published) papers?|papers (?:on|about|by)|doi|"
    r"bibliograph\w*|literature|publications?)\b|"
    r"参考文献|论文|文献",
    re.I,
)


# The content is given and only its wording is asked for: what fails is the wording, or the understanding.
_REWORD = re.compile(
    r"\b(?:translate|translation of|paraphrase|rephrase|rewrite|reword|proofread|correct the grammar|"
    r"simplify the (?:text|"
    r"sentence)|fluent|make (?:it|this) (?:more )?(?:formal|polite|concise)|übersetze)\b|翻译|改写|润色",
    re.I,
)
_DIGEST = re.compile(
    r"\b(?:summari[sz]e|summary|abstract of|key points|main points|according to the|"
    r"based on the (?:text|article|document|"
    r"passage|context|transcript|following)|given the (?:above |following )?(?:context|text|passage|"
    r"article)|using only the|fasse)\b|"
    r"总结|摘要|根据(?:以下|上述|文)",
    re.I,
)
_DATA_LINE = re.compile(r"^[ \t]*([^|\n]{1,80})[ \t]\|[ \t][^|\n]{1,80}[ \t]\|[ \t](.{1,120}?)[ \t]*$", re.M)
DATA_LINE_WORDS = 14  # a longer line with bars in it is a sentence about the data
_WISHES = re.compile(
    r"\bexactly\b|\bat (?:least|most)\b|\b(?:no|not) more than\b|\b(?:less|fewer|more) than \d|"
    r"\bformat\b|\bmust\b|\bonly\b|"
    r"\b(?:start|begin|end|finish)(?:s|ing)? \w* ?with\b|\bwrap\b|\blower ?case\b|\bupper ?case\b|\bcapital letters?\b|"
    r"\bdo not (?:use|include)\b|\bwithout (?:using|any)\b|\bkeywords?\b|\bin the form\b|\bfollow(?:s|"
    r"ing)? (?:the |this )?"
    r"(?:format|structure|template)\b|\bseparated by\b|\b(?:words?|sentences?|paragraphs?) (?:to be|"
    r"having|with)\b|\bjson\b|"
    r"\bmarkdown\b|\bbullet\b|格式|形式|输出为|列表|表格|不超过|不少于|个字|仅|只(?:输出|返回)",
    re.I,
)


# Work on the letters and the order of what is given: sub-word tokens hide it from a model.
_LETTERS = re.compile(
    r"\b(?:backwards?|in reverse|reverse the|anagram|palindrome|letters? (?:are|is|does|do)|"
    r"how many letters|alphabetical|"
    r"(?:sort|order|rank) (?:the|these)|every (?:second|third) (?:word|letter)|count the)\b",
    re.I,
)


def is_reasoning(failure: Failure) -> bool:
    """Whether the answer has to be worked out: a calculation, or work on letters and order.

    A reference that is a number which nothing given contains, after a question with two other numbers, is a result.
    """
    asked, given = failure.asked, set(numbers("\n".join((failure.prompt, *failure.context))))
    result = [numbers(reference) for reference in failure.reference if len(words(reference)) <= 3]
    worked = bool(result) and all(len(found) == 1 and found[0] not in given for found in result)
    if _SUM.search(asked) or _LETTERS.search(asked) or (_MATHS.search(asked) and len(numbers(asked)) >= 2):
        return True
    return worked and len(numbers(asked)) >= 2


def question(failure: Failure) -> list[Evidence]:
    """What the question's shape makes likely: weak evidence, it says nothing of the answer."""
    asked = failure.asked
    found = []
    if is_reasoning(failure):
        says = "the answer has to be worked out"
        found.append(Evidence(RUNG, "capability", says, quoted(asked[-240:]), 2.0))
    elif match := _LOGIC.search(failure.prompt):
        says = "the question asks for a deduction"
        found.append(Evidence(RUNG, "capability", says, quoted(match.group(0)), 1.0))
    if match := _TOOL.search(failure.prompt):
        says = "the question asks for a tool call"
        found.append(Evidence(RUNG, "capability", says, quoted(match.group(0)), 0.5))
    if match := _CITE.search(asked):
        says = "the question asks for sources"
        found.append(Evidence(RUNG, "facts", says, quoted(match.group(0)), 0.7))
    elif not found and len(words(asked)) <= 40 and (match := _KNOW.search(asked)):
        says = "the question asks for a piece of knowledge"
        found.append(Evidence(RUNG, "facts", says, quoted(asked), 0.7))
    return found + _rework(failure)


def _rework(failure: Failure) -> list[Evidence]:
    """Tasks that bring their own content, and prompts that spend their words on the form."""
    wish, found = instructions(failure.asked), []
    data = data_of(failure)
    if len(data) >= 2:
        absent = missing_from(failure.output, data)
        share = len(absent) / max(1, len(_stems(" ".join(data))))
        if share > 0.08:
            says = f"{share:.0%} of the words of the given data are not in the output"
            weight = min(3.0, 8.0 * share)
            found.append(Evidence(RUNG, "context-ignored", says, quoted(", ".join(sorted(absent))), weight))
        found.append(Evidence(RUNG, "form", "the content to put into words is given as data", quoted(data[0]), 1.5))
    elif match := _REWORD.search(wish):
        found.append(Evidence(RUNG, "form", "the task is to reword a given text", quoted(match.group(0)), 1.5))
        found.append(Evidence(RUNG, "capability", "the task is to reword a given text", quoted(match.group(0)), 1.0))
    elif match := _DIGEST.search(wish):
        says = "the task is to answer from a given text"
        found.append(Evidence(RUNG, "context-ignored", says, quoted(match.group(0)), 1.2))
    wishes = len({w.lower() for w in _WISHES.findall(wish)})
    if wishes and not found:
        says = "the prompt makes demands on the form"
        quote = quoted(_WISHES.search(wish).group(0))  # type: ignore[union-attr]
        found.append(Evidence(RUNG, "form", says, quote, min(2.1, 0.7 * wishes)))
    return found


def data_of(failure: Failure) -> list[str]:
    """Subjects and objects of the data lines (a | b | c) that the prompt or the context gives to put into words."""
    lines = _DATA_LINE.finditer("\n".join((failure.asked, *failure.context)))
    return [
        f"{line.group(1)} {line.group(2)}".replace("_", " ")
        for line in lines
        if len(words(line.group(0))) <= DATA_LINE_WORDS
    ]


def _stems(text: str) -> set[str]:
    return {word[:5] for word in words(text) if len(word) > 2}


def missing_from(output: str, data: list[str]) -> set[str]:
    """Words of the data, cut to five letters so that inflection does not count, that the output lacks."""
    return _stems(" ".join(data)) - {word[:5] for word in words(output)}
