"""The split of a run: clusters by meaning and document, shares by route, and leaks that are caught before scoring."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from advisor.experiments import Experiment
from advisor.launch import _untaught
from advisor.records import Failure
from advisor.run import Run
from advisor.splits import settle
from advisor.tell import Tell


def case(name: str, asked: str, reference: str = "") -> Failure:
    return Failure(name, ({"role": "user", "content": asked},), "no", (reference,) if reference else ())


def test_facts_of_one_document_and_rewordings_stay_together(tmp_path: Path) -> None:
    towns = ["Lund", "Visby", "Kalmar", "Ystad", "Mora", "Falun", "Gävle", "Luleå", "Umeå", "Boden"]
    documents = {f"{town}.md": f"The harbour of {town} has {n + 11} cranes and {n + 31} gates." for n, town in
                 enumerate(towns)}  # fmt: skip
    cases = [case(f"c{n}", f"How many cranes has {town}?", str(n + 11)) for n, town in enumerate(towns)]
    cases += [case(f"g{n}", f"How many gates has {town}?", str(n + 31)) for n, town in enumerate(towns)]
    cases += [case("f1", "Put the order of Mrs Gray into JSON."), case("f2", "As JSON: what Mrs Gray ordered.")]
    cases += [case("f3", "Write the town in capital letters.")]
    routes = {one.id: "form" if one.id.startswith("f") else "facts" for one in cases}
    meanings = {"f1": 0, "f2": 0, "f3": 1}

    def encode(texts: list[str]) -> np.ndarray:
        at = {one.asked: meanings.get(one.id, 2 + n) for n, one in enumerate(cases)}
        return np.eye(40)[[at[text] for text in texts]]

    found = settle(Run(tmp_path), cases, routes, documents, 0, encode)
    for n in range(10):
        assert found.sides[f"c{n}"] == found.sides[f"g{n}"] and found.clusters[f"c{n}"] == found.clusters[f"g{n}"]
    assert found.clusters["f1"] == found.clusters["f2"] != found.clusters["f3"]
    held = sum(found.sides[f"c{n}"] == "held-out" for n in range(10))
    assert held == 6  # of facts 60 % judge: an index learns no question
    kept = json.loads((tmp_path / "splits.json").read_text())
    assert kept["sides"] == found.sides and kept["clusters"] == found.clusters and kept["by_meaning"] is True


def test_a_planted_leak_is_caught_said_and_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failures = {one.id: one for one in [
        case("t1", "Put the first order of Mrs Gray into JSON."), case("h1", "Put the parcel of Mr Lake into JSON."),
        case("h2", "Put the lamp of Miss Frost into JSON."), case("h3", "put the first order of Mrs Gray into json"),
    ]}  # fmt: skip
    run = Run(tmp_path)
    # h2 stands in the examples of another split; h3 is a copy of what the train side asks
    messages = [{"role": "user", "content": "Now this. Put the lamp of Miss Frost into JSON. Be quick."}]
    run.write_rows("examples.jsonl", [{"messages": messages, "completion": "{}", "id": "x"}])
    experiment = Experiment("lora", "weights", "form", ("t1",), ("h1", "h2", "h3"), {}, {}, {}, None, "", "", "")
    assert _untaught(experiment, failures, run, Tell()) == ["h1"]
    told = capsys.readouterr()
    assert "2 held-out cases were taught and are not scored: h2, h3" in told.out + told.err
