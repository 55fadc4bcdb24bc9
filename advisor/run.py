"""One run's folder: everything of it in one place, each file whole or not there, found again by the same command."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from advisor.decide import Decision
from advisor.errors import AdvisorError, WrongUsage
from advisor.router import chosen
from memory_calc.cards import card
from rag.endpoint import address

EMBEDDED = "embedded"


@dataclass(frozen=True)
class Request:
    """What the user asked for, as given on the command line."""

    failures: tuple[Path, ...]
    docs: Path | None = None
    base: str = EMBEDDED  # what is trained
    model: str = ""  # what answers; empty: the base
    gpu: str = "auto"
    run: Path | None = None
    replay_limit: int = 300  # of each route, so that a log of thousands is not replayed for hours
    guard_limit: int = 200  # cases that passed, of which as many are asked again in each arm
    seed: int = 0
    decision: Decision = Decision()  # when a verdict is `unsure`
    reviews: Path | None = None
    router: str = ""  # the weights: a path, shipped, or by default the user's own
    trust_remote_code: bool = False
    samples: int = 1  # of each case; more than one are drawn with seeds of their own
    parallel: int = 4  # questions on their way to an endpoint
    cross: bool = False  # also try each cure on the failures of the other route
    phrasings: Path | None = None  # other phrasings of facts questions, for the adapter that is to learn the facts
    style_guide: Path | None = None  # documents that state the formats, for the index that is to cure form
    beyond_prompt: bool = False  # train even where a prompt alone cures the format
    may_ask_models: bool = False  # False: nothing runs, the plan rests on the log alone
    agreed: Callable[..., bool] = field(default=lambda *shown: False, compare=False)  # (plan, log, diagnoses)

    @property
    def served(self) -> bool:
        """Whether an endpoint answers, not a model loaded here."""
        return self.answering.startswith(("http://", "https://"))

    @property
    def answering(self) -> str:
        """The model that answers."""
        return self.model or self.base


class Run:
    """A run folder. Small files are written atomically; answers are appended a line at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """The path of a file in the run, its folder made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str) -> Path:
        """Write a file whole: a reader sees the old one or the new one."""
        path = self.path(name)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as stream:  # logs hold half surrogates
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return path

    def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> Path:
        """Write JSON lines whole."""
        return self.write(name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The JSON lines of a file that may not be there; a last line cut by a kill is left out."""
        path = self.folder / name
        if not path.is_file():
            return
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.endswith("\n"):
                    yield json.loads(line)

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append JSON lines and flush them to disk; a line that a kill cut before is closed off first."""
        path = self.path(name)
        if path.is_file() and path.stat().st_size:
            with path.open("rb+") as stream:
                stream.seek(-1, os.SEEK_END)
                if stream.read() != b"\n":
                    stream.truncate(path.read_bytes().rfind(b"\n") + 1)
        with path.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
            stream.flush()
            os.fsync(stream.fileno())


def open_run(request: Request) -> Run:
    """The folder of this request: the one of the same data and settings if it is there, else a new one."""
    for path in request.failures:
        if not path.is_file():
            fix = "name a JSON lines, JSON or CSV file" if path.is_dir() else "check the path"
            raise AdvisorError(str(path), "a folder, not a log" if path.is_dir() else "no such file", fix=fix)
    if request.docs is not None and not request.docs.exists():
        raise AdvisorError(str(request.docs), "no such folder", "a folder of documents", "check the path after --docs")
    for option, given in (("--phrasings", request.phrasings), ("--style-guide", request.style_guide)):
        if given is not None and not (given.is_file() or (given.is_dir() and option == "--style-guide")):
            raise AdvisorError(str(given), f"no such file, after {option}", fix="check the path")
    card(request.gpu)  # an unknown card is told before anything is read
    if "://" in request.answering:
        address(request.answering)  # a password in it is told before anything is kept
    for option, model in (("--base", request.base), ("--model", request.answering)):
        meant_as_path = model.startswith((".", "/", "~")) or model.count("/") > 1
        if "://" not in model and model != EMBEDDED and meant_as_path and not Path(model).is_dir():
            raise AdvisorError(
                option, f"{model}: no such model folder", "a folder, a hub id such as org/name, embedded"
            )
    mark = fingerprint(request)
    if request.run is None:
        folder = Path("runs") / f"{request.failures[0].name.split('.')[0]}-{mark[:8]}"
    else:
        folder = request.run
    if folder.exists() and not folder.is_dir():
        raise WrongUsage("--run", f"{folder} is a file", "a folder, new or of an earlier run")
    run = Run(folder)
    known = folder / "run.json"
    if known.is_file():
        made_for = json.loads(known.read_text(encoding="utf-8"))["fingerprint"]
        if made_for != mark:
            raise AdvisorError(
                str(folder),
                "a run of other data, settings or another version",
                fix="name another folder with --run, or leave --run out",
            )
    else:
        run.write("run.json", json.dumps({"fingerprint": mark, "version": version(), "request": plain(request)}) + "\n")
    return run


def version() -> str:
    """The installed version."""
    return metadata.version("formfacts")


def plain(request: Request) -> dict[str, Any]:
    """The request as it would be typed again."""
    return {
        "failures": [str(path) for path in request.failures],
        "docs": str(request.docs) if request.docs else None,
        "base": request.base,
        "model": request.model or None,
        "gpu": request.gpu,
        "seed": request.seed,
        "samples": request.samples,
        "replay_limit": request.replay_limit,
        "guard_limit": request.guard_limit,
        "decision": list(request.decision),
        "reviews": str(request.reviews) if request.reviews else None,
        "phrasings": str(request.phrasings) if request.phrasings else None,
        "style_guide": str(request.style_guide) if request.style_guide else None,
        "beyond_prompt": request.beyond_prompt,
        "router": str(chosen(request.router).name),
    }


def fingerprint(request: Request) -> str:
    """A hash of all that decides a run: the logs, the documents, the models' names, the settings, the version."""
    digest = hashlib.sha256(json.dumps([version(), *list(plain(request).values())[2:]]).encode())
    for path in (*request.failures, *([request.reviews] if request.reviews else []), chosen(request.router)):
        if path.is_file():  # else told by its reader
            digest.update(path.read_bytes())
    for given in (request.docs, request.style_guide, request.phrasings):
        if given is not None:
            for path in [given] if given.is_file() else sorted(given.rglob("*")):
                if path.is_file():
                    digest.update(str(path.relative_to(given)).encode() + b"\0")
                    digest.update(path.read_bytes())
    return digest.hexdigest()
