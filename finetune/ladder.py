"""Escalation by evidence: one knob a run, kept where a split that is not the final one says that it gained."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from finetune.answer import answerer
from finetune.base import Base, asking, load
from finetune.batches import IGNORED
from finetune.defaults import ALL_LINEAR, ALPHA, MLP
from finetune.errors import FinetuneError
from finetune.examples import Example, tokenize
from finetune.gate import inspect
from finetune.general import kept
from finetune.recipe import Recipe
from finetune.scale import scaled
from finetune.train import Trained, train

JUDGED_RATE, LEAST_JUDGED = 0.25, 8  # of the examples, to judge rungs by
PATIENCE = 2  # rungs in a row without a gain, and the climb ends
LOWER = 0.98  # a loss must come down to this share to count where as many pass as before
KEPT = 0.9  # of the form gain and of the general answers that may not be lost
MEMORISED = 0.25  # a training loss below this share of the loss on what was not trained: learned by heart
HIGHEST_RATE, MOST_EPOCHS, MOST_RANK = 1e-3, 20, 32
SCALES = (0.75, 0.5)

Grade = Callable[[Sequence[Example], Sequence[str]], Sequence[bool]]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """What one run is worth, on examples that it was not trained on and on general questions."""

    passed: int
    of: int
    loss: float  # nats a completion token
    right: int  # of `asked` general questions
    asked: int
    text_loss: float  # nats a token of general text


@dataclass(frozen=True)
class Rung:
    """One step of the ladder: what it changed, what it brought, and whether it stays."""

    name: str
    changed: str
    judged: Judged
    kept: bool
    because: str
    seconds: float = 0.0


@dataclass(frozen=True)
class State:
    """Where the climb stands: what is trained, how, and by how much the adapter is scaled in the end."""

    base: str
    recipe: Recipe
    scale: float = 1.0


@dataclass(frozen=True)
class Climbed:
    """The whole climb, and the run that came of it: trained on all examples, in the folder that was asked for."""

    untouched: Judged
    rungs: tuple[Rung, ...]
    state: State
    trained: Trained


def same(examples: Sequence[Example], answers: Sequence[str]) -> list[bool]:
    """Whether each answer is the completion, whitespace aside."""
    return [answer.split() == one.completion.split() for one, answer in zip(examples, answers, strict=True)]


class _Climb:
    def __init__(
        self, examples: Sequence[Example], out: Path, grade: Grade, seed: int, say: Say, trust_remote_code: bool
    ) -> None:
        order = list(range(len(examples)))
        random.Random(seed).shuffle(order)
        n = max(LEAST_JUDGED, round(JUDGED_RATE * len(order)))
        if len(order) < 2 * LEAST_JUDGED:
            allowed = f"at least {2 * LEAST_JUDGED}, of which {LEAST_JUDGED} judge"
            raise FinetuneError("ladder", f"{len(order)} examples", allowed, "more examples, or no --ladder")
        self.judging, self.taught = [examples[i] for i in order[:n]], [examples[i] for i in order[n:]]
        self.out, self.grade, self.say, self.trust = out, grade, say, trust_remote_code
        self.rungs: list[Rung] = []

    def judged(self, base: str, adapter: Path | None, record: Path) -> Judged:
        """Ask a model the examples that judge and the general questions; kept in a file, so that it is asked once."""
        if record.is_file():
            return Judged(**json.loads(record.read_text(encoding="utf-8")))
        loaded = load(base, adapter=adapter, trust_remote_code=self.trust)
        lengths = [len(loaded.tokenizer(one.completion)["input_ids"]) for one in self.judging]
        answer = answerer(loaded, max_new_tokens=max(lengths) + 8)
        passed = self.grade(self.judging, answer([one.messages for one in self.judging]))
        now = kept(loaded)
        found = Judged(
            sum(passed), len(passed), completion_loss(loaded, self.judging), now.right, now.asked, now.text_loss
        )
        record.parent.mkdir(parents=True, exist_ok=True)
        part = record.with_suffix(".part")
        part.write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")
        os.replace(part, record)
        return found

    def tried(self, state: State, name: str, number: int) -> tuple[Judged, Trained]:
        """Train one rung on what teaches, and judge it."""
        folder = self.out / f"{number:02d}-{name.replace(' ', '-')}"
        run = train(
            state.base, self.taught, folder / "adapter", state.recipe, say=self.say, trust_remote_code=self.trust
        )
        adapter = run.folder
        if state.scale < 1:
            adapter = scaled(run.folder, state.scale, folder / "scaled")
        return self.judged(state.base, adapter, folder / "judged.json"), run

    def told(self, rung: Rung) -> None:
        """Take a rung into the record."""
        self.rungs.append(rung)
        j = rung.judged
        kept = "kept" if rung.kept else "taken back"
        self.say(
            f"{rung.name}: {rung.changed}: {j.passed} of {j.of} pass, loss {j.loss:.3f}, "
            f"general {j.right} of {j.asked}: {kept}, {rung.because}"
        )


def climb(
    base: str | Path,
    examples: Sequence[Example],
    out: Path,
    recipe: Recipe,
    *,
    grade: Grade = same,
    larger: Sequence[str] = (),
    say: Say = lambda text: None,
    trust_remote_code: bool = False,
) -> Climbed:
    """Walk the ladder from `recipe`, then train what it came to on all examples and write it to `out`.

    A quarter of the examples judges and is not trained on until the end; which answers pass says `grade`. Where too
    little is learned: masks and end token, learning rate, steps, feedforward targets, rank, a larger base; where it is
    learned by heart: fewer steps, MLP alone, more of the base's own answers; where general knowledge is lost: a lower
    rate, fewer steps, MLP alone, a smaller rank, own answers replayed, the adapter scaled. One rung a run, each kept
    only where it gained; two in a row without a gain end a side. Order from published sweeps (tinker-cookbook 2025,
    "LoRA Without Regret" 2025: the rate moves the loss most, the rank least). Killed, the same call carries on.
    """
    work = out.with_name(f"{out.name}.ladder")
    walk = _Climb(examples, work, grade, recipe.seed, say, trust_remote_code)
    _masks(base, examples, recipe, trust_remote_code)
    untouched = walk.judged(str(base), None, work / "untouched.json")
    state = State(str(base), recipe)
    best, run = walk.tried(state, "start", 0)
    walk.told(Rung("start", _knobs(recipe), best, True, "where the ladder begins", run.seconds))
    sides: list[tuple[str, Callable[[], bool]]] = [
        ("too little is learned", lambda: best.passed < best.of and not _by_heart(run, best)),
        ("it is learned by heart", lambda: best.passed < best.of and _by_heart(run, best)),
        ("general knowledge is lost", lambda: best.right < KEPT * untouched.right),
    ]
    for side, needed in sides:
        if not needed():
            continue
        say(f"{side}:")
        in_vain = 0
        for name, turned in _rungs(side, state, larger):
            new = turned(state)
            if new is None or not needed():
                continue
            judged, of_rung = walk.tried(new, name, len(walk.rungs))
            if side == "general knowledge is lost":
                good, because = _kinder(judged, best, untouched)
            else:
                good, because = _better(judged, best)
            walk.told(Rung(name, _changed(state, new), judged, good, because, of_rung.seconds))
            in_vain = 0 if good else in_vain + 1
            if good:
                state, best, run = new, judged, of_rung
            if in_vain == PATIENCE:
                say(f"{PATIENCE} rungs in a row gained nothing: the climb ends here")
                break
    trained = train(state.base, examples, out, state.recipe, say=say, trust_remote_code=trust_remote_code)
    if state.scale < 1:
        scaled(trained.folder, state.scale, trained.folder.with_name(f"{out.name}-scaled"))
    found = Climbed(untouched, tuple(walk.rungs), state, trained)
    record = {"untouched": asdict(untouched), "rungs": [asdict(rung) for rung in walk.rungs], "state": asdict(state)}
    part = work / "ladder.part"
    part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(part, work / "ladder.json")
    return found


def _rungs(side: str, state: State, larger: Sequence[str]) -> Iterator[tuple[str, Callable[[State], State | None]]]:
    """Names and turns of a side, in the order in which they are tried."""

    def knob(turn: Callable[[Recipe], Recipe | None]) -> Callable[[State], State | None]:
        def turned(state: State) -> State | None:
            recipe = turn(state.recipe)
            return None if recipe is None or recipe == state.recipe else replace(state, recipe=recipe)

        return turned

    fewer = knob(lambda r: replace(r, epochs=r.epochs // 2) if r.epochs > 1 else None)
    mlp = knob(lambda r: replace(r, targets=MLP))
    more_replay = knob(lambda r: replace(r, replay=max(32, 2 * r.replay)))
    if side == "too little is learned":
        yield "learning rate", knob(lambda r: replace(r, learning_rate=max(_rate(r), min(HIGHEST_RATE, 2 * _rate(r)))))
        yield "steps", knob(lambda r: replace(r, epochs=min(MOST_EPOCHS, 2 * r.epochs)))
        yield "feedforward targets", knob(lambda r: replace(r, targets=ALL_LINEAR))
        yield "rank", knob(lambda r: replace(r, rank=min(MOST_RANK, 2 * r.rank), alpha=ALPHA))
        for bigger in larger:
            yield f"larger base {Path(bigger).name}", lambda state, to=bigger: replace(state, base=to)  # type: ignore[misc]
    elif side == "it is learned by heart":
        yield "fewer steps", fewer
        yield "mlp only", mlp
        yield "general data", more_replay
    else:
        yield "general data", knob(lambda r: replace(r, replay=32) if r.replay < 32 else None)
        yield "lower rate", knob(lambda r: replace(r, learning_rate=_rate(r) / 2))
        yield "fewer steps", fewer
        yield "mlp only", mlp
        yield "smaller rank", knob(lambda r: replace(r, rank=r.rank // 2, alpha=ALPHA) if r.rank > 1 else None)
        yield "more general data", more_replay
        for scale in SCALES:
            yield f"scaled {scale}", lambda state, to=scale: replace(state, scale=to)  # type: ignore[misc]


def _better(new: Judged, old: Judged) -> tuple[bool, str]:
    if new.passed != old.passed:
        return new.passed > old.passed, f"{new.passed - old.passed:+d} pass"
    lower = new.loss <= LOWER * old.loss
    return lower, f"as many pass, loss {old.loss:.3f} -> {new.loss:.3f}"


def _kinder(new: Judged, best: Judged, untouched: Judged) -> tuple[bool, str]:
    """Whether more of the general answers is left, and no more than a tenth of the form gain is lost."""
    gain, least = new.passed - untouched.passed, KEPT * (best.passed - untouched.passed)
    said = f"general {new.right - best.right:+d}, form {new.passed - best.passed:+d}"
    return new.right > best.right and gain >= least, said


def _by_heart(run: Trained, judged: Judged) -> bool:
    """Whether the last tenth of the training losses lies far below the loss on what was not trained."""
    last = run.losses[-max(1, len(run.losses) // 10) :]
    return bool(last) and sum(last) / len(last) < MEMORISED * judged.loss


def _masks(base: str | Path, examples: Sequence[Example], recipe: Recipe, trust_remote_code: bool) -> None:
    """The first rung costs no run: what is masked, and whether the end is trained, as `finetune check` sees it."""
    loaded = load(base, quantization=recipe.quantization, trust_remote_code=trust_remote_code)
    wrong = [finding for finding in inspect(loaded, examples, recipe.max_tokens).findings if not finding.ok]
    if wrong:
        raise FinetuneError("masks and end token", wrong[0].says, fix=wrong[0].cure or "see `finetune check`")


@torch.inference_mode()
def completion_loss(base: Base, examples: Sequence[Example]) -> float:
    """Mean negative log-likelihood of the completions given their prompts, in nats a token, one by one."""
    total, tokens = 0.0, 0
    with asking(base.model):
        for example in examples:
            row = tokenize(base, example)
            ids = torch.tensor([row["input_ids"]], device=base.device)
            labels = torch.tensor([row["labels"]], device=base.device)
            n = sum(label != IGNORED for label in row["labels"][1:])
            total += n * float(base.model(input_ids=ids, labels=labels).loss)
            tokens += n
    return total / max(tokens, 1)


def _rate(recipe: Recipe) -> float:
    return recipe.learning_rate or 0.0  # set by the recipe itself where none was given


def _knobs(recipe: Recipe) -> str:
    return f"rank {recipe.rank} on {recipe.targets}, rate {recipe.learning_rate:g}, {recipe.epochs} epochs"


def _changed(old: State, new: State) -> str:
    """The knobs that differ, each as old -> new."""
    before: dict[str, Any] = asdict(old.recipe) | {"base": old.base, "scale": old.scale}
    after = asdict(new.recipe) | {"base": new.base, "scale": new.scale}
    return ", ".join(f"{name} {before[name]} -> {after[name]}" for name in before if before[name] != after[name])
