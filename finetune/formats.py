"""Example files as they come: messages, prompt and completion, alpaca, sharegpt, OpenAI's rows, plain text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from finetune.errors import FinetuneError

if TYPE_CHECKING:
    from finetune.examples import Dropped, Example

Turn = dict[str, str]
Lesson = tuple[list[Turn], str]  # what is asked, and what should come; nothing asked: plain text

# Who speaks, by all the names that the formats give: OpenAI's roles, and sharegpt's as LLaMA-Factory (data/README.md)
# and axolotl (prompt_strategies/chat_template.py) read them.
ROLES = {"system": "system", "developer": "system"}
ROLES |= dict.fromkeys(("user", "human"), "user")
ROLES |= dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "model", "function_call"), "assistant")
ROLES |= dict.fromkeys(("tool", "function", "observation"), "tool")
# Tools in the words of the Hermes convention, as the chat template of Qwen2.5 writes them (its tokenizer_config.json)
# and `vllm serve --tool-call-parser hermes` reads them: plain text, so that it is served as it was trained.
TOOLS = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""
_BETWEEN = re.compile(r"[\s,]*")


class _Wrong(ValueError):
    """What is wrong with a row, said without quoting it."""


class Format(NamedTuple):
    """One shape of a row: the keys that it is known by, how it is read, where it is from."""

    keys: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], list[Lesson]]
    source: str


def read_examples(path: Path, format: str = "") -> list[Example]:
    """The examples of a file of JSON lines or one JSON array, each row of the format its keys tell, or of `format`.

    The last assistant turn is what is learned, earlier ones are asked with it; turns marked `weight` 1 are learned one
    by one, those marked 0 never. A row keeps its `id` (else file:line) and its `origin`. Nothing is dropped: see
    `distinct`.
    Raises FinetuneError with file:line for a row that is no example, for an empty file, for an unknown format.
    """
    from finetune.examples import Example

    if format and format not in FORMATS:
        raise FinetuneError("--format", format, ", ".join(FORMATS), exit_code=2)
    found = []
    for line, row in _rows(path):
        try:
            lessons = FORMATS[format or _format_of(row)].read(row)
            origin: dict[str, Any] = {"origin": str(row["origin"])} if row.get("origin") else {}
        except _Wrong as wrong:
            raise FinetuneError(f"{path}:{line}", f"not an example ({wrong})", _allowed(format)) from None
        name = str(row["id"]) if isinstance(row.get("id"), str | int) else f"{path.name}:{line}"
        for at, (messages, completion) in enumerate(lessons, start=1):
            own = name if len(lessons) == 1 else f"{name}#{at}"
            found.append(Example(messages, completion, own, **origin))
    if not found:
        raise FinetuneError(str(path), "holds no examples", _allowed(format))
    return found


def distinct(examples: Sequence[Example]) -> tuple[list[Example], list[Dropped]]:
    """The examples without exact copies (spaces folded), and the copies with the id of the one that stays.

    Near copies are another matter: what counts as near hangs on the task, and `advise` looks for them.
    """
    from finetune.examples import Dropped

    first: dict[tuple[str, ...], str] = {}
    kept, dropped = [], []
    for example in examples:
        texts = [text for m in example.messages for text in (m["role"], m["content"])]
        key = tuple(" ".join(text.split()) for text in (*texts, example.completion))
        if key in first:
            dropped.append(Dropped(example.id, f"the same as {first[key]}"))
        else:
            first[key] = example.id
            kept.append(example)
    return kept, dropped


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(line, row) of a file of JSON lines or of one JSON array."""
    if not path.is_file():
        raise FinetuneError(str(path), "a folder" if path.is_dir() else "no such file", "a file of JSON lines")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        fix = "export it as JSON lines, in UTF-8"
        raise FinetuneError(str(path), f"not UTF-8 text (byte {error.start:,})", "JSON lines", fix) from None
    found = _items(text, path) if text.lstrip().startswith("[") else _lines(text, path)
    for line, row in found:
        if not isinstance(row, dict):
            raise FinetuneError(f"{path}:{line}", f"not an example ({_kind(row)}, not an object)", _allowed(""))
        yield line, row


def _lines(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    # Not splitlines: a line separator of Unicode may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _no_json(path, number, error) from None


def _items(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """The items of one JSON array with the lines on which they begin."""
    decoder, line, at, counted = json.JSONDecoder(), 1, text.index("[") + 1, 0
    while not text.startswith("]", at := _BETWEEN.match(text, at).end()):  # type: ignore[union-attr]
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise _no_json(path, line, error) from None
        yield line, value


def _no_json(path: Path, line: int, error: Exception) -> FinetuneError:
    why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
    return FinetuneError(f"{path}:{line}", f"not an example (not JSON: {why})", _allowed(""))


def _format_of(row: Mapping[str, Any]) -> str:
    """The first format all of whose keys the row has; columns that are empty here count only where no other fits."""
    for has in (lambda key: row.get(key) is not None, row.__contains__):
        for name, format in FORMATS.items():
            if all(map(has, format.keys)):
                return name
    raise _Wrong(f"its keys are {', '.join(sorted(map(str, row))[:6]) or 'none'}")


def _allowed(format: str) -> str:
    rows = {format: FORMATS[format]} if format else FORMATS
    return "; ".join(dict.fromkeys(" and ".join(f'"{key}"' for key in row.keys) for row in rows.values()))


def _kind(value: Any) -> str:
    names = {type(None): "missing", bool: "a truth value", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _text(row: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    """A text of the row; numbers and truth values as JSON writes them, so that labels may be bare."""
    value = row.get(key)
    if value is None and empty:
        return ""
    if isinstance(value, int | float):
        return json.dumps(value)
    if not isinstance(value, str):
        raise _Wrong(f"`{key}` is {_kind(value)}, not text")
    return value


def _said(turn: Any, number: int) -> Turn:
    """One turn in our words, {role, content}; the calls of an assistant are written into its content."""
    if not isinstance(turn, dict):
        raise _Wrong(f"turn {number} is {_kind(turn)}, not an object")
    who = turn.get("role", turn.get("from"))
    role = ROLES.get(str(who).lower())
    if role is None:
        raise _Wrong(f"turn {number} is of role {str(who)[:20]!r}; known: {', '.join(ROLES)}")
    content = turn.get("content", turn.get("value"))
    if isinstance(content, list):  # OpenAI's parts
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise _Wrong(f"turn {number} holds a part that is not text")
        content = "".join(part["text"] for part in content)
    calls = turn.get("tool_calls") or ([{"function": turn["function_call"]}] if turn.get("function_call") else [])
    if content is None and calls:
        content = ""
    if not isinstance(content, str):
        raise _Wrong(f"the content of turn {number} is {_kind(content)}, not text")
    if str(who).lower() == "function_call":
        calls, content = [{"function": content}], ""
    return {"role": role, "content": "\n".join(filter(None, (content, *(_call(call, number) for call in calls))))}


def _call(call: Any, number: int) -> str:
    try:
        function = call["function"]
        function = json.loads(function) if isinstance(function, str) else function
        given = function["arguments"]
        given = json.loads(given) if isinstance(given, str) else given
        called = json.dumps({"name": function["name"], "arguments": given}, ensure_ascii=False)
    except (TypeError, KeyError, ValueError):
        raise _Wrong(f"turn {number} calls a tool without a name and arguments in JSON") from None
    return f"<tool_call>\n{called}\n</tool_call>"


def _turns(row: Mapping[str, Any], key: str) -> list[tuple[Turn, Any]]:
    """The turns of a conversation with their weights (None: not given); the tools that a row offers come first."""
    turns = row.get(key)
    if not isinstance(turns, list) or not turns:
        raise _Wrong(f"`{key}` is " + ("empty" if turns == [] else f"{_kind(turns)}, not a list of turns"))
    found: list[tuple[Turn, Any]] = []
    for number, turn in enumerate(turns, start=1):
        said, weight = _said(turn, number), turn.get("weight")
        if weight not in (None, 0, 1):
            raise _Wrong(f"the weight of turn {number} is neither 0 nor 1")
        if said["role"] == "tool":
            answer = f"<tool_response>\n{said['content']}\n</tool_response>"
            if found and found[-1][0]["content"].endswith("</tool_response>"):  # several calls are answered in one turn
                found[-1][0]["content"] += f"\n{answer}"
                continue
            said = {"role": "user", "content": answer}
        found.append((said, weight))
    heads = [_text(row, "system", empty=True)] if found[0][0]["role"] != "system" else [found.pop(0)[0]["content"]]
    if tools := _tools(row):
        heads.append(TOOLS.format(tools="\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)))
    head = "\n\n".join(filter(None, heads))
    return [({"role": "system", "content": head}, None), *found] if head else found


def _tools(row: Mapping[str, Any]) -> list[Any]:
    """The tools that a row offers, given as a list or as its JSON."""
    try:
        tools = json.loads(row["tools"]) if isinstance(row.get("tools"), str) and row["tools"] else row.get("tools")
    except ValueError:
        raise _Wrong("`tools` is text that is not JSON") from None
    if tools and not isinstance(tools, list):
        raise _Wrong(f"`tools` is {_kind(tools)}, not a list")
    return tools or []


def _chat(row: Mapping[str, Any], key: str = "messages") -> list[Lesson]:
    turns = _turns(row, key)
    spoken = [at for at, (turn, _) in enumerate(turns) if turn["role"] == "assistant"]
    if not spoken:
        raise _Wrong(f"`{key}` has no assistant's turn to learn")
    learned = [at for at in spoken if turns[at][1] == 1] or [at for at in spoken if turns[at][1] is None][-1:]
    if not learned:
        raise _Wrong("every assistant's turn has the weight 0: nothing is left to learn")
    if learned[0] == 0:
        raise _Wrong("the assistant speaks first: nothing was asked")
    return [([turn for turn, _ in turns[:at]], turns[at][0]["content"]) for at in learned]


def _completed(row: Mapping[str, Any], asked: str, completion: str) -> list[Lesson]:
    """A prompt and its completion, each a text or a list of turns (TRL's conversational prompt-completion)."""
    if isinstance(row.get(asked), list):
        messages = [turn for turn, _ in _turns(row, asked)]
    else:
        system = _text(row, "system", empty=True)
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": _text(row, asked)})
    if isinstance(row.get(completion), list):
        spoken = [turn for turn, _ in _turns({completion: row[completion]}, completion)]
        if [turn["role"] for turn in spoken] != ["assistant"]:
            raise _Wrong(f"`{completion}` is not one assistant's turn")
        return [(messages, spoken[0]["content"])]
    return [(messages, _text(row, completion))]


def _alpaca(row: Mapping[str, Any]) -> list[Lesson]:
    system, given = _text(row, "system", empty=True), _text(row, "input", empty=True)
    turns = [{"role": "system", "content": system}] if system else []
    for pair in row.get("history") or ():
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise _Wrong("`history` is not a list of [asked, answered]")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    asked = "\n\n".join(filter(None, (_text(row, "instruction"), given)))
    return [([*turns, {"role": "user", "content": asked}], _text(row, "output"))]


# The first format that fits a row is taken: those with more keys of their own stand first.
FORMATS: Mapping[str, Format] = {
    "messages-completion": Format(
        ("messages", "completion"), lambda row: _completed(row, "messages", "completion"), "the examples of a run"
    ),
    "messages": Format(("messages",), _chat, "chat messages; OpenAI's fine-tuning rows, with `weight` and `tools`"),
    "sharegpt": Format(("conversations",), lambda row: _chat(row, "conversations"), "ShareGPT: from, value, system"),
    "prompt-completion": Format(
        ("prompt", "completion"), lambda row: _completed(row, "prompt", "completion"), "TRL, dataset formats"
    ),
    "prompt-response": Format(
        ("prompt", "response"), lambda row: _completed(row, "prompt", "response"), "LLM logs, torchtune"
    ),
    "alpaca": Format(("instruction", "output"), _alpaca, "stanford_alpaca; LLaMA-Factory, data/README.md"),
    "text": Format(("text",), lambda row: [([], _text(row, "text"))], "plain text, all of which is learned"),
}
