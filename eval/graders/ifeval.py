"""The 25 verifiable instructions of IFEval, written anew from the paper's definitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from typing import Any

from eval.graders.language import language_code, written_in
from eval.graders.row import Check, Wrong, count_of, fields_of, only, text_of, texts_of
from eval.graders.shape import sentence_count
from eval.structure import NOTHING, whole_json

MAX_CHARS = 200_000  # of an answer, read; ours
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
RELATIONS: dict[str, Callable[[int, int], bool]] = {
    "less than": lambda found, wanted: found < wanted,
    "at least": lambda found, wanted: found >= wanted,
    "at most": lambda found, wanted: found <= wanted,
}
Arguments = dict[str, Any]


def _counted(found: int, wanted: Any, relation: Any) -> bool:
    if relation not in RELATIONS:
        raise Wrong(f"relation {relation!r:.40}, allowed: {', '.join(RELATIONS)}")
    return RELATIONS[relation](found, count_of(wanted))


def _found(keyword: str, answer: str) -> int:
    return answer.casefold().count(keyword.casefold())


def _keyword_frequency(answer: str, given: Arguments) -> bool:
    keyword, frequency, relation = fields_of(given, "keyword", "frequency", "relation")
    return _counted(_found(text_of(keyword).strip(), answer), frequency, relation)


def _forbidden(answer: str, given: Arguments) -> bool:
    banned = texts_of(fields_of(given, "forbidden_words")[0])
    return not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.I) for word in banned)


def _letter(answer: str, given: Arguments) -> bool:
    letter, frequency, relation = fields_of(given, "letter", "let_frequency", "let_relation")
    if len(text_of(letter).strip()) != 1:
        raise Wrong(f"letter needs one letter, not {letter!r:.40}")
    return _counted(_found(text_of(letter).strip(), answer), frequency, relation)


def _language(answer: str, given: Arguments) -> bool:
    return written_in(answer) in ("", language_code(fields_of(given, "language")[0]))


def _sentences(answer: str, given: Arguments) -> bool:
    return _counted(sentence_count(answer), *fields_of(given, "num_sentences", "relation"))


def _words(answer: str, given: Arguments) -> bool:
    return _counted(len(re.findall(r"\w+", answer)), *fields_of(given, "num_words", "relation"))


def _parts(answer: str, divider: str) -> list[str] | None:
    """What stands between the dividers; None where nothing stands between two of them."""
    parts = [part.strip() for part in answer.split(divider)]
    inner = parts[bool(not parts[0]) : len(parts) - (len(parts) > 1 and not parts[-1])]
    return None if "" in inner else inner


def _paragraphs(answer: str, given: Arguments) -> bool:
    parts = _parts(answer, "***")
    return parts is not None and len(parts) == count_of(fields_of(given, "num_paragraphs")[0])


def _first_word(answer: str, given: Arguments) -> bool:
    many, nth, word = fields_of(given, "num_paragraphs", "nth_paragraph", "first_word")
    paragraphs = [part.strip() for part in answer.split("\n\n") if part.strip()]
    if len(paragraphs) != count_of(many) or not 1 <= count_of(nth) <= len(paragraphs):
        return False
    opening = paragraphs[count_of(nth) - 1].split()[0].lstrip("\"'")
    return re.split(r"[.,?!'\"]", opening)[0].casefold() == text_of(word).casefold()


def _placeholders(answer: str, given: Arguments) -> bool:
    return len(re.findall(r"\[[^\[\]\n]*\]", answer)) >= count_of(fields_of(given, "num_placeholders")[0])


def _postscript(answer: str, given: Arguments) -> bool:
    marker = text_of(fields_of(given, "postscript_marker")[0]).strip()
    # "P.S." is also written "P. S.": a space may stand after each point.
    spaced = r"\s?".join(re.escape(part) for part in re.findall(r"[^.]*\.|[^.]+", marker))
    return re.search(rf"(?:^|\s){spaced}", answer, re.I) is not None


def _bullets(answer: str, given: Arguments) -> bool:
    points = re.findall(r"^[ \t]*(?:\*[^*\n]|-)", answer, re.M)
    return len(points) == count_of(fields_of(given, "num_bullets")[0])


def _highlights(answer: str, given: Arguments) -> bool:
    marked = re.findall(r"\*\*[^\n*]+\*\*|\*[^\n*]+\*", answer)
    return sum(bool(part.strip("* ")) for part in marked) >= count_of(fields_of(given, "num_highlights")[0])


def _sections(answer: str, given: Arguments) -> bool:
    marker, many = fields_of(given, "section_spliter", "num_sections")  # the name is spelt so in IFEval's rows
    found = re.findall(rf"{re.escape(text_of(marker).strip())}\s?\d+", answer)
    return len(found) >= count_of(many)


def _json(answer: str, _: Arguments) -> bool:
    fenced = re.fullmatch(r"```(?:json)?(.*?)```", answer.strip(), re.S | re.I)
    return whole_json(fenced.group(1) if fenced else answer) is not NOTHING


def _two(answer: str, _: Arguments) -> bool:
    parts = _parts(answer, "******")
    return parts is not None and len(parts) == 2 and parts[0] != parts[1]


def _repeated(answer: str, given: Arguments) -> bool:
    prompt = text_of(fields_of(given, "prompt_to_repeat")[0])
    return answer.strip().casefold().startswith(prompt.strip().casefold())


def _end(answer: str, given: Arguments) -> bool:
    phrase = text_of(fields_of(given, "end_phrase")[0])
    return answer.strip().strip('"').casefold().endswith(phrase.strip().casefold())


def _capital_words(answer: str, given: Arguments) -> bool:
    shouted = [word for word in re.findall(r"[\w'-]+", answer) if word.isupper()]
    return _counted(len(shouted), *fields_of(given, "capital_frequency", "capital_relation"))


INSTRUCTIONS: dict[str, tuple[Callable[[str, Arguments], bool], str]] = {
    "keywords:existence": (
        lambda a, g: all(_found(word, a) for word in texts_of(fields_of(g, "keywords")[0])),
        "each of `keywords` is there",
    ),
    "keywords:frequency": (_keyword_frequency, "`keyword` is there `relation` `frequency` times"),
    "keywords:forbidden_words": (_forbidden, "none of `forbidden_words` is there as a word"),
    "keywords:letter_frequency": (_letter, "`letter` is there `let_relation` `let_frequency` times"),
    "language:response_language": (_language, "written in `language`"),
    "length_constraints:number_sentences": (_sentences, "`relation` `num_sentences` sentences"),
    "length_constraints:number_paragraphs": (_paragraphs, "`num_paragraphs` paragraphs between ***"),
    "length_constraints:number_words": (_words, "`relation` `num_words` words"),
    "length_constraints:nth_paragraph_first_word": (
        _first_word,
        "`num_paragraphs` paragraphs between blank lines, the `nth_paragraph` begins with `first_word`",
    ),
    "detectable_content:number_placeholders": (_placeholders, "at least `num_placeholders` such as [address]"),
    "detectable_content:postscript": (_postscript, "a postscript that begins with `postscript_marker`"),
    "detectable_format:number_bullet_lists": (_bullets, "exactly `num_bullets` points with * or -"),
    "detectable_format:constrained_response": (
        lambda a, _: any(option in a for option in OPTIONS),
        "My answer is yes. / no. / maybe.",
    ),
    "detectable_format:number_highlighted_sections": (_highlights, "at least `num_highlights` parts such as *this*"),
    "detectable_format:multiple_sections": (_sections, "at least `num_sections` marked `section_spliter` 1, 2, ..."),
    "detectable_format:json_format": (_json, "all of it JSON, perhaps in a fence"),
    "detectable_format:title": (
        lambda a, _: any(title.strip() for title in re.findall(r"<<([^\n<>]+)>>", a)),
        "a title in <<double angular brackets>>",
    ),
    "combination:two_responses": (_two, "two different responses with ****** between them"),
    "combination:repeat_prompt": (_repeated, "begins with `prompt_to_repeat`, word for word"),
    "startend:end_checker": (_end, "ends with `end_phrase`"),
    "startend:quotation": (
        lambda a, _: len(a.strip()) > 1 and a.strip()[0] == a.strip()[-1] == '"',
        "all of it in double quotes",
    ),
    "change_case:capital_word_frequency": (_capital_words, "`capital_relation` `capital_frequency` words in CAPITALS"),
    "change_case:english_capital": (
        lambda a, _: a.isupper() and written_in(a) in ("", "en"),
        "in English and in capital letters",
    ),
    "change_case:english_lowercase": (
        lambda a, _: a.islower() and written_in(a) in ("", "en"),
        "in English and in small letters",
    ),
    "punctuation:no_comma": (lambda a, _: "," not in a, "no comma"),
}


def _loosened(answer: str) -> list[str]:
    """The eight readings of the paper's loose accuracy (section 2.2): without asterisks, first line, last line."""
    lines = answer.split("\n")
    kept = []
    for first, last, stars in product((0, 1), (0, 1), (False, True)):
        text = "\n".join(lines[first : len(lines) - last]).strip() if first or last else answer
        kept.append(text.replace("*", "") if stars else text)
    return [text for text in dict.fromkeys(kept) if text.strip()]


def _instruction(answer: str, value: Any) -> bool:
    name = fields_of(value, "id")[0]
    only(value, "id", "kwargs", "loose")
    given = value.get("kwargs") or {}
    if not isinstance(name, str) or name not in INSTRUCTIONS:
        raise Wrong(f"instruction {name!r:.60}, allowed: {', '.join(INSTRUCTIONS)}")
    if not isinstance(given, dict):
        raise Wrong(f"kwargs needs an object, not {given!r:.60}")
    # Harnesses write every argument of every instruction and leave those of the others null.
    given = {key: item for key, item in given.items() if item is not None}
    run, answer = INSTRUCTIONS[name][0], answer[:MAX_CHARS]
    if not answer.strip():
        run("x", given)  # a value that cannot be read is said even so
        return False
    readings = _loosened(answer) if value.get("loose") is True else [answer]
    return any(run(reading, given) for reading in readings)


CHECKS: dict[str, Check] = {
    "instruction": Check(
        _instruction,
        "form",
        "follows this instruction of IFEval (arXiv:2311.07911)",
        "{id, kwargs, loose: also without asterisks, first or last line}",
        True,
        "the 25 types below, under the names and arguments of IFEval's rows; an empty answer follows none",
        "whether the rest of the prompt was followed; sentences and words are counted by our rules, not by nltk's: "
        "near a limit they may differ",
    ),
}
