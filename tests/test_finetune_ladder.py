"""The ladder: what each rung changed and gained, on examples that it was not trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from finetune import ladder  # noqa: E402
from finetune.errors import FinetuneError  # noqa: E402
from finetune.examples import Example  # noqa: E402
from finetune.ladder import Judged, _better, _kinder, climb  # noqa: E402
from finetune.recipe import Recipe  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

WORDS = [f"{a}{b}" for a in "bdfgklmn" for b in ("a", "e", "i", "o")]
EXAMPLES = [Example([{"role": "user", "content": f"Is {word} one?"}], "YES", word) for word in WORDS]
# Too gentle to learn all of it: the rungs have something to gain.
START = Recipe(rank=4, epochs=2, batch=4, learning_rate=2e-3, replay=0, max_tokens=128, targets="up_proj,down_proj")


def test_it_escalates_by_evidence_and_ends_where_the_gain_ends(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "HIGHEST_RATE", 1e-2)  # a model of random weights bears more than a real one
    said: list[str] = []
    climbed = climb(pico, EXAMPLES, tmp_path / "adapter", START, say=said.append)
    names = [rung.name for rung in climbed.rungs]
    assert names[:2] == ["start", "learning rate"]
    assert climbed.rungs[1].changed == "learning_rate 0.002 -> 0.004"
    kept = [rung for rung in climbed.rungs if rung.kept]
    losses = [rung.judged.loss for rung in kept]
    assert len(kept) > 1 and losses == sorted(losses, reverse=True), "\n".join(said)
    assert climbed.rungs[0].judged.of == 8, "a quarter judges"
    assert climbed.trained.n_examples == len(EXAMPLES), "in the end all examples are trained on"
    assert climbed.trained.recipe == climbed.state.recipe != START
    last = kept[-1].judged
    assert last.passed == last.of and climbed.rungs[0].judged.passed < last.of, "it ends where all pass"
    record = json.loads((tmp_path / "adapter.ladder" / "ladder.json").read_text())
    assert [rung["name"] for rung in record["rungs"]] == names
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    again: list[str] = []
    assert climb(pico, EXAMPLES, tmp_path / "adapter", START, say=again.append).state == climbed.state
    assert again == said, "a finished ladder is read, not climbed again"


def test_two_rungs_in_vain_end_the_climb_and_are_taken_back(pico: Path, tmp_path: Path) -> None:
    said: list[str] = []
    start = replace(START, learning_rate=1e-4, targets="q_proj")
    climbed = climb(pico, EXAMPLES, tmp_path / "adapter", start, say=said.append)
    assert [rung.kept for rung in climbed.rungs] == [True, False, False], "\n".join(said)
    assert climbed.state.recipe == start and "the climb ends here" in said[-1]


def test_what_a_rung_gained_is_told_from_what_it_lost() -> None:
    old = Judged(passed=10, of=24, loss=0.5, right=20, asked=24, text_loss=3.0)
    assert _better(replace(old, passed=12), old) == (True, "+2 pass")
    assert not _better(replace(old, passed=8, loss=0.1), old)[0], "a lower loss does not buy fewer passes"
    assert _better(replace(old, loss=0.4), old)[0] and not _better(replace(old, loss=0.495), old)[0]
    untouched = replace(old, passed=0, right=24)
    assert _kinder(replace(old, right=23, passed=9), old, untouched) == (True, "general +3, form -1")
    assert not _kinder(replace(old, right=24, passed=8), old, untouched)[0], "more than a tenth of the gain is lost"
    assert not _kinder(replace(old, right=20), old, untouched)[0]


def test_masks_come_first_and_few_examples_climb_nothing(pico: Path, tmp_path: Path) -> None:
    with pytest.raises(FinetuneError, match="at least 16"):
        climb(pico, EXAMPLES[:9], tmp_path / "few", START)
    with pytest.raises(FinetuneError, match="masks and end token"):
        climb(
            pico, [*EXAMPLES, Example([{"role": "user", "content": "x" * 300}], "YES", "long")], tmp_path / "m", START
        )
    assert not list((tmp_path / "m.ladder").glob("0*")), "no run is paid for before"
